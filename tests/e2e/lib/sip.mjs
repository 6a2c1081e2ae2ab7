// SPDX-License-Identifier: Apache-2.0
// Telephony in tests: a gateway with a proxy, a listener and a number; baresip and sipp as the far end; and a SIP peer
// of our own, for what real ones cannot be made to do.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import dgram from 'node:dgram';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { ENCODINGS, pcmSamples, tone, wav } from '../../sim/signal.mjs';
import { merge, until } from './gateway.mjs';
import { HOST, startHouse } from './scenario.mjs';

// ---- the gateway

// A port that is free for UDP and TCP alike.
export async function freePort(host = HOST) {
  for (;;) {
    const server = net.createServer().listen(0, host);
    await once(server, 'listening');
    const { port } = server.address();
    const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const bound = await new Promise((resolve) => {
      socket.once('error', () => resolve(false));
      socket.bind(port, host, () => resolve(true));
    });
    await new Promise((resolve) => { server.close(resolve); });
    if (bound) await new Promise((resolve) => { socket.close(resolve); });
    if (bound) return port;
  }
}

export const NUMBER = '+49302000001';
export const NUMBER_ID = 'num1';
export const BUSINESS_ID = '123';

// One number of one business in the region of every test's gateway.
export function numberConfig(number = {}, business = {}) {
  return {
    Businesses: {
      [BUSINESS_ID]: {
        MaxConcurrentCalls: 10,
        ...business,
        Numbers: { [NUMBER_ID]: { Number: NUMBER, Provider: 'SIP', RouteId: 'route-1', RegionId: 'local', CampaignId: 'demo', ...number } },
      },
    },
    Regions: { local: { Enabled: true } },
  };
}

// startHouse of scenario.mjs with all three roles, and ports of SIP that are free; those of TLS with `tls`, of
// makeAuthority's issue.
export async function startSipHouse({ config = {}, number = {}, business = {}, host = HOST, tls, ...rest } = {}) {
  const ports = [];
  while (ports.length < 4) ports.push(await freePort(host));
  const [proxyPort, mediaPort, proxyTlsPort, mediaTlsPort] = ports;
  const address = host.includes(':') ? `[${host}]` : host;
  const listen = (port, tlsPort) => [`udp:${address}:${port}`, `tcp:${address}:${port}`, ...(tls ? [`tls:${address}:${tlsPort}`] : [])];
  const house = await startHouse({
    ...rest,
    config: merge(
      {
        Gateway: { Roles: ['middleware', 'proxy', 'media'] },
        Sip: {
          ProxyListen: listen(proxyPort, proxyTlsPort),
          MediaListen: listen(mediaPort, mediaTlsPort),
          RtpPorts: '30000-30999',
          ...(tls && { TlsCertificate: tls.certFile, TlsKey: tls.keyFile }),
        },
        ...numberConfig(number, business),
      },
      config,
    ),
  });
  house.platform.agentUrl = (session) => `${house.agent.url}/${session}`;
  const sip = { host, proxyPort, mediaPort, proxyTlsPort, mediaTlsPort };
  sip.proxyUri = (params = `;X-Business-Id=${BUSINESS_ID};X-Phone-Id=${NUMBER_ID}`, port = proxyPort) => `sip:${NUMBER}@${address}:${port}${params}`;
  await until(async () => (await admin(house.gateway, 'nodes')).some((n) => n.state === 'running'), 'the node to be known');
  return { ...house, sip };
}

// GET of an operator's door.
export async function admin(gateway, what) {
  const answer = await fetch(`${gateway.url}/api/admin/${what}`, { headers: { authorization: 'Bearer admin-secret' } });
  if (!answer.ok) throw new Error(`GET /api/admin/${what}: ${answer.status}`);
  return answer.json();
}

// The newest entry of the call queue, once it has this status.
export function queueEntry(gateway, status, timeoutMs = 15000) {
  return until(async () => {
    const { entries } = await admin(gateway, 'queue?limit=1');
    return entries[0]?.status === status && entries[0];
  }, `the newest entry to be ${status}`, timeoutMs);
}

// The UDP ports of this network namespace that are bound, between `min` and `max`.
export function rtpPorts(min, max) {
  const lines = ['/proc/net/udp', '/proc/net/udp6'].flatMap((file) => fs.readFileSync(file, 'utf8').split('\n').slice(1));
  return lines.map((line) => parseInt(line.trim().split(/\s+/)[1]?.split(':').at(-1), 16)).filter((port) => port >= min && port <= max);
}

export const noCalls = (gateway, timeoutMs = 10000) =>
  until(async () => (await gateway.metric('iqra_calls')) === 0, 'all calls to be gone', timeoutMs);

// The agent's side of the newest call from this number.
export const agentOf = (house, caller) =>
  until(
    () => house.agent.calls.findLast((call) => house.platform.live.get(path.basename(call.path))?.ClientIdentifier === caller),
    `the agent to be called for ${caller}`,
  );

// ---- baresip

// A telephone that says a tone, or `source` (a WAV file), and keeps what it hears. `events` are those of its control socket. The first of `codecs`
// (as PCMU, G722/16000/1, opus/48000/2) decides what its tone is made for.
export class Baresip {
  // With `t`, the test's context, it is stopped when the test ends, whatever that comes to.
  static async start({ t, host = HOST, transport = 'udp', toneHz = 600, toneMs = 60000, codecs = ['PCMU'], caller = '+49309999', source, modules = [], account = '', config = '' } = {}) {
    const phone = new Baresip();
    t?.after(() => phone.stop());
    phone.host = host;
    phone.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-baresip-'));
    phone.port = await freePort(host);
    const control = await freePort('127.0.0.1');
    phone.events = [];
    const [, rateHz = 8000, channels = 1] = codecs[0].split('/').map(Number);
    source ??= path.join(phone.dir, 'tone.wav');
    if (!fs.existsSync(source)) fs.writeFileSync(source, wav(rateHz, tone(rateHz, toneHz, toneMs, 8000, channels), channels));
    const module = (name) => `module ${name}.so\n`;
    fs.writeFileSync(
      path.join(phone.dir, 'config'),
      `poll_method epoll\nsip_listen ${host}:${phone.port}\nsip_transports udp,tcp,tls\n` +
        `net_interface ${host}\ncall_local_timeout 60\ncall_max_calls 4\naudio_source aufile,${source}\naudio_player aubridge,sink\naudio_alert aubridge,alert\n` +
        `rtp_ports 40000-40999\nrtcp_mux no\njitter_buffer_type fixed\njitter_buffer_delay 1-4\nsnd_path ${phone.dir}\nctrl_tcp_listen 127.0.0.1:${control}\n` +
        `module_path /usr/lib/baresip/modules\n${['g711', 'g722', 'opus', 'aufile', 'aubridge', 'sndfile', 'srtp', ...modules].map(module).join('')}` +
        `module_tmp account.so\nmodule_app ctrl_tcp.so\nmodule_app menu.so\n${config}`,
    );
    fs.writeFileSync(
      path.join(phone.dir, 'accounts'),
      `<sip:${caller}@${host}:${phone.port};transport=${transport}>;regint=0;audio_codecs=${codecs.join(',')};ptime=20${account}\n`,
    );
    fs.writeFileSync(path.join(phone.dir, 'contacts'), '');
    phone.log = '';
    phone.child = spawn('baresip', ['-f', phone.dir, '-v'], { stdio: ['ignore', 'pipe', 'pipe'] });
    phone.exited = once(phone.child, 'exit');
    for (const stream of [phone.child.stdout, phone.child.stderr]) {
      stream.on('data', (data) => {
        phone.log += data;
        if (process.env.E2E_VERBOSE) process.stderr.write(data);
      });
    }
    try {
      phone.socket = await until(() => phone.connect(control), 'baresip', 20000);
    } catch (error) {
      await phone.stop();
      throw new Error(`${error.message}\n${phone.log}`);
    }
    return phone;
  }

  connect(port) {
    return new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1');
      let text = '';
      socket.once('error', () => resolve(undefined));
      socket.once('connect', () => resolve(socket));
      socket.on('data', (data) => {
        text += data;
        for (let m; (m = /^(\d+):/.exec(text)) && text.length >= m[0].length + Number(m[1]) + 1; ) {
          this.take(JSON.parse(text.substr(m[0].length, Number(m[1]))));
          text = text.slice(m[0].length + Number(m[1]) + 1);
        }
      });
    });
  }

  take(message) {
    if (message.event) this.events.push(message);
  }

  command(command, params = '') {
    const text = JSON.stringify({ command, params, token: '1' });
    this.socket.write(`${Buffer.byteLength(text)}:${text},`);
  }

  // Follows a redirect by itself.
  dial(uri) {
    this.command('dial', uri);
  }

  hangUp() {
    this.command('hangup');
  }

  // Digits, while a call is up.
  press(digits) {
    for (const digit of digits) this.command('sndcode', digit);
  }

  saw(type) {
    return this.events.find((event) => event.type === type);
  }

  async until(type, timeoutMs = 15000) {
    try {
      return await until(() => this.saw(type), `baresip's ${type}`, timeoutMs);
    } catch (error) {
      throw new Error(`${error.message}\n${this.log.slice(-3000)}`);
    }
  }

  // What it heard last, as samples of `rateHz`, out of the file that it writes until it is put on hold.
  heard(ms) {
    const file = fs.readdirSync(this.dir).find((name) => /dec\.wav$/.test(name));
    if (!file) return { rateHz: 8000, samples: new Int16Array(0) };
    const bytes = fs.readFileSync(path.join(this.dir, file));
    const rateHz = bytes.readUInt32LE(24);
    const channels = bytes.readUInt16LE(22);
    const samples = pcmSamples(bytes.subarray(44)).filter((_, i) => i % channels === 0);
    return { rateHz, samples: samples.slice(-Math.round((rateHz * ms) / 1000)) };
  }

  async stop() {
    if (!this.child || this.stopped) return;
    this.stopped = true;
    this.socket?.destroy();
    this.child.kill('SIGTERM');
    const late = setTimeout(() => this.child.kill('SIGKILL'), 5000);
    await this.exited;
    clearTimeout(late);
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}

// ---- sipp

// Begins a scenario: {logged(), stop(), done}. `logged` gives the lines of its <log> so far; `stop` begins no more calls and
// waits, like `done`, for the end: {code, output, lines}.
export async function startSipp(scenario, target, { host = HOST, calls = 1, rate = 10, timeoutS = 30, args = [] } = {}) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-sipp-'));
  const [file, log, errors] = ['scenario.xml', 'log', 'errors'].map((name) => path.join(dir, name));
  fs.writeFileSync(file, scenario);
  const port = await freePort(host);
  const child = spawn(
    'sipp',
    ['-sf', file, '-i', host, '-p', String(port), '-mi', host, '-m', String(calls), '-r', String(rate), '-timeout', `${timeoutS}s`, '-timeout_error',
      '-nostdin', '-trace_err', '-error_file', errors, '-trace_logs', '-log_file', log, ...args, target],
    { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
  const read = (name) => (fs.existsSync(name) ? fs.readFileSync(name, 'utf8') : '');
  const end = async () => {
    const [code] = await once(child, 'exit');
    const result = { code, output: `${output.slice(-2000)}\n${read(errors).slice(0, 4000)}`, lines: lines() };
    fs.rmSync(dir, { recursive: true, force: true });
    return result;
  };
  const lines = () => read(log).split('\n').filter(Boolean);
  const done = end();
  return { done, logged: lines, stop: () => (child.kill('SIGUSR1'), done) };
}

// Runs a scenario to its end. Code 0: every call went as written.
export const runSipp = async (...args) => (await startSipp(...args)).done;

// ---- a peer of our own

let serial = 0;

// One message, as far as tests look: {status | method, reason, headers: [[name, value]], body}.
export function parseSip(text) {
  const [head, body = ''] = text.split(/\r\n\r\n(.*)/s);
  const [first, ...lines] = head.split('\r\n');
  const answer = /^SIP\/2\.0 (\d+) ?(.*)$/.exec(first);
  const headers = lines.map((line) => [line.slice(0, line.indexOf(':')).trim().toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]);
  return {
    ...(answer ? { status: Number(answer[1]), reason: answer[2] } : { method: first.split(' ')[0], uri: first.split(' ')[1] }),
    headers,
    header: (name) => headers.find(([n]) => n === name)?.[1],
    body,
    text,
  };
}

// The Contacts of a redirect, in their order.
export const contactsOf = (answer) =>
  [...answer.headers.filter(([name]) => name === 'contact').join().matchAll(/<(sip:[^@>]*@\[?([^;>]+?)\]?:(\d+);X-CallQueue-Id=([^;>]+)[^>]*)>;q=([\d.]+)/g)].map(
    ([, uri, host, port, queueId, q]) => ({ uri, host, port: Number(port), queueId, q: Number(q) }),
  );

// A UDP socket that speaks SIP as it is told. What came is in `received`; nothing is answered by itself but BYE.
export class SipPeer {
  static async start({ t, host = HOST, autoBye = true } = {}) {
    const peer = new SipPeer();
    t?.after(() => peer.close());
    peer.host = host;
    peer.autoBye = autoBye;
    peer.received = [];
    peer.socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
    peer.socket.bind(0, host);
    await once(peer.socket, 'listening');
    peer.port = peer.socket.address().port;
    peer.socket.on('message', (data, from) => peer.take(data.toString(), from));
    return peer;
  }

  take(text, from) {
    const message = { ...parseSip(text), from, at: performance.now() };
    this.received.push(message);
    if (message.method === 'BYE' && this.autoBye) this.answer(message, 200, 'OK');
  }

  send(text, port, host = this.host) {
    this.socket.send(text, port, host);
  }

  answer(request, status, reason, extra = '') {
    const copied = request.headers.filter(([name]) => ['via', 'from', 'to', 'call-id', 'cseq'].includes(name));
    const head = copied.map(([name, value]) => `${name}: ${value}`).join('\r\n');
    this.send(`SIP/2.0 ${status} ${reason}\r\n${head}\r\n${extra}Content-Length: 0\r\n\r\n`, request.from.port, request.from.address);
  }

  // A call to be made with it: what its requests have in common. `host`: where they go, if not to the peer's own.
  newCall(uri, port, { caller = '+49309999', headers = '', host } = {}) {
    const n = ++serial;
    return { uri, port, host, callId: `${n}-${process.pid}-${this.port}@test`, tag: `t${n}`, toTag: '', cseq: 1, caller, headers, branch: '' };
  }

  request(call, method, { body = '', headers = '', cseq = call.cseq, branch, uri = call.target ?? call.uri } = {}) {
    const via = branch ?? `z9hG4bK${call.tag}${method}${cseq}`;
    if (method === 'INVITE') call.branch = via;
    const host = this.host.includes(':') ? `[${this.host}]` : this.host;
    return (
      `${method} ${uri} SIP/2.0\r\nVia: SIP/2.0/UDP ${host}:${this.port};branch=${via};rport\r\nMax-Forwards: 70\r\n` +
      `From: "Test" <sip:${call.caller}@${host}>;tag=${call.tag}\r\nTo: <${call.uri}>${call.toTag ? `;tag=${call.toTag}` : ''}\r\n` +
      `Call-ID: ${call.callId}\r\nCSeq: ${cseq} ${method}\r\nContact: <sip:test@${host}:${this.port}>\r\n${call.headers}${headers}` +
      `${body ? 'Content-Type: application/sdp\r\n' : ''}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
    );
  }

  invite(call, { body = '', ...rest } = {}) {
    this.send(this.request(call, 'INVITE', { body, ...rest }), call.port, call.host);
  }

  // The ACK of a final answer: of a failure within the transaction, else with a branch of its own. Learns the dialog.
  ack(call, answer, { body = '' } = {}) {
    call.toTag = /;tag=([^;>\s]+)/.exec(answer.header('to'))?.[1] ?? '';
    if (answer.status < 300) call.target = /<([^>]+)>/.exec(answer.header('contact'))?.[1] ?? call.uri;
    const cseq = Number(answer.header('cseq').split(' ')[0]);
    this.send(this.request(call, 'ACK', { cseq, body, branch: answer.status < 300 ? undefined : call.branch, ...(answer.status < 300 ? {} : { uri: call.uri }) }), call.port, call.host);
  }

  cancel(call) {
    this.send(this.request(call, 'CANCEL', { branch: call.branch }), call.port, call.host);
  }

  bye(call) {
    call.cseq++;
    this.send(this.request(call, 'BYE'), call.port, call.host);
  }

  of(call) {
    return this.received.filter((m) => m.header('call-id') === call.callId);
  }

  async until(call, check, what, timeoutMs = 15000) {
    try {
      return await until(() => this.of(call).find(check), what, timeoutMs);
    } catch (error) {
      throw new Error(`${error.message}; it saw ${this.of(call).map((m) => m.status ?? m.method)}`);
    }
  }

  // The final answer to the request with the call's CSeq and this method.
  final(call, method = 'INVITE', timeoutMs = 15000) {
    return this.until(call, (m) => m.status >= 200 && m.header('cseq') === `${call.cseq} ${method}`, `a final answer to ${method}`, timeoutMs);
  }

  // The call to be made to a Contact of the redirect of `first`.
  follow(first, contact, options) {
    const call = this.newCall(contact.uri, contact.port, { ...options, host: contact.host });
    return Object.assign(call, { callId: first.callId, cseq: ++first.cseq, queueId: contact.queueId });
  }

  // The proxy's 302: acknowledged; gives the call to make at the first backend.
  async redirected(uri, port, options) {
    const first = this.newCall(uri, port, options);
    this.invite(first, { body: options?.body ?? '' });
    const answer = await this.final(first);
    this.ack(first, answer);
    if (answer.status !== 302) throw new Error(`expected 302, got ${answer.status} ${answer.reason}`);
    const call = this.follow(first, contactsOf(answer)[0], options);
    return call;
  }

  close() {
    if (!this.closed) this.socket.close();
    this.closed = true;
  }
}

// PCMU or PCMA over RTP, one packet each 20 ms by the clock, and the payloads that came.
export class RtpPeer {
  static async start({ t, host = HOST, encoding = 'MULAW' } = {}) {
    const peer = new RtpPeer();
    t?.after(() => peer.close());
    Object.assign(peer, { host, encoding, payloads: [], packets: [], sequence: 1, timestamp: 160, payloadType: encoding === 'MULAW' ? 0 : 8 });
    peer.socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
    peer.socket.bind(0, host);
    await once(peer.socket, 'listening');
    peer.port = peer.socket.address().port;
    peer.socket.on('message', (data) => {
      peer.packets.push({ at: performance.now(), type: data[1] & 0x7f, marker: data[1] >> 7, sequence: data.readUInt16BE(2), timestamp: data.readUInt32BE(4), data: data.subarray(12) });
      if ((data[1] & 0x7f) === peer.payloadType) peer.payloads.push(data.subarray(12));
    });
    return peer;
  }

  // An offer or answer of this peer; `extra` are lines of the audio section.
  sdp({ version = 1, extra = '', formats = `${this.payloadType} 101`, direction = 'sendrecv' } = {}) {
    const family = this.host.includes(':') ? 'IP6' : 'IP4';
    return (
      `v=0\r\no=- 7 ${version} IN ${family} ${this.host}\r\ns=-\r\nc=IN ${family} ${this.host}\r\nt=0 0\r\nm=audio ${this.port} RTP/AVP ${formats}\r\n` +
      `a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=${direction}\r\n${extra}`
    );
  }

  // Where the gateway wants it, from its SDP.
  aim(sdp) {
    this.target = { host: /c=IN IP[46] (\S+)/.exec(sdp)[1], port: Number(/m=audio (\d+)/.exec(sdp)[1]) };
  }

  packet(type, payload, { marker = false } = {}) {
    const head = Buffer.alloc(12);
    head[0] = 0x80;
    head[1] = type | (marker ? 0x80 : 0);
    head.writeUInt16BE(this.sequence++ & 0xffff, 2);
    head.writeUInt32BE(this.timestamp >>> 0, 4);
    head.writeUInt32BE(0x1234abcd, 8);
    this.socket.send(Buffer.concat([head, payload]), this.target.port, this.target.host);
  }

  // A tone, for ever.
  speak(freqHz) {
    this.say(tone(8000, freqHz, 1000));
  }

  // Says these s16le samples of 8 kHz, whole packets of them, again and again, by a clock that is `ppm` fast. Returns when
  // the first of them went out.
  say(pcm, { ppm = 0 } = {}) {
    const bytes = this.encode(pcm);
    const packets = Math.floor(bytes.length / 160);
    const began = performance.now();
    let sent = 0;
    clearInterval(this.speaking);
    this.speaking = setInterval(() => {
      for (; sent * 20 * (1 - ppm / 1e6) <= performance.now() - began; sent++) {
        const at = (sent % packets) * 160;
        this.packet(this.payloadType, bytes.subarray(at, at + 160));
        this.timestamp += 160;
      }
    }, 10);
    return began;
  }

  quiet() {
    clearInterval(this.speaking);
  }

  // One key by RFC 4733: three packets, then three ends. The audio stream goes on around it.
  press(digit) {
    const event = '0123456789*#ABCD'.indexOf(digit);
    const say = (duration, end) => {
      const payload = Buffer.from([event, (end ? 0x80 : 0) | 10, 0, 0]);
      payload.writeUInt16BE(duration, 2);
      this.packet(101, payload, { marker: duration === 160 });
    };
    for (const duration of [160, 320, 480]) say(duration, false);
    for (let i = 0; i < 3; i++) say(640, true);
    this.timestamp += 640;
  }

  encode(pcm) {
    return ENCODINGS[this.encoding].encode(pcm);
  }

  decode(bytes) {
    return ENCODINGS[this.encoding].decode(bytes);
  }

  lastSamples(ms) {
    return this.decode(Buffer.concat(this.payloads.slice(-Math.ceil(ms / 20))));
  }

  close() {
    this.quiet();
    if (!this.closed) this.socket.close();
    this.closed = true;
  }
}

// A call of the peer's that is up, by the redirect: {call, rtp, answer, agent}. It says a tone of 600 Hz.
export async function callUp(t, house, peer, { uri = house.sip.proxyUri(), port = house.sip.proxyPort, options, offer = {}, encoding } = {}) {
  const rtp = await RtpPeer.start({ t, host: peer.host, encoding });
  const index = house.agent.calls.length;
  const call = await peer.redirected(uri, port, options);
  peer.invite(call, { body: rtp.sdp(offer) });
  const answer = await peer.final(call);
  assert.equal(answer.status, 200, `${answer.status} ${answer.reason}`);
  peer.ack(call, answer);
  rtp.aim(answer.body);
  rtp.speak(600);
  return { call, rtp, answer, agent: options?.caller ? await agentOf(house, options.caller) : house.agent.calls[index] };
}
