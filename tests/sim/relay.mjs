// SPDX-License-Identifier: Apache-2.0
// A bad network: UDP from clients to one address and back, with loss, duplicates and a delay that varies, so that packets
// also change order. Deterministic but for the clock: the dice are seeded, one set for each direction, and each packet
// costs the same number of rolls whatever becomes of it.
//
// By itself:  node tests/sim/relay.mjs --listen 127.0.0.1:9000 --to 127.0.0.1:20000 --loss 0.1 --jitter-ms 60
//                  [--delay-ms 0] [--dup 0.01] [--reorder 0.02] [--seed N]
// prints one JSON line when it is ready, {"ready":true,"listen":"127.0.0.1:9000"}, and its counts on SIGTERM or SIGINT.
import dgram from 'node:dgram';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const MAX_CLIENTS = 256; // each has a socket of its own towards the target, as behind a NAT

// mulberry32
function dice(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function udpSocket(host) {
  const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('error', () => {}); // what cannot be sent is lost
  return socket;
}

export class Relay {
  // In each direction: `loss`, `dup` and `reorder` are shares of the packets, 0 to 1; each packet is late by `delayMs` and
  // 0 to `jitterMs` more; a reordered one goes at once and so overtakes those that wait (without any delay, it waits 5 ms).
  constructor({ listenHost = '127.0.0.1', listenPort = 0, toHost, toPort, loss = 0, jitterMs = 0, delayMs = 0, dup = 0, reorder = 0, seed = 1 }) {
    Object.assign(this, { listenHost, listenPort, toHost, toPort });
    this.trouble = { up: { loss, jitterMs, delayMs, dup, reorder }, down: { loss, jitterMs, delayMs, dup, reorder } };
    this.dice = { up: dice(seed), down: dice(seed ^ 0x9e3779b9) };
    this.clients = new Map(); // "address:port" -> socket towards the target
    this.timers = new Set();
    this.counts = { up: 0, down: 0, lost: 0, duplicated: 0, reordered: 0, refused: 0 };
    this.closed = false;
  }

  // Returns the port it listens on.
  async start() {
    this.door = udpSocket(this.listenHost);
    this.door.bind(this.listenPort, this.listenHost);
    await Promise.race([once(this.door, 'listening'), once(this.door, 'error').then(([error]) => Promise.reject(error))]);
    this.door.on('message', (data, from) => {
      const socket = this.towards(from);
      if (socket) this.pass('up', () => socket.send(data, this.toPort, this.toHost));
    });
    return this.door.address().port;
  }

  // From now on, e.g. set({ loss: 1 }) cuts the line and set({ loss: 0 }) mends it; only 'up' or 'down' when that is said.
  set(trouble, direction) {
    for (const each of direction ? [direction] : ['up', 'down']) Object.assign(this.trouble[each], trouble);
  }

  towards(from) {
    const key = `${from.address}:${from.port}`;
    const known = this.clients.get(key);
    if (known) return known;
    if (this.clients.size >= MAX_CLIENTS) {
      this.counts.refused++;
      return undefined;
    }
    const socket = udpSocket(this.listenHost);
    socket.bind(0, this.listenHost);
    socket.on('message', (data) => this.pass('down', () => this.door.send(data, from.port, from.address)));
    this.clients.set(key, socket);
    return socket;
  }

  pass(direction, deliver) {
    const roll = this.dice[direction];
    const { loss, jitterMs, delayMs, dup, reorder } = this.trouble[direction];
    const [lost, late, twice, lateAgain, early] = [roll() < loss, roll(), roll() < dup, roll(), roll() < reorder];
    this.counts[direction]++;
    if (lost) {
      this.counts.lost++;
      return;
    }
    if (early) this.counts.reordered++;
    const steady = jitterMs + delayMs === 0;
    const delay = early ? (steady ? 5 : 0) : delayMs + late * jitterMs;
    this.later(delay, deliver);
    if (!twice) return;
    this.counts.duplicated++;
    this.later(delayMs + lateAgain * jitterMs, deliver);
  }

  later(ms, deliver) {
    if (ms === 0) {
      deliver();
      return;
    }
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      if (!this.closed) deliver();
    }, ms);
    this.timers.add(timer);
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    for (const timer of this.timers) clearTimeout(timer);
    for (const socket of [this.door, ...this.clients.values()]) socket.close();
  }
}

function parseAddress(name, text) {
  const match = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(text ?? '');
  if (!match || Number(match[3]) > 65535) throw new Error(`--${name} wants ADDRESS:PORT`);
  return { host: match[1] ?? match[2], port: Number(match[3]) };
}

function parseNumber(name, text, max) {
  const value = Number(text);
  if (!(value >= 0 && value <= max)) throw new Error(`--${name} wants a number from 0 to ${max}`);
  return value;
}

function parseOptions(args) {
  const limits = { loss: 1, dup: 1, reorder: 1, 'jitter-ms': 60000, 'delay-ms': 60000, seed: 2 ** 32 - 1 };
  const names = ['listen', 'to', ...Object.keys(limits)];
  const { values } = parseArgs({ args, options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
  const listen = parseAddress('listen', values.listen);
  const to = parseAddress('to', values.to);
  const options = { listenHost: listen.host, listenPort: listen.port, toHost: to.host, toPort: to.port };
  for (const [name, max] of Object.entries(limits)) {
    if (values[name] === undefined) continue;
    options[name.replace('-ms', 'Ms')] = parseNumber(name, values[name], max);
  }
  return options;
}

async function main() {
  const options = parseOptions(process.argv.slice(2));
  const relay = new Relay(options);
  const port = await relay.start();
  const host = options.listenHost.includes(':') ? `[${options.listenHost}]` : options.listenHost;
  console.log(JSON.stringify({ ready: true, listen: `${host}:${port}` }));
  const stop = () => {
    relay.close();
    console.log(JSON.stringify(relay.counts));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
