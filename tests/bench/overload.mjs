#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// More calls than a core holds: what a call costs is measured first, at a load that is easily borne; then the gateway, with its
// overload control as it is by default, has 0.6 times as many calls as a core would hold and gets all the others, up to 1.5 times,
// while it is measured. Those that are up must stay, and in time; the rest must be refused and not fail.
//
//   sudo tests/bench/overload.mjs [--build DIR] [--seconds S] [--rate CALLS-A-SECOND] [--times CAPACITY] [--json] [CASE...]
import { spawnSync } from 'node:child_process';
import { Bench, gatewayConfig, PORTS, readArgs, watchCore } from './lib.mjs';

const CASES = {
  pcm: { what: 'SIP PCMU <-> PCM 16 kHz', agent: 'PCM', few: 200, rate: 60 },
  mulaw: { what: 'SIP PCMU <-> MULAW, passed through', agent: 'MULAW', few: 200, rate: 60 },
  web: { what: 'browser Opus <-> PCM 16 kHz', agent: 'PCM', codec: 'OPUS', web: true, few: 80, rate: 10 },
};
// Twice the goals of an easy load. The first one beyond what the jitter buffers aim at.
const MOST_MS = { up: 3, down: 24 };
const AWAY = 0.05; // of the time the server's core was somebody else's: delays are the machine's own, and only ratios say anything
const UP_BEFORE = 0.6;

const { options, positionals } = readArgs(import.meta.url, {
  seconds: { type: 'string', default: '30' },
  rate: { type: 'string' }, // calls begun in a second
  times: { type: 'string', default: '1.5' },
}, Object.keys(CASES));

const bench = new Bench(options.build, ['iqra-gateway', 'bench/calls']);

function load(test, gateway, args) {
  const target = test.web
    ? ['--web', `127.0.0.1:${PORTS.http}`, '--codec', test.codec]
    : ['--sip', `127.0.0.1:${PORTS.proxy}`, '--dial', '100', '--uri', ';X-Business-Id=1;X-Phone-Id=bench'];
  return bench.load('bench/calls', ['--quiet', '--json', '--rate', options.rate ?? test.rate, '--agent-port', PORTS.agent, '--agent-codec', test.agent,
    '--pid', gateway.pid, ...target, ...args]);
}

// With nothing held back, and few calls: what a core would hold if it did nothing else, and the delays at rest.
async function atRest(test) {
  const gateway = await bench.startGateway(gatewayConfig(bench, test));
  const result = await load(test, gateway, ['--calls', test.few, '--warm', 5, '--seconds', 8]);
  await bench.stop(gateway);
  return result;
}

function metrics() {
  const { stdout } = spawnSync('ip', ['netns', 'exec', bench.space, 'curl', '-s', `http://127.0.0.1:${PORTS.http}/metrics`], { encoding: 'utf8' });
  return (name) => Number(stdout.split('\n').find((line) => line.startsWith(`${name} `))?.split(' ')[1] ?? NaN);
}

async function run(name) {
  const test = CASES[name];
  const rest = await atRest(test);
  const holds = Math.round(rest.callsPerCore);
  const calls = Math.round(holds * Number(options.times));
  const config = gatewayConfig(bench, test);
  Object.assign(config.Gateway, { MaxCalls: 0, OverloadCpuPercent: 75, OverloadLateMs: 10 });
  const gateway = await bench.startGateway(config);
  let seen, taken;
  const lost = watchCore();
  const look = setInterval(() => {
    seen = metrics();
    taken = lost();
  }, 5000);
  const result = await load(test, gateway, ['--calls', calls, '--more', calls - Math.round(holds * UP_BEFORE), '--warm', 5, '--seconds', options.seconds]);
  clearInterval(look);
  await bench.stop(gateway);
  const targetMs = (1000 * seen('iqra_jitter_buffer_seconds_sum')) / seen('iqra_jitter_buffer_seconds_count');
  return { name, what: test.what, holds, rest, targetMs, taken, said: gateway.text.match(/overloaded, [^"]*/g) ?? [], ...result };
}

// What is not as it must be.
function faults(r) {
  const found = [];
  const away = r.taken > AWAY;
  const up = Math.max(r.targetMs + MOST_MS.up, away ? 2 * r.rest.callerToAgentMs.p99 : 0);
  const down = Math.max(MOST_MS.down, away ? 2 * r.rest.agentToCallerMs.p99 : 0);
  if (r.failed) found.push(`${r.failed} calls failed`);
  if (r.ended) found.push(`${r.ended} calls ended early`);
  if (!r.refused) found.push('nobody was refused');
  if (r.callerToAgentMs.p99 > up) found.push(`caller to agent p99 is more than ${up.toFixed(1)} ms`);
  if (r.agentToCallerMs.p99 > down) found.push(`agent to caller p99 is more than ${down.toFixed(1)} ms`);
  return found;
}

function print(r) {
  const row = (title, d) => console.log(`  ${title.padEnd(44)}${[d.p50, d.p90, d.p99, d.max].map((ms) => ms.toFixed(1).padStart(8)).join('')}`);
  console.log(`${r.what}: a core would hold ${r.holds}; ${r.calls} tried: ${r.answered} up, ${r.refused} refused, ${r.failed} failed, ${r.ended} ended early; CPU ${(100 * r.cpu).toFixed(0)} %`);
  console.log(`  ${'milliseconds'.padEnd(44)}     p50     p90     p99     max`);
  row(`caller to agent, ${r.rest.calls} calls`, r.rest.callerToAgentMs);
  row(`caller to agent (jitter buffers aim at ${r.targetMs.toFixed(1)})`, r.callerToAgentMs);
  row(`agent to caller, ${r.rest.calls} calls`, r.rest.agentToCallerMs);
  row('agent to caller', r.agentToCallerMs);
  row('caller to agent, calls begun meanwhile', r.newcomersCallerToAgentMs);
  row('agent to caller, calls begun meanwhile', r.newcomersAgentToCallerMs);
  row('generator late by', r.generatorLateMs);
  for (const line of r.said) console.log(`  the gateway: ${line}`);
  if (r.generatorWasTheLimit) console.log('  the generator was the limit: repeat');
  if (r.taken > AWAY) console.log(`  the server's core was away for ${(100 * r.taken).toFixed(0)} % of the time: delays are judged by those at ${r.rest.calls} calls`);
  console.log(`  ${faults(r).join('; ') || 'as it must be'}`);
}

try {
  for (const name of positionals.length ? positionals : ['pcm', 'web']) {
    const result = await run(name);
    if (options.json) console.log(JSON.stringify(result));
    print(result);
    if (faults(result).length) process.exitCode = 1;
  }
} finally {
  bench.close();
}
