// SPDX-License-Identifier: Apache-2.0
// A bad network: UDP from clients to one address and back, with loss and with a delay that varies, so that packets
// also change order. Deterministic but for the clock: the dice are seeded.
import dgram from 'node:dgram';
import { once } from 'node:events';

function dice(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export class Relay {
  // `loss` 0 to 1 in each direction; `jitterMs`: each packet is late by 0 to this.
  constructor({ listenHost = '127.0.0.1', toHost, toPort, loss = 0, jitterMs = 0, seed = 1 }) {
    Object.assign(this, { listenHost, toHost, toPort, loss, jitterMs });
    this.roll = dice(seed);
    this.clients = new Map(); // "address:port" -> socket towards the target
    this.timers = new Set();
    this.counts = { up: 0, down: 0, lost: 0 };
    this.closed = false;
  }

  async start() {
    this.door = dgram.createSocket('udp4');
    this.door.bind(0, this.listenHost);
    await once(this.door, 'listening');
    this.door.on('message', (data, from) => {
      this.counts.up++;
      const socket = this.towards(from);
      this.pass(() => socket.send(data, this.toPort, this.toHost));
    });
    return this.door.address().port;
  }

  towards(from) {
    const key = `${from.address}:${from.port}`;
    const known = this.clients.get(key);
    if (known) return known;
    const socket = dgram.createSocket('udp4');
    socket.bind(0, this.listenHost);
    socket.on('error', () => {});
    socket.on('message', (data) => {
      this.counts.down++;
      this.pass(() => this.door.send(data, from.port, from.address));
    });
    this.clients.set(key, socket);
    return socket;
  }

  pass(deliver) {
    if (this.roll() < this.loss) {
      this.counts.lost++;
      return;
    }
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      if (!this.closed) deliver();
    }, this.roll() * this.jitterMs);
    this.timers.add(timer);
  }

  close() {
    this.closed = true;
    for (const timer of this.timers) clearTimeout(timer);
    for (const socket of [this.door, ...this.clients.values()]) socket.close();
  }
}
