// SPDX-License-Identifier: Apache-2.0
// Bad SIP against one gateway with a proxy and a listener: the right answer to each, and afterwards nothing is left
// behind, and a good call still works.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { until } from './lib/gateway.mjs';
import { agentHears } from './lib/scenario.mjs';
import { admin, callUp, noCalls, NUMBER, parseSip, RtpPeer, rtpPorts, SipPeer, startSipHouse } from './lib/sip.mjs';
import { tortureMessages } from './lib/torture.mjs';

const HOST = '127.0.0.1'; // all of 127/8 are addresses to come from
const PER_SOURCE = 8;
const SIP_TIMEOUT_MS = 40000; // 64 times T1, and a margin

let house;
let peer;
let start;

before(async () => {
  house = await startSipHouse({
    host: HOST,
    config: { Sip: { AcceptDirect: true, InvitesPerSecond: 0, MaxConnectionsPerSource: PER_SOURCE } },
    business: { MaxConcurrentCalls: 0 },
  });
  peer = await SipPeer.start({ host: HOST });
  await goodCall();
  start = await house.gateway.holds();
});
after(async () => {
  peer?.close();
  await house?.stop();
});
afterEach(async () => {
  // After thousands of them, when the places that they were offered are free again.
  await until(async () => {
    const probe = peer.newCall(house.sip.proxyUri(), house.sip.proxyPort);
    peer.invite(probe);
    const answer = await peer.final(probe);
    peer.ack(probe, answer);
    return answer.status === 302;
  }, 'a place for a call', SIP_TIMEOUT_MS);
  await goodCall();
});

// Both ways, by the redirect.
async function goodCall() {
  const rtps = [];
  const { call, rtp, agent } = await callUp({ after: (close) => rtps.push(close) }, house, peer, { options: { caller: `+4940${Date.now() % 1e7}` } });
  await agentHears(agent, 600);
  peer.bye(call);
  assert.equal((await peer.final(call, 'BYE')).status, 200);
  rtp.close();
  rtps.forEach((close) => close());
}

const directUri = () => `sip:${NUMBER}@${HOST}:${house.sip.mediaPort}`;
const directCall = (options) => peer.newCall(directUri(), house.sip.mediaPort, options);

// What a gateway has when nobody calls.
async function nothingIsLeft(timeoutMs = 15000) {
  await noCalls(house.gateway, timeoutMs);
  await until(async () => (await house.gateway.metric('iqra_sip_dialogs')) === 0, 'all dialogs to be gone', timeoutMs);
  await until(async () => (await house.gateway.metric('iqra_sip_proxy_pending')) === 0, 'no verdict to be awaited', timeoutMs);
  await until(() => rtpPorts(30000, 30999).length === 0, 'all media ports to be free', timeoutMs);
  assert.deepEqual(await admin(house.gateway, 'calls'), []);
}

// ---- what cannot be read

let sources = 0;
let asked = 0;
const newSource = () => `127.1.${(++sources >> 8) & 255}.${sources & 255}`;

const options = (via, id) =>
  `OPTIONS sip:proxy SIP/2.0\r\nVia: ${via};branch=z9hG4bK${id}\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=f\r\nTo: <sip:proxy>\r\n` +
  `Call-ID: ${id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n`;

// Sends `bytes` by UDP from an address of its own, OPTIONS behind it; gives the statuses that came before its 200. One
// that `awaits` an answer waits for it: the listener asks others first.
async function byUdp(port, make, { awaits = false } = {}) {
  const host = newSource();
  const one = await SipPeer.start({ host });
  try {
    const via = `SIP/2.0/UDP ${host}:${one.port}`;
    one.send(make(via), port, HOST);
    const id = `alive-${++asked}`;
    one.send(options(via, id), port, HOST);
    const alive = await until(() => one.received.find((m) => m.header('call-id') === id), 'the gateway to answer');
    assert.equal(alive.status, 200);
    if (awaits) await until(() => one.received.some((m) => m !== alive && m.status >= 200), 'an answer');
    return one.received.filter((m) => m !== alive && m.status !== 100).map((m) => String(m.status));
  } finally {
    one.close();
  }
}

// The same by TCP: the answer that comes, "end" when the connection ends without one, "silence" when OPTIONS behind it
// are answered, or nothing is read any more (then the connection ends for its silence, see below).
async function byTcp(port, make) {
  const host = newSource();
  const socket = net.connect({ port, host: HOST, localAddress: host });
  let text = '';
  let ended = false;
  socket.on('data', (data) => (text += data.toString('latin1')));
  socket.on('error', () => (ended = true));
  socket.on('close', () => (ended = true));
  await until(() => ended || !socket.connecting, 'a connection');
  const via = `SIP/2.0/TCP ${host}:9`;
  socket.write(make(via));
  const id = `alive-${++asked}`;
  socket.write(options(via, id));
  setTimeout(() => socket.end(), 2000).unref(); // what waits for more bytes has them all now
  const first = await until(() => {
    const statuses = [...text.matchAll(/^SIP\/2\.0 (\d\d\d) /gm)].map((m) => m[1]).filter((s) => s !== '100');
    if (text.includes(`Call-ID: ${id}`)) return statuses.length > 1 ? statuses[0] : 'silence';
    return statuses[0] ?? (ended && 'end');
  }, 'an answer or an end', 4000).catch(() => 'silence');
  socket.destroy();
  return first;
}

test('the torture messages of RFC 4475 and RFC 5118 by UDP, to the proxy', async () => {
  const wrong = [];
  const messages = tortureMessages();
  assert.ok(messages.length >= 60);
  for (const { name, why, expect, make } of messages) {
    const said = await byUdp(house.sip.proxyPort, make);
    if (said.length > 1 || !expect.includes(said[0] ?? 'silence')) wrong.push(`${name}: wanted ${expect}, came ${said}: ${why}`);
  }
  assert.deepEqual(wrong, []);
});

// For a stream: with the blank line that ends the headers, which a datagram's end makes up for; and as another call than
// that by UDP, with which it would be merged (482).
function forStream(message) {
  const text = message.toString('latin1').replace(/^(call-id|i)([ \t]*:[ \t]*)(?=\S)/gim, '$1$2tcp');
  return Buffer.from(text.includes('\r\n\r\n') ? text : `${text}\r\n`, 'latin1');
}

test('the same by TCP, to the proxy', async (t) => {
  const wrong = [];
  const same = [];
  const other = [];
  await Promise.all(tortureMessages().map(async ({ name, why, expect, make }) => {
    const said = await byTcp(house.sip.proxyPort, (via) => forStream(make(via)));
    // A stream that cannot be cut into messages ends.
    if (expect.includes(said)) same.push(name);
    else if (['400', 'end'].includes(said)) other.push(`${name} ${expect}: ${said}`);
    else wrong.push(`${name}: wanted ${expect}, came ${said}: ${why}`);
  }));
  assert.deepEqual(wrong, []);
  t.diagnostic(`${same.length} as by UDP; ${other.join(', ')}`);
  assert.ok(same.length >= 58);
});

test('the same to the listener', async () => {
  const answered = [];
  await Promise.all(tortureMessages().map(async ({ name, make }) => {
    const udp = await byUdp(house.sip.mediaPort, make);
    assert.ok(udp.length <= 1 && udp[0] !== '500', `${name}: ${udp}`);
    assert.notEqual(await byTcp(house.sip.mediaPort, (via) => forStream(make(via))), '500', name);
    if (udp[0]) answered.push(name);
  }));
  assert.ok(answered.length >= 40, `only ${answered.length} were answered`);
});

let cuts = 0;
const whole = (via, extra = '') =>
  `INVITE sip:nobody@proxy SIP/2.0\r\nVia: ${via};branch=z9hG4bKcut\r\nFrom: <sip:a@b>;tag=f\r\nTo: <sip:b@c>\r\nCall-ID: cut-${++cuts}\r\n` +
  `Contact: <sip:a@${via.split(' ')[1]}>\r\nCSeq: 1 INVITE\r\n${extra}Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n`;

test('truncated messages get 400, as soon as there is a Via to answer to', async () => {
  const length = whole('SIP/2.0/UDP 127.1.0.1:40000').length;
  for (const port of [house.sip.proxyPort, house.sip.mediaPort]) {
    for (let cut = 5; cut < length; cut += 9) {
      let text;
      const said = await byUdp(port, (via) => (text = whole(via).slice(0, cut)), { awaits: cut > length / 2 });
      const lines = text.split('\r\n');
      if (lines.length < 3) assert.ok(said.length === 0 || said[0] === '400', text); // cut within the Via
      else if (lines.length < 8) assert.deepEqual(said, ['400'], text);
      else assert.match(said.join(), /^4\d\d$/, text);
    }
  }
});

test('messages that are too large', async () => {
  const long = (n) => `X-Long: ${'x'.repeat(n)}\r\n`;
  const many = (line, n) => line.repeat(n);
  for (const port of [house.sip.proxyPort, house.sip.mediaPort]) {
    for (const extra of [long(50000), many('X-a: b\r\n', 6000), many('Via: SIP/2.0/UDP h\r\n', 2500), many('Route: <sip:a;lr>\r\n', 2500)]) {
      assert.match((await byUdp(port, (via) => whole(via, extra), { awaits: true })).join(), /^4\d\d$/, `${port} of ${JSON.stringify(house.sip)}: ${extra.slice(0, 20)}`);
    }
    for (const extra of [long(100000), many('X-a: b\r\n', 20000)]) {
      assert.ok(['413', '400', 'end'].includes(await byTcp(port, (via) => whole(via, extra))));
    }
    const endless = (via) => whole(via).replace('Content-Length: 5', 'Content-Length: 999999999') + 'x'.repeat(200000);
    assert.ok(['413', '400', 'end'].includes(await byTcp(port, endless)));
  }
});

// ---- floods of what cannot be read

test('one source gets so many 400 a second and then nothing, at proxy and listener, by UDP and TCP', async (t) => {
  const rate = 5;
  const limited = await startSipHouse({
    host: HOST,
    config: { Gateway: { NodeId: 'limited' }, Sip: { AcceptDirect: true, InvitesPerSecond: rate, RtpPorts: '31000-31999' } },
  });
  t.after(() => limited.stop());
  const kinds = [
    (text) => text.replace('sip:nobody@proxy SIP', 'sip:nobody@proxy; lr SIP'),
    (text) => text.replace(/CSeq: .*/, 'CSeq: x'),
    (text) => text.replace(/Call-ID: .*\r\n/, ''),
    (text) => text.slice(0, text.indexOf('Contact')),
  ];
  const bad = (via, i) => kinds[i % kinds.length](whole(via).replace('z9hG4bKcut', `z9hG4bKflood${++asked}`));
  for (const port of [limited.sip.proxyPort, limited.sip.mediaPort]) {
    const flood = await SipPeer.start({ t, host: newSource() });
    const from = Date.now();
    for (let i = 0; i < 300; i++) flood.send(bad(`SIP/2.0/UDP ${flood.host}:${flood.port}`, i), port, HOST);
    assert.deepEqual(await byUdp(port, (via) => options(via, `beside-${++asked}`)), ['200'], 'others are not hindered');
    const seconds = (Date.now() - from) / 1000;
    const answers = flood.received.map((m) => m.status);
    assert.deepEqual([...new Set(answers)], [400]);
    assert.ok(answers.length >= rate && answers.length <= rate * (1 + seconds) + 1, `${answers.length} answers in ${seconds} s`);
  }
  // By TCP each 400 ends its connection, and so does silence.
  for (const port of [limited.sip.proxyPort, limited.sip.mediaPort]) {
    const host = newSource();
    const from = Date.now();
    const heard = [];
    for (let i = 0; i < 40; i++) {
      const socket = dialTcp(port, host);
      socket.end(bad(`SIP/2.0/TCP ${host}:9`, i % 3));
      await until(() => socket.over, 'the connection to end');
      heard.push(socket.heard ? Number(socket.heard.slice(8, 11)) : 0);
    }
    const seconds = (Date.now() - from) / 1000;
    const answers = heard.filter(Boolean);
    assert.deepEqual([...new Set(answers)], [400]);
    assert.ok(answers.length >= rate && answers.length <= rate * (1 + seconds) + 1, `${answers.length} answers in ${seconds} s`);
  }
  assert.ok((await limited.gateway.metric('iqra_sip_proxy_limited_total{answer="none"}')) > 100);
});

// ---- half-open calls

// INVITEs of `count` callers, each from a port of its own, who say nothing more. Gives how often each status came.
async function halfOpen(t, count, uri, port, body = '') {
  const statuses = {};
  const sockets = [];
  t.after(() => sockets.forEach((socket) => socket.close()));
  for (let i = 0; i < count; i++) {
    const socket = dgram.createSocket('udp4');
    sockets.push(socket);
    socket.bind(0, HOST);
    await once(socket, 'listening');
    const via = `${HOST}:${socket.address().port}`;
    let answered = false;
    socket.on('message', (data) => {
      const { status } = parseSip(data.toString());
      if (!(status >= 200) || answered) return;
      answered = true;
      statuses[status] = (statuses[status] ?? 0) + 1;
    });
    socket.send(
      `INVITE ${uri} SIP/2.0\r\nVia: SIP/2.0/UDP ${via};branch=z9hG4bKhalf${i};rport\r\nMax-Forwards: 70\r\nFrom: <sip:+4950${i}@b>;tag=h${i}\r\n` +
        `To: <${uri}>\r\nCall-ID: half-${port}-${sources}-${i}\r\nCSeq: 1 INVITE\r\nContact: <sip:x@${via}>\r\n` +
        `${body && 'Content-Type: application/sdp\r\n'}Content-Length: ${body.length}\r\n\r\n${body}`,
      port,
      HOST,
    );
  }
  sources++;
  const total = () => Object.values(statuses).reduce((sum, n) => sum + n, 0);
  await until(() => total() >= count * 0.98, `answers to ${count} INVITEs`, 30000).catch((error) => {
    throw new Error(`${error.message}: ${JSON.stringify(statuses)}`);
  });
  return statuses;
}

// ---- calls that are given up, ended and repeated at awkward moments

test('CANCEL with the INVITE, after 180, and crossing the 200', async (t) => {
  const rtp = await RtpPeer.start({ t, host: HOST });
  const seen = {};
  for (let i = 0; i < 30; i++) {
    const call = directCall();
    peer.invite(call, { body: rtp.sdp() });
    if (i % 3 === 1) await peer.until(call, (m) => m.status === 180, '180');
    if (i % 3 === 2) await peer.until(call, (m) => m.status === 200, '200');
    peer.cancel(call);
    const cancelled = await peer.final(call, 'CANCEL');
    const answer = await peer.final(call);
    peer.ack(call, answer);
    assert.equal(cancelled.status, answer.status === 200 ? 481 : 200);
    if (answer.status === 200) {
      peer.bye(call);
      assert.equal((await peer.final(call, 'BYE')).status, 200);
    } else {
      assert.equal(answer.status, 487);
    }
    seen[`${i % 3}: ${answer.status}`] = true;
  }
  assert.ok(seen['0: 487'] && seen['2: 200'], JSON.stringify(seen));
  const proxied = peer.newCall(house.sip.proxyUri(), house.sip.proxyPort);
  peer.invite(proxied);
  peer.cancel(proxied);
  assert.ok([200, 481].includes((await peer.final(proxied, 'CANCEL')).status));
  const answer = await peer.final(proxied);
  peer.ack(proxied, answer);
  assert.ok([302, 487].includes(answer.status));
  await nothingIsLeft();
});

test('BYE before the ACK ends the call', async (t) => {
  const rtp = await RtpPeer.start({ t, host: HOST });
  const index = house.agent.calls.length;
  const call = directCall();
  peer.invite(call, { body: rtp.sdp() });
  const answer = await peer.final(call);
  assert.equal(answer.status, 200);
  call.toTag = /;tag=([^;>\s]+)/.exec(answer.header('to'))[1];
  call.target = /<([^>]+)>/.exec(answer.header('contact'))[1];
  peer.bye(call);
  assert.equal((await peer.final(call, 'BYE')).status, 200);
  await until(() => house.agent.calls[index].closed, 'the agent to be let go', 3000);
  call.cseq = 1;
  peer.ack(call, answer); // too late, and nobody's any more
  call.cseq = 3;
  peer.send(peer.request(call, 'BYE'), call.port);
  assert.equal((await peer.final(call, 'BYE')).status, 481);
  await nothingIsLeft();
});

test('everything three times is one call', async (t) => {
  const thrice = await SipPeer.start({ t, host: HOST });
  const once = thrice.send.bind(thrice);
  thrice.send = (...args) => [0, 1, 2].forEach(() => once(...args));
  const calls = house.agent.calls.length;
  const answered = await house.gateway.metric('iqra_sip_calls_total{outcome="answered"}');
  const { call, agent } = await callUp(t, house, thrice);
  await agentHears(agent, 600);
  call.cseq++;
  thrice.send(thrice.request(call, 'INFO', { headers: 'Content-Type: application/dtmf-relay\r\n', body: 'Signal=7\r\nDuration=160\r\n' }).replace('Content-Type: application/sdp\r\n', ''), call.port);
  assert.equal((await thrice.final(call, 'INFO')).status, 200);
  await until(() => agent.texts.length > 0, 'the digit');
  thrice.bye(call);
  assert.equal((await thrice.final(call, 'BYE')).status, 200);
  await nothingIsLeft();
  assert.deepEqual(agent.texts.map((text) => JSON.parse(text).digit), ['7']);
  assert.equal(house.agent.calls.length, calls + 1);
  assert.equal(await house.gateway.metric('iqra_sip_calls_total{outcome="answered"}'), answered + 1);
  assert.deepEqual(thrice.of(call).filter((m) => m.status >= 300 && m.status !== 302).map((m) => m.text), []);
});

// ---- connections

const dialTcp = (port, from = HOST) => {
  const socket = net.connect({ port, host: HOST, localAddress: from });
  socket.on('error', () => {});
  socket.on('close', () => (socket.over = true));
  socket.on('data', (data) => (socket.heard = `${socket.heard ?? ''}${data}`));
  return socket;
};

test('one source may hold so many connections, proxy and listener together; others are not hindered', async () => {
  const from = newSource();
  const sockets = [];
  for (let i = 0; i < 3 * PER_SOURCE; i++) sockets.push(dialTcp(i % 2 ? house.sip.proxyPort : house.sip.mediaPort, from));
  await until(() => sockets.filter((s) => s.over).length === 2 * PER_SOURCE, 'the others to be refused');
  for (const [i, socket] of sockets.entries()) {
    if (!socket.over) socket.write(options(`SIP/2.0/TCP ${from}:9`, `held-${i}`));
  }
  await until(() => sockets.filter((s) => /^SIP\/2\.0 200/.test(s.heard ?? '')).length === PER_SOURCE, 'those who are in to be answered');
  assert.ok((await house.gateway.metric('iqra_sip_connections_ended_total{reason="source"}')) >= 2 * PER_SOURCE);
  assert.equal(await byTcp(house.sip.proxyPort, (via) => options(via, 'other')), '200');
  sockets.forEach((socket) => socket.destroy());
  assert.equal(await until(() => byTcp(house.sip.proxyPort, (via) => options(via, 'again')), 'room again'), '200');
});

test('1,000 callers at a listener who say nothing more: as many as there are places ring, and all go', async (t) => {
  const small = await startSipHouse({
    host: HOST,
    config: { Gateway: { NodeId: 'small', MaxCalls: 40 }, Sip: { AcceptDirect: true, InvitesPerSecond: 0, RtpPorts: '31000-31999' } },
    business: { MaxConcurrentCalls: 0 },
  });
  t.after(() => small.stop());
  const rtp = await RtpPeer.start({ t, host: HOST });
  small.agent.fault = 'hang';
  const ends = await halfOpen(t, 1000, `sip:${NUMBER}@${HOST}:${small.sip.mediaPort}`, small.sip.mediaPort, rtp.sdp());
  t.diagnostic(JSON.stringify(ends));
  assert.ok(ends['486'] >= 900, JSON.stringify(ends));
  assert.deepEqual(Object.keys(ends).sort(), ['486', '503']);
  await noCalls(small.gateway);
  assert.deepEqual(rtpPorts(31000, 31999), []);
});

// What takes its time, all at once.
test('silent connections end, calls that are never acknowledged end, and 3,000 who never follow their 302 are forgotten', async (t) => {
  const rtp = await RtpPeer.start({ t, host: HOST });
  const call = directCall();
  peer.invite(call, { body: rtp.sdp() });
  assert.equal((await peer.final(call)).status, 200);
  const silent = dialTcp(house.sip.proxyPort);
  const slow = dialTcp(house.sip.mediaPort);
  const drip = setInterval(() => slow.write('I'), 1000);
  t.after(() => clearInterval(drip));
  slow.write('INVITE sip:');

  const ends = await halfOpen(t, 1000, house.sip.proxyUri(), house.sip.proxyPort);
  const first = (await house.gateway.holds()).rssKb;
  const more = await halfOpen(t, 2000, house.sip.proxyUri(), house.sip.proxyPort);
  const second = (await house.gateway.holds()).rssKb;
  t.diagnostic(`${JSON.stringify(ends)} ${JSON.stringify(more)}, ${start.rssKb} ${first} ${second} kB`);
  // Each is offered a place for 30 s; then the node is full.
  assert.ok(ends['302'] > 100, JSON.stringify(ends));
  for (const statuses of [ends, more]) assert.deepEqual(Object.keys(statuses).filter((s) => s !== '302' && s !== '503'), []);
  assert.ok(second - first < 2000 * 60, `${second - first} kB for 2,000 more`);

  await until(() => silent.over && slow.over, 'both to be cut off', SIP_TIMEOUT_MS);
  assert.ok((await house.gateway.metric('iqra_sip_connections_ended_total{reason="silent"}')) >= 2);
  await peer.until(call, (m) => m.method === 'BYE', 'a BYE', SIP_TIMEOUT_MS);
});

test('in the end nothing is left: no call, no port, no descriptor', async (t) => {
  await nothingIsLeft(SIP_TIMEOUT_MS);
  let end;
  await until(async () => (end = await house.gateway.holds()).descriptors <= start.descriptors + 1, 'the descriptors to be as before', SIP_TIMEOUT_MS).catch((error) => {
    throw new Error(`${error.message}: ${JSON.stringify(start)} ${JSON.stringify(end)}`);
  });
  assert.equal(end.threads, start.threads);
  t.diagnostic(`${JSON.stringify(start)} ${JSON.stringify(end)}`);
});
