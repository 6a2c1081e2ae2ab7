#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// INVITE -> 302 -> ACK at the gateway's proxy (with its queue entry in a real Redis), beside Kamailio's `tm` and `sl` without
// a database, under the same load in one run.
//
//   sudo tests/bench/redirect.mjs [--build DIR] [--seconds S] [--window N] [--gateway] [--json]
//
// --gateway: without Kamailio.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Bench, gatewayConfig, LOAD_CORE, pause, PORTS, readArgs, SERVER_CORE, sh } from './lib.mjs';

const { options } = readArgs(import.meta.url, {
  seconds: { type: 'string', default: '10' },
  window: { type: 'string', default: '64' },
  gateway: { type: 'boolean', default: false },
});

const WARM_S = 6; // of the load before it measures

const KAMAILIO = (reply) => `
debug=0
log_stderror=yes
fork=no
children=1
disable_tcp=yes
auto_aliases=no
listen=udp:127.0.0.1:${PORTS.kamailio}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "textops.so"
request_route {
  if (is_method("ACK")) { ${reply === 't_reply' ? 't_check_trans();' : ''} exit; }
  append_to_reply("Contact: <sip:100@127.0.0.1:${PORTS.media};X-CallQueue-Id=0123456789abcdef0123456789abcdef>;q=1.0\\r\\n");
  ${reply === 't_reply' ? 't_newtran(); t_reply("302", "Redirecting to Media Server");' : 'sl_send_reply("302", "Redirecting to Media Server");'}
  exit;
}
`;

function cpuSeconds(pid) {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const bench = new Bench(options.build, ['iqra-gateway', 'bench/redirect']);

function load(label, port, pid) {
  return bench.load('bench/redirect', ['--sip', `127.0.0.1:${port}`, '--uri', ';X-Business-Id=1;X-Phone-Id=bench', '--seconds', options.seconds,
    '--window', options.window, '--pid', pid, '--label', label, '--json']);
}

async function kamailio(reply) {
  const file = path.join(bench.dir, `kamailio-${reply}.cfg`);
  fs.writeFileSync(file, KAMAILIO(reply));
  const child = bench.start(SERVER_CORE, 'kamailio', ['-D', '-E', '-m', '512', '-f', file]);
  await pause(1500);
  const result = await load(`kamailio ${reply === 't_reply' ? 'tm' : 'sl'}`, PORTS.kamailio, child.pid).catch((err) => {
    throw new Error(`${err.message}\n${child.text.slice(-2000)}`);
  });
  child.kill('SIGTERM');
  await child.exited;
  return result;
}

// Calls go to a media node elsewhere, which announces itself: this one's places would be used up within two seconds. Redis is
// the gateway's private one. `core` is what it runs on; the gateway has the other one.
async function gateway(core) {
  const config = gatewayConfig(bench);
  config.Regions.local.Servers = { bench: { Enabled: false } };
  const child = await bench.startGateway(config);
  const redis = Number(spawnSync('pgrep', ['-P', String(child.pid), 'redis-server'], { encoding: 'utf8' }).stdout);
  sh('taskset', '-a', '-p', '-c', String(core), String(redis));
  const announce = () => {
    const node = { id: 'far', region: 'local', endpoint: '127.0.0.1', port: PORTS.media, state: 'running', calls: 0, capacity: 1000000 };
    sh('redis-cli', '-s', path.join(bench.dir, 'data', 'redis', 'redis.sock'), 'HSET', 'nodes', 'far', `${Date.now()} ${JSON.stringify(node)}`);
  };
  announce();
  const timer = setInterval(announce, 2000);
  await pause(2500);
  const before = cpuSeconds(redis);
  const result = await load(`gateway, Redis ${core}`, PORTS.proxy, child.pid);
  result.redisUs = (1e6 * (cpuSeconds(redis) - before)) / (result.perSecond * (Number(options.seconds) + WARM_S));
  clearInterval(timer);
  await bench.stop(child);
  return result;
}

try {
  const results = [];
  if (!options.gateway) results.push(await kamailio('t_reply'), await kamailio('sl_send_reply'));
  results.push(await gateway(LOAD_CORE), await gateway(SERVER_CORE));
  if (options.json) console.log(JSON.stringify(results, null, 1));
  const base = results[0].cpuUs;
  console.log(['server'.padEnd(16), '302/s', 'CPU us', 'of tm', 'p50 ms', 'p99 ms', 'resent', 'others', 'Redis us'].join('\t'));
  for (const r of results)
    console.log([r.label.padEnd(16), r.perSecond, r.cpuUs, (r.cpuUs / base).toFixed(2), r.p50Ms, r.p99Ms, r.resent, r.others, r.redisUs?.toFixed(1) ?? ''].join('\t'));
} finally {
  bench.close();
}
