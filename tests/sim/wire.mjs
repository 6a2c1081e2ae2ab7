// SPDX-License-Identifier: Apache-2.0
// A TCP wire between a browser and the gateway that a test can cut.
import { once } from 'node:events';
import net from 'node:net';

export class Wire {
  constructor({ listenHost = '127.0.0.1', toHost = '127.0.0.1', toPort }) {
    Object.assign(this, { listenHost, toHost, toPort });
    this.pairs = new Set();
    this.dead = false; // refuses new connections
  }

  async start() {
    this.server = net.createServer((near) => this.join(near));
    this.server.listen(0, this.listenHost);
    await once(this.server, 'listening');
    return this.server.address().port;
  }

  join(near) {
    near.on('error', () => {});
    if (this.dead) {
      near.resetAndDestroy();
      return;
    }
    const far = net.connect(this.toPort, this.toHost);
    far.on('error', () => {});
    const pair = [near, far];
    this.pairs.add(pair);
    const gone = () => {
      this.pairs.delete(pair);
      pair.forEach((socket) => socket.destroy());
    };
    near.on('close', gone);
    far.on('close', gone);
    near.pipe(far);
    far.pipe(near);
  }

  // Every connection ends with a reset on both sides, as when a network goes away.
  cut({ forever = false } = {}) {
    this.dead = forever;
    for (const pair of this.pairs) pair.forEach((socket) => socket.resetAndDestroy());
  }

  close() {
    this.cut({ forever: true });
    this.server.close();
  }
}
