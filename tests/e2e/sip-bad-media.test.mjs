// SPDX-License-Identifier: Apache-2.0
// Bad SDP, and bad media during calls: strangers who speak up, floods, forged SRTP. The call goes on, and afterwards
// nothing is left behind.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { rms, tone, toneShare } from '../sim/signal.mjs';
import { until } from './lib/gateway.mjs';
import { agentHears } from './lib/scenario.mjs';
import { admin, callUp, noCalls, NUMBER, RtpPeer, rtpPorts, SipPeer, startSipHouse } from './lib/sip.mjs';
import { SrtpSender } from './lib/srtp.mjs';

const HOST = '127.0.0.1'; // all of 127/8 are addresses to come from
const STRANGER = '127.9.9.9';
const SPOOF_HZ = 1500;

let house;
let peer;
let start;

before(async () => {
  house = await startSipHouse({ host: HOST, config: { Sip: { AcceptDirect: true, InvitesPerSecond: 0 } }, business: { MaxConcurrentCalls: 0 } });
  peer = await SipPeer.start({ host: HOST });
  await ring(goodSdp);
  await nothingIsLeft();
  start = await house.gateway.holds();
});
after(async () => {
  peer?.close();
  await house?.stop();
});

async function nothingIsLeft() {
  await noCalls(house.gateway);
  await until(() => rtpPorts(30000, 30999).length === 0, 'all media ports to be free');
  if (!start) return;
  await until(async () => (await house.gateway.holds()).descriptors <= start.descriptors + 1, 'the descriptors to be as before');
}

// ---- SDP

const goodSdp = (rtp) => rtp.sdp();
const lines = (...all) => all.map((line) => `${line}\r\n`).join('');
const session = (...rest) => lines('v=0', `o=- 1 1 IN IP4 ${HOST}`, 's=-', `c=IN IP4 ${HOST}`, 't=0 0', ...rest);
const numbers = (n, from = 0) => Array.from({ length: n }, (_, i) => i + from);

// A direct call with the SDP that `make` gives for a peer's port; the final status. A call that is taken must work.
async function ring(make, type = 'application/sdp') {
  const rtp = await RtpPeer.start({ host: HOST });
  const index = house.agent.calls.length;
  const call = peer.newCall(`sip:${NUMBER}@${HOST}:${house.sip.mediaPort}`, house.sip.mediaPort);
  peer.send(peer.request(call, 'INVITE', { body: make(rtp) }).replace('application/sdp', type), call.port);
  call.branch = `z9hG4bK${call.tag}INVITE1`;
  const answer = await peer.final(call);
  peer.ack(call, answer);
  if (answer.status === 200) {
    rtp.aim(answer.body);
    rtp.speak(600);
    const agent = house.agent.calls[index];
    await agentHears(agent, 600);
    agent.sayTone(1000, 2000);
    await until(() => rtp.payloads.length > 20 && toneShare(rtp.lastSamples(200), 8000, 1000) > 0.9, 'the agent at the trunk');
    peer.bye(call);
    assert.equal((await peer.final(call, 'BYE')).status, 200);
  }
  rtp.close();
  return answer.status;
}

const SDPS = [
  ['addresses of a private network, behind another source', 200, (rtp) => rtp.sdp().replaceAll(`IN IP4 ${HOST}`, 'IN IP4 10.99.99.99')],
  ['port 0', 488, () => session('m=audio 0 RTP/AVP 0')],
  ['no audio', 488, () => session('m=video 4000 RTP/AVP 96', 'a=rtpmap:96 VP8/90000')],
  ['no stream at all', 488, () => session()],
  ['no codec in common', 488, () => session('m=audio 4000 RTP/AVP 18 3', 'a=rtpmap:18 G729/8000')],
  ['200 codecs, PCMU the last that is looked at', 200, (rtp) => session(`m=audio ${rtp.port} RTP/AVP ${[...numbers(126, 1), 0, ...numbers(73, 300)].join(' ')}`)],
  ['200 codecs, none in common', 488, () => session(`m=audio 4000 RTP/AVP ${numbers(200, 10).join(' ')}`)],
  ['200 rtpmaps of unknown codecs', 200, (rtp) => session(`m=audio ${rtp.port} RTP/AVP 0 ${numbers(31, 96).join(' ')}`, ...numbers(200).map((i) => `a=rtpmap:${96 + (i % 31)} X-${i}/8000`))],
  ['100 m-lines before the good one', 400, (rtp) => session(...numbers(100).map(() => 'm=audio 4000 RTP/AVP 18'), `m=audio ${rtp.port} RTP/AVP 0`)],
  ['50 kB of attributes', 413, (rtp) => rtp.sdp({ extra: 'a=x-attribute:0123456789012345678901234567890123456789\r\n'.repeat(1000) })],
  ['one line of 50 kB', 413, (rtp) => rtp.sdp({ extra: `a=x:${'y'.repeat(50000)}\r\n` })],
  ['numbers beyond their range', 400, () => session('m=audio 99999999999999999999 RTP/AVP 0')],
  ['a payload type beyond its range', 488, () => session('m=audio 4000 RTP/AVP 4294967296')],
  ['an address that is none', 200, (rtp) => rtp.sdp().replaceAll(`c=IN IP4 ${HOST}`, 'c=IN IP4 999.1.1.1')],
  ['multicast', 200, (rtp) => rtp.sdp().replaceAll(`c=IN IP4 ${HOST}`, 'c=IN IP4 224.2.1.1/127')],
  ['the other IP version', 488, () => session('m=audio 4000 RTP/AVP 0').replaceAll(`IN IP4 ${HOST}`, 'IN IP6 ::1')],
  ['only v=0', 488, () => 'v=0\r\n'],
  ['binary', 400, () => String.fromCharCode(...numbers(255, 1)).repeat(4)],
  ['a NUL within', 400, (rtp) => rtp.sdp().replace('m=audio', 'm=\0audio')],
  ['no line ends', 400, (rtp) => rtp.sdp().replaceAll('\r\n', ' ')],
];

describe('SDP', () => {
  for (const [name, status, make] of SDPS) {
    test(`${name}: ${status}`, async () => {
      assert.equal(await ring(make), status);
    });
  }

  test('what is no SDP: 415', async () => {
    assert.equal(await ring(goodSdp, 'application/octet-stream'), 415);
  });

  test('nothing is left', nothingIsLeft);
});

// ---- strangers

// An RTP packet of PCMU at 1500 Hz.
const SPOOF = RtpPeer.prototype.encode.call({ encoding: 'MULAW' }, tone(8000, SPOOF_HZ, 20, 20000));
function spoof(sequence, timestamp, ssrc = 0x1234abcd) {
  const head = Buffer.alloc(12);
  head[0] = 0x80;
  head.writeUInt16BE(sequence & 0xffff, 2);
  head.writeUInt32BE(timestamp >>> 0, 4);
  head.writeUInt32BE(ssrc, 8);
  return Buffer.concat([head, SPOOF]);
}

async function stranger(t, host) {
  const socket = dgram.createSocket('udp4');
  socket.bind(0, host);
  await once(socket, 'listening');
  t.after(() => socket.close());
  socket.heard = 0;
  socket.on('message', () => socket.heard++);
  return socket;
}

// The agent hears the caller, and nothing of a stranger, in its last `ms`.
function assertOnlyCaller(agent, ms) {
  const samples = agent.lastSamples(ms);
  assert.ok(toneShare(samples, 16000, 600) > 0.9, `${toneShare(samples, 16000, 600)} of it is the caller's`);
  assert.ok(toneShare(samples, 16000, SPOOF_HZ) < 0.02, `${toneShare(samples, 16000, SPOOF_HZ)} of it is a stranger's`);
}

const refused = (reason) => house.gateway.metric(`iqra_rtp_refused_total{reason="${reason}"}`);

test('spoofed RTP from another address, and from another port of the caller: not heard, not answered', async (t) => {
  const { call, rtp, agent } = await callUp(t, house, peer);
  await agentHears(agent, 600);
  agent.sayTone(1000, 10000);
  const before = await refused('source');
  const others = [await stranger(t, STRANGER), await stranger(t, HOST)];
  const frames = agent.frames.length;
  let sent = 0;
  const speaking = setInterval(() => {
    for (const other of others) {
      // As a stranger who has seen the call would: its SSRC, the next number.
      other.send(spoof(rtp.sequence + 1, rtp.timestamp + 160), rtp.target.port, rtp.target.host);
      other.send(spoof(sent++, sent * 160, 0x666), rtp.target.port, rtp.target.host);
    }
  }, 10);
  t.after(() => clearInterval(speaking));
  await until(() => agent.frames.length > frames + 200, 'four seconds of frames');
  clearInterval(speaking);
  assertOnlyCaller(agent, 3500);
  assert.ok((await refused('source')) >= before + 1000);
  assert.deepEqual(others.map((other) => other.heard), [0, 0]);
  assert.ok(toneShare(rtp.lastSamples(2000), 8000, 1000) > 0.95);
  peer.bye(call);
  await nothingIsLeft();
});

// In a thread of its own: 20,000 packets a second for `seconds`.
const FLOOD = `
  const { workerData: { host, port, from, packet, seconds }, parentPort } = require('node:worker_threads');
  const socket = require('node:dgram').createSocket('udp4');
  socket.bind(0, from, () => {
    const began = performance.now();
    let sent = 0;
    const timer = setInterval(() => {
      const wanted = Math.min(performance.now() - began, seconds * 1000) * 20;
      for (; sent < wanted; sent++) {
        packet[2] = sent >> 8; packet[3] = sent;
        socket.send(packet, port, host);
      }
      if (sent < seconds * 20000) return;
      clearInterval(timer);
      socket.close();
      parentPort.postMessage(sent);
    }, 2);
  });`;

test('20,000 packets a second from a stranger: the call goes on, and they are counted', async (t) => {
  const { call, rtp, agent } = await callUp(t, house, peer);
  await agentHears(agent, 600);
  agent.sayTone(1000, 10000);
  const before = await refused('source');
  const frames = agent.frames.length;
  const flood = new Worker(FLOOD, { eval: true, workerData: { host: rtp.target.host, port: rtp.target.port, from: STRANGER, packet: spoof(1, 160), seconds: 4 } });
  const [sent] = await once(flood, 'message');
  await until(() => agent.frames.length > frames + 200, 'four seconds of frames');
  assertOnlyCaller(agent, 3000);
  assert.ok(toneShare(rtp.lastSamples(2000), 8000, 1000) > 0.95);
  const counted = (await refused('source')) - before;
  const { media } = (await admin(house.gateway, 'calls')).find((c) => c.callId === call.callId);
  t.diagnostic(`${sent} sent, ${counted} counted; ${JSON.stringify(media)}`);
  assert.equal(sent, 80000);
  assert.ok(counted > sent / 4, `${counted} of ${sent} counted`); // the kernel drops what does not fit into the socket
  peer.bye(call);
  await nothingIsLeft();
});

test('the same before the caller has said anything: the caller is heard', async (t) => {
  const rtp = await RtpPeer.start({ t, host: HOST });
  const index = house.agent.calls.length;
  const call = peer.newCall(`sip:${NUMBER}@${HOST}:${house.sip.mediaPort}`, house.sip.mediaPort);
  peer.invite(call, { body: rtp.sdp() });
  const answer = await peer.final(call);
  assert.equal(answer.status, 200);
  peer.ack(call, answer);
  rtp.aim(answer.body);
  const flood = new Worker(FLOOD, { eval: true, workerData: { host: rtp.target.host, port: rtp.target.port, from: STRANGER, packet: spoof(1, 160, 0x666), seconds: 3 } });
  await until(() => house.gateway.logs.some((l) => /media comes from 127\.9\.9\.9/.test(l.msg)) || house.agent.calls[index].frames.length > 50, 'a second of the flood');
  rtp.speak(600);
  await agentHears(house.agent.calls[index], 600);
  await once(flood, 'message');
  assertOnlyCaller(house.agent.calls[index], 500);
  peer.bye(call);
  await nothingIsLeft();
});

// ---- SRTP

test('forged SRTP: another key, flipped bits, in the clear, replayed', async (t) => {
  const srtp = new SrtpSender();
  const forger = new SrtpSender();
  const rtp = await RtpPeer.start({ t, host: HOST });
  const index = house.agent.calls.length;
  const call = peer.newCall(`sip:${NUMBER}@${HOST}:${house.sip.mediaPort}`, house.sip.mediaPort);
  peer.invite(call, { body: rtp.sdp({ extra: srtp.crypto }).replace('RTP/AVP', 'RTP/SAVP') });
  const answer = await peer.final(call);
  assert.equal(answer.status, 200);
  assert.match(answer.body, /RTP\/SAVP/);
  peer.ack(call, answer);
  rtp.aim(answer.body);
  const send = rtp.socket.send.bind(rtp.socket);
  let forging = false;
  let last;
  rtp.socket.send = (packet, port, host) => {
    const good = srtp.protect(packet);
    if (forging) {
      const bad = spoof(packet.readUInt16BE(2), packet.readUInt32BE(4));
      const flipped = Buffer.from(good);
      flipped[20] ^= 1;
      const cut = good.subarray(0, good.length - 4);
      for (const forged of [bad, forger.protect(bad), flipped, cut, last]) send(forged, port, host);
    }
    last = good;
    send(good, port, host);
  };
  rtp.speak(600);
  const agent = house.agent.calls[index];
  await agentHears(agent, 600);
  const before = await house.gateway.metric('iqra_srtp_rejected_total');
  const frames = agent.frames.length;
  forging = true;
  await until(() => agent.frames.length > frames + 150, 'three seconds of frames');
  assertOnlyCaller(agent, 2500);
  assert.ok(rms(agent.lastSamples(2500)) > 3000);
  const rejected = (await house.gateway.metric('iqra_srtp_rejected_total')) - before;
  const { media } = (await admin(house.gateway, 'calls')).find((c) => c.callId === call.callId);
  t.diagnostic(`${rejected} rejected; ${JSON.stringify(media)}`);
  assert.ok(rejected >= 5 * 140, `${rejected} rejected`);
  assert.ok(media.concealedMs < 200, `${media.concealedMs} ms concealed`);
  peer.bye(call);
  await nothingIsLeft();
});
