#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The gateway beside the floor, under the same load, in one run: for each case the floor and the gateway in turn, generator
// on one core and server on the other, in a network namespace of its own.
//
//   sudo tests/bench/side-by-side.mjs [--build DIR] [--calls N] [--seconds S] [--json] [CASE...]
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const TOP = fileURLToPath(new URL('../..', import.meta.url));
const PORTS = { floor: 15080, proxy: 15060, media: 15070, http: 18181, agent: 18080 };

// `of` is what the gateway's cost a call is divided by: the floor's, or the gateway's own in another case.
const CASES = {
  pcm: { what: 'SIP PCMU <-> PCM 16 kHz', floor: ['-m', 'pcm16', '-q', '3'], agent: 'PCM', most: 1.5 },
  mulaw: { what: 'SIP PCMU <-> MULAW, passed through', floor: ['-m', 'mulaw'], agent: 'MULAW', most: 1.5 },
  'pcm-wss': { what: 'SIP PCMU <-> PCM 16 kHz, wss', floor: ['-m', 'pcm16', '-q', '3', '-T'], agent: 'PCM', tls: true, most: 1.4 },
  'mulaw-wss': { what: 'SIP PCMU <-> MULAW, wss', floor: ['-m', 'mulaw', '-T'], agent: 'MULAW', tls: true, most: 1.4 },
  web: { what: 'browser Opus <-> PCM 16 kHz', floor: ['-m', 'opus', '-x', '0'], agent: 'PCM', codec: 'OPUS', web: true, most: 1.25 },
  'web-opus': { what: 'browser Opus <-> OPUS, passed through', agent: 'OPUS', web: true, of: 'mulaw', most: 2 },
};

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    build: { type: 'string', default: path.join(TOP, 'build') },
    calls: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '15' },
    warm: { type: 'string', default: '6' },
    rate: { type: 'string', default: '40' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help || positionals.some((name) => !CASES[name])) {
  console.log(`usage: side-by-side.mjs [--build DIR] [--calls N] [--seconds S] [--warm S] [--rate R] [--json] [CASE...]\ncases: ${Object.keys(CASES).join(', ')}`);
  process.exit(options.help ? 0 : 2);
}
if (process.getuid() !== 0) throw new Error('run as root: the load has a network namespace of its own');
for (const name of ['iqra-gateway', 'bench/calls', 'bench/floor'])
  if (!fs.existsSync(path.join(options.build, name))) throw new Error(`${name} is not in ${options.build}: ninja -C ${options.build} iqra-gateway bench_calls bench_floor`);

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-bench-'));
const space = `iqra-bench-${process.pid}`;
const children = new Set();

function sh(command, ...args) {
  const result = spawnSync(command, args, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

function start(core, program, args, stdio = ['ignore', 'ignore', 'pipe']) {
  const child = spawn('ip', ['netns', 'exec', space, 'taskset', '-c', String(core), program, ...args], { stdio });
  children.add(child);
  child.exited = once(child, 'exit').then((end) => {
    children.delete(child);
    return end;
  });
  return child;
}

async function stop(child) {
  child.kill('SIGTERM');
  const again = setTimeout(() => child.kill('SIGTERM'), 300); // a gateway with calls up drains until it is told twice
  await child.exited;
  clearTimeout(again);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function gatewayConfig(test) {
  return {
    Logging: { LogLevel: { Default: 'Warning' } },
    AllowedOrigins: [],
    VoiceAiPlatform: {
      ApiSecretToken: 'bench',
      BaseUrl: `http://127.0.0.1:${PORTS.agent + 1}/api/v1/`,
      Campaigns: { demo: { BusinessId: '1', WebCampaignId: 'demo', AllowedRegionIds: ['local'] } },
    },
    Gateway: {
      NodeId: 'bench', RegionId: 'local', Roles: ['middleware', 'proxy', 'media'], HttpListen: `127.0.0.1:${PORTS.http}`,
      Workers: 1, DataDirectory: path.join(dir, 'data'),
    },
    Agent: { Encoding: test.agent, SampleRate: test.agent === 'OPUS' ? 48000 : test.agent === 'MULAW' ? 8000 : 16000, FrameMs: 20, CaFile: test.tls ? path.join(dir, 'cert.pem') : '' },
    WebRtc: { UdpPorts: '20000-29999' },
    Sip: { ProxyListen: [`udp:127.0.0.1:${PORTS.proxy}`], MediaListen: [`udp:127.0.0.1:${PORTS.media}`], RtpPorts: '30000-49999', InvitesPerSecond: 0 },
    Businesses: { 1: { Active: true, MaxConcurrentCalls: 0, Numbers: { bench: { Number: '+100', Provider: 'SIP', RouteId: '1', RegionId: 'local', CampaignId: 'demo' } } } },
    Regions: { local: { Enabled: true, Servers: { bench: { Endpoint: '127.0.0.1', SipPort: PORTS.media, Enabled: true } } } },
  };
}

async function startGateway(test) {
  const file = path.join(dir, 'appsettings.json');
  fs.writeFileSync(file, JSON.stringify(gatewayConfig(test)));
  const child = start(1, path.join(options.build, 'iqra-gateway'), ['--config', file]);
  let text = '';
  child.stderr.on('data', (data) => (text += data));
  child.log = () => text;
  const url = `http://127.0.0.1:${PORTS.http}/readyz`;
  for (let i = 0; i < 200; i++) {
    if (spawnSync('ip', ['netns', 'exec', space, 'curl', '-sf', '-o', '/dev/null', url]).status === 0) {
      await pause(2500); // the node's first heartbeat
      return child;
    }
    await pause(50);
  }
  throw new Error(`the gateway is not ready:\n${text}`);
}

async function load(test, target, label, pid) {
  const args = ['--quiet', '--calls', options.calls, '--seconds', options.seconds, '--warm', options.warm, '--rate', options.rate, '--agent-port', PORTS.agent,
    '--agent-codec', test.agent, '--pid', pid, '--label', label, '--json', ...target];
  if (test.codec) args.push('--codec', test.codec);
  if (test.tls) args.push('--cert', path.join(dir, 'cert.pem'), '--key', path.join(dir, 'key.pem'));
  const child = start(0, path.join(options.build, 'bench/calls'), args.map(String), ['ignore', 'pipe', 'inherit']);
  let out = '';
  child.stdout.on('data', (data) => (out += data));
  await child.exited;
  if (!out) throw new Error(`${label}: the load said nothing`);
  return JSON.parse(out);
}

// `ip netns exec` and taskset exec in turn: the child's pid is the server's.
async function run(name) {
  const test = CASES[name];
  const result = { name, what: test.what };
  if (test.floor) {
    const floor = start(1, path.join(options.build, 'bench/floor'), ['-s', PORTS.floor, '-a', PORTS.agent, ...test.floor].map(String));
    await pause(300);
    result.floor = await load(test, ['--sip', `127.0.0.1:${PORTS.floor}`], `${name} floor`, floor.pid);
    await stop(floor);
  }
  const gateway = await startGateway(test);
  const target = test.web
    ? ['--web', `127.0.0.1:${PORTS.http}`]
    : ['--sip', `127.0.0.1:${PORTS.proxy}`, '--dial', '100', '--uri', ';X-Business-Id=1;X-Phone-Id=bench'];
  result.gateway = await load(test, target, `${name} gateway`, gateway.pid);
  await stop(gateway);
  return result;
}

function certificate() {
  sh('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1', '-addext',
    'subjectAltName=IP:127.0.0.1', '-keyout', path.join(dir, 'key.pem'), '-out', path.join(dir, 'cert.pem'));
}

const number = (value, digits) => (value === undefined ? '-' : value.toFixed(digits));

function row(result, all) {
  const test = CASES[result.name];
  const base = test.of ? all.find((r) => r.name === test.of)?.gateway : result.floor;
  const ratio = base ? result.gateway.cpuPerCall / base.cpuPerCall : undefined;
  const g = result.gateway;
  const spoilt = g.generatorWasTheLimit || result.floor?.generatorWasTheLimit ? ' (the generator was the limit: repeat)' : '';
  return [result.what.padEnd(38), number(base?.cpuPerCall * 100, 4), number(g.cpuPerCall * 100, 4), `${number(ratio, 2)} of ${test.most}`,
    number(g.kbPerCall, 0), number(g.callerToAgentMs.p50, 1), number(g.callerToAgentMs.p99, 1), number(g.agentToCallerMs.p50, 1),
    number(g.agentToCallerMs.p99, 1), `${g.answered}/${g.calls}`].join('\t') + spoilt;
}

async function main() {
  sh('ip', 'netns', 'add', space);
  sh('ip', 'netns', 'exec', space, 'ip', 'link', 'set', 'lo', 'up');
  certificate();
  const results = [];
  for (const name of positionals.length ? positionals : Object.keys(CASES)) {
    console.error(`${name}: ${CASES[name].what}, ${options.calls} calls`);
    results.push(await run(name));
  }
  if (options.json) console.log(JSON.stringify(results, null, 1));
  console.log(['case'.padEnd(38), 'base %', 'CPU %', 'ratio', 'kB', 'up p50', 'up p99', 'down p50', 'down p99', 'calls'].join('\t'));
  for (const result of results) console.log(row(result, results));
}

try {
  await main();
} finally {
  for (const child of children) child.kill('SIGKILL');
  sh('ip', 'netns', 'del', space);
  fs.rmSync(dir, { recursive: true, force: true });
}
