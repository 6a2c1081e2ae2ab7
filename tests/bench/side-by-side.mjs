#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The gateway beside the floor, under the same load, in one run: for each case the floor and the gateway in turn, generator
// on one core and server on the other, in a network namespace of its own.
//
//   sudo tests/bench/side-by-side.mjs [--build DIR] [--calls N,N...] [--seconds S] [--warm S] [--rate CALLS-A-SECOND]
//     [--no-floor] [--json] [CASE...]
import path from 'node:path';
import { Bench, gatewayConfig, pause, PORTS, readArgs, SERVER_CORE, sh } from './lib.mjs';

// What is wanted: `most` as the ratio, `kb` as memory a call. `of` is what the gateway's cost a call is divided by: the
// floor's, or the gateway's own in another case.
const CASES = {
  pcm: { what: 'SIP PCMU <-> PCM 16 kHz', floor: ['-m', 'pcm16', '-q', '3'], agent: 'PCM', most: 1.5, kb: 64 },
  mulaw: { what: 'SIP PCMU <-> MULAW, passed through', floor: ['-m', 'mulaw'], agent: 'MULAW', most: 1.5, kb: 64 },
  'pcm-wss': { what: 'SIP PCMU <-> PCM 16 kHz, wss', floor: ['-m', 'pcm16', '-q', '3', '-T'], agent: 'PCM', tls: true, most: 1.4, kb: 110 },
  'mulaw-wss': { what: 'SIP PCMU <-> MULAW, wss', floor: ['-m', 'mulaw', '-T'], agent: 'MULAW', tls: true, most: 1.4, kb: 110 },
  g722: { what: 'SIP G.722 <-> PCM 16 kHz', agent: 'PCM', codec: 'G722', kb: 64 },
  web: { what: 'browser Opus <-> PCM 16 kHz', floor: ['-m', 'opus', '-x', '0'], agent: 'PCM', codec: 'OPUS', web: true, most: 1.25, kb: 180 },
  'web-opus': { what: 'browser Opus <-> OPUS, passed through', agent: 'OPUS', web: true, of: 'mulaw', most: 2, kb: 180 },
};

const { options, positionals } = readArgs(import.meta.url, {
  calls: { type: 'string', default: '200' },
  seconds: { type: 'string', default: '15' },
  warm: { type: 'string', default: '6' },
  rate: { type: 'string', default: '40' },
  'no-floor': { type: 'boolean', default: false },
}, Object.keys(CASES));

const bench = new Bench(options.build, ['iqra-gateway', 'bench/calls', ...(options['no-floor'] ? [] : ['bench/floor'])]);
const file = (name) => path.join(bench.dir, name);

function load(test, calls, target, label, pid) {
  const args = ['--quiet', '--calls', calls, '--seconds', options.seconds, '--warm', options.warm, '--rate', options.rate, '--agent-port', PORTS.agent,
    '--agent-codec', test.agent, '--pid', pid, '--label', label, '--json', ...target];
  if (test.codec) args.push('--codec', test.codec);
  if (test.tls) args.push('--cert', file('cert.pem'), '--key', file('key.pem'));
  return bench.load('bench/calls', args);
}

async function run(name, calls) {
  const test = CASES[name];
  const result = { name, what: test.what };
  if (test.floor && !options['no-floor']) {
    const floor = bench.start(SERVER_CORE, 'bench/floor', ['-s', PORTS.floor, '-a', PORTS.agent, ...test.floor]);
    await pause(300);
    result.floor = await load(test, calls, ['--sip', `127.0.0.1:${PORTS.floor}`], `${name} floor`, floor.pid);
    await bench.stop(floor);
  }
  const gateway = await bench.startGateway(gatewayConfig(bench, test));
  const target = test.web
    ? ['--web', `127.0.0.1:${PORTS.http}`]
    : ['--sip', `127.0.0.1:${PORTS.proxy}`, '--dial', '100', '--uri', ';X-Business-Id=1;X-Phone-Id=bench'];
  result.gateway = await load(test, calls, target, `${name} gateway`, gateway.pid);
  await bench.stop(gateway);
  return result;
}

function certificate() {
  sh('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1', '-addext',
    'subjectAltName=IP:127.0.0.1', '-keyout', file('key.pem'), '-out', file('cert.pem'));
}

const number = (value, digits) => (value === undefined ? '-' : value.toFixed(digits));

function row(result, all) {
  const test = CASES[result.name];
  const g = result.gateway;
  const base = test.of ? all.find((r) => r.name === test.of && r.gateway.calls === g.calls)?.gateway : result.floor;
  const ratio = base ? g.cpuPerCall / base.cpuPerCall : undefined;
  const spoilt = g.generatorWasTheLimit || result.floor?.generatorWasTheLimit ? ' (the generator was the limit: repeat)' : '';
  return [result.what.padEnd(38), number(base?.cpuPerCall * 100, 4), number(g.cpuPerCall * 100, 4), `${number(ratio, 2)} of ${test.most ?? '-'}`,
    `${number(g.kbPerCall, 0)} of ${test.kb}`, number(g.callerToAgentMs.p50, 1), number(g.callerToAgentMs.p99, 1), number(g.agentToCallerMs.p50, 1),
    number(g.agentToCallerMs.p99, 1), `${g.answered}/${g.calls}`].join('\t') + spoilt;
}

async function main() {
  certificate();
  const results = [];
  for (const name of positionals.length ? positionals : Object.keys(CASES)) {
    for (const calls of options.calls.split(',')) {
      console.error(`${name}: ${CASES[name].what}, ${calls} calls`);
      results.push(await run(name, calls));
    }
  }
  const say = options.json ? console.error : console.log;
  if (options.json) console.log(JSON.stringify(results, null, 1));
  say(['case'.padEnd(38), 'base %', 'CPU %', 'ratio', 'kB', 'up p50', 'up p99', 'down p50', 'down p99', 'calls'].join('\t'));
  for (const result of results) say(row(result, results));
}

try {
  await main();
} finally {
  bench.close();
}
