#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Calls that start and end at random, by SIP and like browsers, for an hour or as long as you like: whether memory,
// descriptors and slots stay flat, as numbers. The gateway on core 1, both loads on core 0.
//
//   sudo tests/bench/soak.mjs [--build DIR] [--minutes M] [--sip N] [--web N] [--life MIN-MAX] [--every S] [--json]
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { Bench, gatewayConfig, LOAD_CORE, pause, PORTS, readArgs } from './lib.mjs';

const { options } = readArgs(import.meta.url, {
  minutes: { type: 'string', default: '60' },
  sip: { type: 'string', default: '60' }, // callers, each of whom calls again and again
  web: { type: 'string', default: '30' },
  life: { type: 'string', default: '2-40' }, // seconds of a call
  every: { type: 'string', default: '10' }, // seconds between samples
});
const TOKEN = 'a-token-of-the-benchmark-0123456789';
const WEB_NUMBER = 200000; // of the first browser-like caller
const WEB_PORT = PORTS.agent + 20;
const WARM = 0.25; // of the time, before memory counts: pools and heaps have their size by then
const DRAIN_S = 60;
const KEPT = 4; // idle connections to the platform
const GROWN_KB_PER_CALL = 0.5; // a leak, not a heap that breathes
const BREATH = 0.02; // of the memory in use
const FAILED = 0.001; // of the calls
const seconds = Math.round(Number(options.minutes) * 60);

function admin(what) {
  const { stdout } = spawnSync('ip', ['netns', 'exec', bench.space, 'curl', '-s', '-m', '5', '-H', `Authorization: Bearer ${TOKEN}`,
    `http://127.0.0.1:${PORTS.http}/api/admin/${what}`], { encoding: 'utf8' });
  return stdout ? JSON.parse(stdout) : undefined;
}

function descriptorsOf(pid) {
  const links = [];
  for (const fd of fs.readdirSync(`/proc/${pid}/fd`)) {
    try {
      links.push(fs.readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      continue; // closed since
    }
  }
  return links;
}

// Sockets of the process, not of the whole namespace.
function portsOf(pid, links) {
  const lines = ['udp', 'udp6'].flatMap((name) => fs.readFileSync(`/proc/${pid}/net/${name}`, 'utf8').split('\n').slice(1));
  const udp = new Set(lines.map((line) => `socket:[${line.trim().split(/\s+/)[9]}]`));
  return links.filter((link) => udp.has(link)).length;
}

function sample(pid, began) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  const number = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)[1]);
  const links = descriptorsOf(pid);
  return {
    s: Math.round((Date.now() - began) / 1000),
    rssKb: number('VmRSS'),
    threads: number('Threads'),
    descriptors: links.length,
    ports: portsOf(pid, links),
    slots: admin('desk')?.slots,
  };
}

function callers(args, text) {
  const child = bench.start(LOAD_CORE, 'bench/calls', ['--quiet', '--json', '--warm', '1', '--seconds', seconds, '--life', options.life, ...args], ['ignore', 'pipe', 'pipe']);
  child.stdout.on('data', (data) => text.push(data));
  return child;
}

// The slope of memory over time, kB a minute, by least squares.
function slope(samples) {
  const mean = (of) => samples.reduce((sum, s) => sum + of(s), 0) / samples.length;
  const at = mean((s) => s.s), kb = mean((s) => s.rssKb);
  const across = samples.reduce((sum, s) => sum + (s.s - at) ** 2, 0);
  return across ? (60 * samples.reduce((sum, s) => sum + (s.s - at) * (s.rssKb - kb), 0)) / across : 0;
}

// What grew that should not have.
function faults(result, calls) {
  const { idle, after, first, second, sip, web } = result;
  const found = [];
  const leaked = second.rssKb - first.rssKb - BREATH * first.rssKb;
  if (leaked > (GROWN_KB_PER_CALL * calls * (1 - WARM)) / 2) found.push(`memory grew by ${second.rssKb - first.rssKb} kB`);
  if (second.threads > first.threads) found.push(`threads: ${first.threads}, then ${second.threads}`);
  if (after.threads > first.threads) found.push(`threads after the calls: ${after.threads}`);
  if (after.descriptors > idle.descriptors + KEPT) found.push(`${after.descriptors - idle.descriptors} descriptors are left`);
  if (after.ports > idle.ports) found.push(`${after.ports - idle.ports} UDP ports are left`);
  if (after.slots !== 0) found.push(`${after.slots} slots are left`);
  for (const load of [sip, web]) {
    if (!load.answered) found.push(`no ${load.label} call was answered`);
    if (load.failed > load.answered * FAILED) found.push(`${load.failed} ${load.label} calls failed`);
  }
  return found;
}

const bench = new Bench(options.build, ['iqra-gateway', 'bench/calls']);
for (const name of ['SIGINT', 'SIGTERM'])
  process.once(name, () => {
    bench.close();
    process.exit(130);
  });
const config = gatewayConfig(bench);
config.Gateway.AdminToken = TOKEN;

try {
  const gateway = await bench.startGateway(config);
  const began = Date.now();
  const idle = sample(gateway.pid, began);
  const texts = [[], []];
  const loads = [
    callers(['--sip', `127.0.0.1:${PORTS.proxy}`, '--dial', '100', '--uri', ';X-Business-Id=1;X-Phone-Id=bench', '--calls', options.sip, '--agent-port', PORTS.agent,
      '--other', `${WEB_NUMBER}:${WEB_PORT}`, '--label', 'sip'], texts[0]),
    callers(['--web', `127.0.0.1:${PORTS.http}`, '--calls', options.web, '--number', WEB_NUMBER, '--agent-port', WEB_PORT, '--label', 'web'], texts[1]),
  ];
  const ended = (load) => load.exitCode !== null || load.signalCode !== null;
  // One that ends before its time has failed, and the other one with it.
  const over = () => loads.every(ended) || (loads.some(ended) && Date.now() < began + seconds * 1000);
  const samples = [];
  for (let next = began; !over(); next += Number(options.every) * 1000) {
    while (!over() && Date.now() < next) await pause(100);
    if (over()) break;
    const now = sample(gateway.pid, began);
    samples.push(now);
    console.error(`${now.s} s of ${seconds}: ${now.slots} slots, ${now.rssKb} kB, ${now.descriptors} descriptors, ${now.ports} UDP ports, ${now.threads} threads`);
  }
  for (const load of loads) process.stderr.write(load.text);
  const silent = loads.find((load, i) => !texts[i].length);
  if (silent) throw new Error(`a load ended without a word (${silent.signalCode ?? silent.exitCode}): ${silent.spawnargs.join(' ')}`);
  let after = sample(gateway.pid, began);
  const drained = () => after.slots === 0 && after.ports <= idle.ports && after.descriptors <= idle.descriptors + KEPT;
  for (let i = 0; i < DRAIN_S && !drained(); i++) {
    await pause(1000);
    after = sample(gateway.pid, began);
  }
  const [sip, web] = texts.map((text) => JSON.parse(text.join('')));
  const late = samples.filter((s) => s.s >= seconds * WARM && s.s <= seconds);
  if (late.length < 4) throw new Error('too short to judge: --minutes more, or --every fewer seconds');
  const half = late.length >> 1;
  const most = (list) => Object.fromEntries(Object.keys(idle).map((key) => [key, Math.max(...list.map((s) => s[key]))]));
  const calls = sip.answered + web.answered;
  const result = { seconds, calls, sip, web, idle, after, first: most(late.slice(0, half)), second: most(late.slice(half)), rssKbPerMinute: slope(late), samples };
  result.faults = faults(result, calls);
  if (options.json) console.log(JSON.stringify(result, null, 1));
  for (const load of [sip, web])
    console.log(`${load.label}: ${load.answered} calls, ${load.failed} failed; setup p99 ${load.setupMs.p99.toFixed(0)} ms; ${load.packets.gaps} of ${load.packets.received} packets missing`);
  console.log(['', 'before', 'first half', 'second half', 'after'].map((text) => text.padEnd(12)).join(''));
  for (const [key, name] of Object.entries({ rssKb: 'memory, kB', descriptors: 'descriptors', ports: 'UDP ports', threads: 'threads', slots: 'slots' }))
    console.log([name, idle[key], result.first[key], result.second[key], after[key]].map((text) => String(text).padEnd(12)).join(''));
  console.log(`memory: ${result.rssKbPerMinute.toFixed(1)} kB a minute, ${((result.rssKbPerMinute * seconds) / 60 / calls).toFixed(2)} kB a call`);
  console.log(result.faults.length ? `NOT FLAT: ${result.faults.join('; ')}` : 'flat');
  await bench.stop(gateway);
  process.exitCode = result.faults.length ? 1 : 0;
} finally {
  bench.close();
}
