#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// INVITE -> 302 -> ACK at the gateway's proxy (with its queue entry in a real Redis), beside Kamailio's `tm` and `sl` without
// a database, under the same load in one run.
//
//   sudo tests/bench/redirect.mjs [--build DIR] [--seconds S] [--window N] [--json]
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Bench, gatewayConfig, pause, PORTS, SERVER_CORE, TOP } from './lib.mjs';

const { values: options } = parseArgs({
  options: {
    build: { type: 'string', default: path.join(TOP, 'build') },
    seconds: { type: 'string', default: '10' },
    window: { type: 'string', default: '64' },
    json: { type: 'boolean', default: false },
  },
});

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

try {
  const results = [await kamailio('t_reply'), await kamailio('sl_send_reply')];
  const gateway = await bench.startGateway(gatewayConfig(bench));
  results.push(await load('gateway', PORTS.proxy, gateway.pid));
  await bench.stop(gateway);
  if (options.json) console.log(JSON.stringify(results, null, 1));
  const base = results[0].cpuUs;
  console.log(['server'.padEnd(14), '302/s', 'CPU us', 'of tm', 'p50 ms', 'p99 ms', 'resent', 'others'].join('\t'));
  for (const r of results)
    console.log([r.label.padEnd(14), r.perSecond, r.cpuUs, (r.cpuUs / base).toFixed(2), r.p50Ms, r.p99Ms, r.resent, r.others].join('\t'));
} finally {
  bench.close();
}
