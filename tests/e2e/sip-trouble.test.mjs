// SPDX-License-Identifier: Apache-2.0
// Trunks over bad networks: whatever is lost, late, doubled or out of step, the agent gets a frame each FrameMs, the
// delay does not grow, and the caller hears the agent without a gap.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { Relay } from '../sim/relay.mjs';
import { pcmSamples, tone, toneShare } from '../sim/signal.mjs';
import { until } from './lib/gateway.mjs';
import { agentHears, HOST } from './lib/scenario.mjs';
import { admin, Baresip, callUp, noCalls, SipPeer, startSipHouse } from './lib/sip.mjs';

const FRAME_MS = 20;
const AGENT_HZ = 16000;
const MARK_HZ = 1500;
const MARK_EACH_MS = 1000;
const PIECE_MS = 10;
const LASTS_MS = 40000;
const JITTER_MAX_MS = 200; // what the jitter buffer may add
const CLOCK_MS = 60; // how far the frames' own clock may go
// A clock that is 5 ms a second fast lets the jitter buffer aim 50 ms higher, and it leaves 40 for a pause. Nobody minding
// it, the delay would grow by 150 from the first marks to the last.
const DRIFT_MS = 120;

// What the caller says: in each second a mark of 100 ms, a hum, and a pause, which speech has as well.
function marked() {
  return Buffer.concat([tone(8000, MARK_HZ, 100, 12000), tone(8000, 500, MARK_EACH_MS - 300, 2000), Buffer.alloc(8 * 200 * 2)]);
}

// Everything that the agent hears from now on, and when.
function record(agent) {
  const heard = { at: [], parts: [], lengths: new Set() };
  agent.ws.on('message', (data, binary) => {
    if (!binary) return;
    heard.at.push(performance.now());
    heard.parts.push(data);
    heard.lengths.add(data.length);
  });
  return heard;
}

// When the frame with index 0 would have come in time, judged by those of `count` frames from `from` that came soonest:
// this process is never early.
function clockOf(at, from, count) {
  let soonest = Infinity;
  for (let i = from; i < from + count; i++) soonest = Math.min(soonest, at[i] - i * FRAME_MS);
  return soonest;
}

// The frames keep step with the clock: none too many, none missing, of one size.
function assertEveryFrame(heard, least) {
  const n = heard.at.length;
  assert.ok(n >= least, `only ${n} frames`);
  assert.deepEqual([...heard.lengths], [(AGENT_HZ / 1000) * FRAME_MS * 2]);
  const drift = clockOf(heard.at, n - 200, 200) - clockOf(heard.at, 0, 200);
  assert.ok(Math.abs(drift) < CLOCK_MS, `${(drift / FRAME_MS).toFixed(1)} frames too few in ${n}`);
}

// The delay of each mark: from when the caller said it to when the agent heard it.
function delays(heard, began, markEachMs) {
  const samples = pcmSamples(Buffer.concat(heard.parts));
  const piece = (AGENT_HZ / 1000) * PIECE_MS;
  const levels = [];
  for (let at = 0; at + piece <= samples.length; at += piece) levels.push(toneShare(samples.subarray(at, at + piece), AGENT_HZ, MARK_HZ) > 0.6 ? 1 : 0);
  const from = clockOf(heard.at, 0, heard.at.length);
  const near = (frame) => {
    const first = Math.max(0, Math.min(frame - 50, heard.at.length - 100));
    return clockOf(heard.at, first, 100);
  };
  const out = [];
  for (let mark = 0; ; mark++) {
    // Looked for until half a period after it was said; its middle is 50 ms in.
    const saidMs = began + mark * markEachMs;
    const first = Math.floor((saidMs - from) / PIECE_MS) - 8;
    const last = first + markEachMs / PIECE_MS / 2;
    if (last >= levels.length) return out;
    if (first < 0) continue;
    let sum = 0;
    let count = 0;
    for (let i = first; i <= last; i++) if (levels[i]) { sum += i; count++; }
    if (count < 4) continue;
    const middle = sum / count + 0.5;
    out.push(near(Math.floor((middle * PIECE_MS) / FRAME_MS)) + middle * PIECE_MS - saidMs - 50);
  }
}

// Resolves when each case has come here: what one does is not to disturb the others.
function meeting(count) {
  let left = count;
  return () => {
    left--;
    return until(() => left <= 0, 'the other cases', 60000);
  };
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

// What reached the caller: each packet once and in order, 20 ms further each, and the agent's tone in all of it.
function assertCallerHears(rtp, from) {
  const packets = rtp.packets.slice(from, rtp.ended).filter((p) => p.type === rtp.payloadType);
  assert.ok(packets.length > (LASTS_MS / 20) * 0.8, `only ${packets.length} packets`);
  packets.slice(1).forEach((packet, i) => {
    assert.equal((packet.sequence - packets[i].sequence) & 0xffff, 1, `packet ${i}: sequence`);
    assert.equal((packet.timestamp - packets[i].timestamp) >>> 0, 160, `packet ${i}: timestamp`);
  });
  const heard = rtp.decode(Buffer.concat(packets.map((p) => p.data)));
  for (let at = 0; at + 1600 <= heard.length; at += 1600) {
    assert.ok(toneShare(heard.subarray(at, at + 1600), 8000, 1000) > 0.95, `a gap in the agent's voice at ${at / 8} ms`);
  }
}

const CASES = [
  { name: '5 % loss', up: { loss: 0.05 }, concealed: [0.02, 0.2] },
  { name: '20 % loss', up: { loss: 0.2 }, concealed: [0.12, 0.45] },
  { name: '80 ms of jitter, which changes the order', up: { jitterMs: 80 }, concealed: [0, 0.15] },
  { name: 'a tenth out of order, a fifth twice', up: { reorder: 0.1, dup: 0.2, delayMs: 20, jitterMs: 10 }, concealed: [0, 0.1] },
  { name: 'all at once', up: { loss: 0.05, jitterMs: 80, dup: 0.05, reorder: 0.05 }, concealed: [0.02, 0.35] },
  { name: 'a clock 5,000 ppm fast', ppm: 5000, concealed: [0, 0.1] },
  { name: 'a clock 5,000 ppm slow', ppm: -5000, concealed: [0, 0.1] },
  { name: 'a clock 200 ppm fast', ppm: 200, concealed: [0, 0.1] },
];

describe('a trunk behind a bad network', { concurrency: true }, () => {
  let house;
  let peer;
  const allAreUp = meeting(CASES.length);
  const allAreDone = meeting(CASES.length);
  before(async () => {
    house = await startSipHouse({ business: { MaxConcurrentCalls: 0 } });
    peer = await SipPeer.start();
  });
  after(async () => {
    peer?.close();
    await house?.stop();
  });

  for (const [i, { name, up = {}, ppm = 0, concealed }] of CASES.entries()) {
    test(name, async (t) => {
      const { call, rtp, agent } = await callUp(t, house, peer, { options: { caller: `+4930555${i}` } });
      const relay = new Relay({ listenHost: HOST, toHost: rtp.target.host, toPort: rtp.target.port, seed: i + 1 });
      t.after(() => relay.close());
      relay.set(up, 'up');
      rtp.target = { host: HOST, port: await relay.start() };
      await agentHears(agent, 600);
      await allAreUp();
      await until(() => agent.frames.length > 100, 'two seconds of peace');
      const heard = record(agent);
      const began = rtp.say(marked(), { ppm });
      agent.sayTone(1000, LASTS_MS + 5000);
      await until(() => toneShare(rtp.lastSamples(200), 8000, 1000) > 0.95, 'the agent at the trunk');
      const from = rtp.packets.length;
      await until(() => heard.at.length >= LASTS_MS / FRAME_MS, 'the frames', LASTS_MS + 15000);
      const frames = heard.at.length;
      rtp.ended = rtp.packets.length;
      await allAreDone();
      // Only so many may ask at once.
      const figures = () => admin(house.gateway, 'calls').catch(() => []);
      const live = await until(async () => (await figures()).find((c) => c.callId === call.callId), 'the figures of the call');
      heard.at.length = heard.parts.length = frames;
      assertEveryFrame(heard, LASTS_MS / FRAME_MS);
      assertCallerHears(rtp, from);
      const marks = delays(heard, began, MARK_EACH_MS * (1 - ppm / 1e6));
      t.diagnostic(`${marks.length} marks, delays of ${marks.map((ms) => ms.toFixed(0))} ms; ${JSON.stringify(live.media)}`);
      assert.ok(marks.length >= 15, `only ${marks.length} marks heard`);
      const grown = median(marks.slice(-6)) - median(marks.slice(2, 8));
      assert.ok(grown < (ppm ? DRIFT_MS : JITTER_MAX_MS), `the delay has grown by ${grown.toFixed(0)} ms: ${marks}`);
      const share = live.media.concealedMs / live.media.talkedMs;
      assert.ok(share >= concealed[0] && share <= concealed[1], `${share} of the time concealed`);
      peer.bye(call);
      await peer.final(call, 'BYE');
    });
  }
});

test('baresip, and a kernel that loses a tenth of what it says', async (t) => {
  const house = await startSipHouse();
  t.after(() => house.stop());
  const phone = await Baresip.start({ t, toneHz: 600 });
  const index = house.agent.calls.length;
  phone.dial(house.sip.proxyUri());
  await phone.until('CALL_ESTABLISHED');
  const agent = await until(() => house.agent.calls[index], 'the agent to be called');
  await agentHears(agent, 600);
  const rule = ['INPUT', '-p', 'udp', '--dport', '30000:30999', '-m', 'statistic', '--mode', 'random', '--probability', '0.1', '-j', 'DROP'];
  execFileSync('iptables', ['-w', '-A', ...rule]);
  t.after(() => execFileSync('iptables', ['-w', '-D', ...rule]));
  const heard = record(agent);
  agent.sayTone(1000, 12000);
  await until(() => heard.at.length >= 500, 'ten seconds of frames', 25000);
  assertEveryFrame(heard, 500);
  await agentHears(agent, 600);
  const [{ media }] = await admin(house.gateway, 'calls');
  t.diagnostic(JSON.stringify(media));
  assert.ok(media.lost > 20 && media.concealedMs > 400, JSON.stringify(media));
  await until(() => {
    const { rateHz, samples } = phone.heard(1000);
    return samples.length > rateHz * 0.9 && toneShare(samples, rateHz, 1000) > 0.9;
  }, 'a second of the agent at the telephone');
  phone.hangUp();
  await noCalls(house.gateway);
});
