// SPDX-License-Identifier: Apache-2.0
// A load balancer without any stickiness: every request goes to the next node. A node that refuses the connection is
// passed over, and so is one that answers 503 to a request as long as another may take it: as nginx by docs/middleware.md.
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';

export class RoundRobin {
  constructor(ports, host = '127.0.0.1') {
    Object.assign(this, { ports, host, next: 0, sockets: new Set() });
    this.seen = []; // [method, path without query, port] of every request that was answered
  }

  async start() {
    this.server = http.createServer((request, response) => this.request(request, response));
    this.server.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head));
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
    this.server.listen(0, this.host);
    await once(this.server, 'listening');
    this.url = `http://${this.host}:${this.server.address().port}`;
    return this;
  }

  // Every node, beginning with the one whose turn it is.
  turn() {
    const first = this.next++ % this.ports.length;
    return [...this.ports.slice(first), ...this.ports.slice(0, first)];
  }

  note(request, port) {
    this.seen.push([request.method, request.url.split('?')[0], port]);
  }

  async request(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const ports = this.turn();
    for (const port of ports) {
      if (await this.forward(request, Buffer.concat(chunks), response, port, port === ports.at(-1))) return;
    }
    response.writeHead(502).end();
  }

  // Resolves to whether the client has its answer, or has left.
  forward(request, body, response, port, last) {
    return new Promise((resolve) => {
      const onward = http.request({ host: this.host, port, method: request.method, path: request.url, headers: request.headers, agent: false });
      onward.on('error', () => resolve(response.headersSent || response.destroyed));
      onward.on('response', (answer) => {
        if (answer.statusCode === 503 && !last) {
          answer.resume();
          return resolve(false);
        }
        this.note(request, port);
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
        answer.on('error', () => response.destroy());
        return resolve(true);
      });
      response.on('close', () => onward.destroy());
      onward.end(body);
    });
  }

  upgrade(request, near, head, ports = this.turn()) {
    const [port, ...others] = ports;
    const far = net.connect(port, this.host);
    let connected = false;
    far.once('connect', () => {
      connected = true;
      this.note(request, port);
      const headers = request.rawHeaders.map((text, i) => (i % 2 ? `${text}\r\n` : `${text}: `)).join('');
      far.write(`${request.method} ${request.url} HTTP/1.1\r\n${headers}\r\n`);
      far.write(head);
      near.pipe(far).pipe(near);
    });
    far.on('error', () => {
      if (!connected && others.length) this.upgrade(request, near, head, others);
      else near.destroy();
    });
    far.on('close', (failed) => failed || near.destroy());
    near.on('error', () => far.destroy());
    near.on('close', () => far.destroy());
  }

  async close() {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}
