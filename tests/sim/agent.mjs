// SPDX-License-Identifier: Apache-2.0
// A voice agent that cannot be had here: a WebSocket server speaking the iqra dialect (binary = audio in the agreed
// encoding, text = chat). It records what it hears and says what a test asks for, in any chunk size.
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { WebSocketServer } from 'ws';
import { ENCODINGS, tone } from './signal.mjs';

export class AgentCall {
  constructor(ws, request, { rateHz, encoding, echo }) {
    this.ws = ws;
    this.path = request.url;
    this.headers = request.headers;
    this.rateHz = rateHz;
    this.encoding = encoding;
    this.echo = echo; // every frame goes back as it came
    this.frames = []; // {at: ms, len: bytes}
    this.audio = []; // the last frames' buffers
    this.texts = [];
    this.closed = false;
    this.closeCode = undefined;
    ws.on('message', (data, binary) => (binary ? this.hear(data) : this.texts.push(data.toString())));
    ws.on('close', (code) => {
      this.closed = true;
      this.closeCode = code;
      this.closedAt = performance.now();
      clearInterval(this.speaking);
    });
    ws.on('error', () => {});
  }

  hear(data) {
    this.frames.push({ at: performance.now(), len: data.length });
    this.audio.push(data);
    if (this.audio.length > 1000) this.audio.shift();
    if (this.echo) this.say(data);
  }

  // The last `ms` of what was heard, as samples (encodings of signal.mjs only).
  lastSamples(ms) {
    const { decode, bytesPerSample } = ENCODINGS[this.encoding];
    const bytes = Math.round((this.rateHz * ms) / 1000) * bytesPerSample;
    const all = Buffer.concat(this.audio);
    return decode(all.subarray(Math.max(0, all.length - bytes)));
  }

  say(bytes) {
    if (!this.closed) this.ws.send(bytes, { binary: true });
  }

  // A tone: 'burst' in one message, or in messages of `chunkBytes`, each as long after the last as it plays ('steady').
  sayTone(freqHz, ms, { pattern = 'burst', chunkBytes = 640, fragments = false } = {}) {
    const { encode, bytesPerSample } = ENCODINGS[this.encoding];
    const bytes = encode(tone(this.rateHz, freqHz, ms));
    clearInterval(this.speaking);
    if (pattern === 'burst') return this.say(bytes);
    const bytesPerMs = (this.rateHz * bytesPerSample) / 1000;
    const began = performance.now();
    let at = 0;
    const tick = () => {
      // By the clock since the beginning, as agents do: a late timer is made up for.
      while (at < bytes.length && at <= (performance.now() - began) * bytesPerMs) {
        this.sayChunk(bytes.subarray(at, at + chunkBytes), fragments);
        at += chunkBytes;
      }
      if (at >= bytes.length) clearInterval(this.speaking);
    };
    tick();
    this.speaking = setInterval(tick, chunkBytes / bytesPerMs);
    return undefined;
  }

  sayChunk(chunk, fragments) {
    if (this.closed) return;
    if (fragments) {
      this.ws.send(chunk.subarray(0, 1), { binary: true, fin: false });
      this.ws.send(chunk.subarray(1), { binary: true, fin: true });
    } else this.say(chunk);
  }

  sendText(text) {
    this.ws.send(text);
  }

  hangUp(code = 1000) {
    this.ws.close(code);
  }

  // Dies without a close frame.
  kill() {
    this.ws._socket.destroy();
  }
}

// fault: undefined | 'hang' (never answers the upgrade) | 'status404' | 'close' (closes at once)
// What it speaks (rateHz, encoding, echo) may be changed between calls. `tls` ({key, cert}): wss.
export async function startAgent({ tls, host = '127.0.0.1', port = 0, rateHz = 16000, encoding = 'PCM', echo = false, fault, onCall } = {}) {
  const calls = [];
  const held = new Set();
  const server = tls ? https.createServer(tls) : http.createServer();
  const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const agent = { calls, fault, server, rateHz, encoding, echo };
  server.on('upgrade', (request, socket, head) => {
    held.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => held.delete(socket));
    if (agent.fault === 'hang') return;
    if (agent.fault === 'status404') {
      socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      return;
    }
    wss.handleUpgrade(request, socket, head, (ws) => {
      const call = new AgentCall(ws, request, agent);
      calls.push(call);
      if (agent.fault === 'close') ws.close(1011, 'no');
      else onCall?.(call);
    });
  });
  server.listen(port, host);
  await once(server, 'listening');
  agent.url = `${tls ? 'wss' : 'ws'}://${host.includes(':') ? `[${host}]` : host}:${server.address().port}/agent`;
  agent.close = async () => {
    for (const socket of held) socket.destroy();
    wss.close();
    server.close();
    await once(server, 'close');
  };
  return agent;
}
