// SPDX-License-Identifier: Apache-2.0
// Calls of trunks: the proxy's redirect followed to the listener, tones recognised at both ends, digits, and every way
// a call may end.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { toneShare } from '../sim/signal.mjs';
import { until } from './lib/gateway.mjs';
import { agentHears } from './lib/scenario.mjs';
import { admin, Baresip, callUp, noCalls, queueEntry, RtpPeer, SipPeer, startSipHouse } from './lib/sip.mjs';

describe('trunks', () => {
  let house;
  let peer;
  before(async () => {
    house = await startSipHouse({ platformOptions: {} });
    peer = await SipPeer.start();
  });
  after(async () => {
    peer?.close();
    await house?.stop();
  });

  const place = (t) => callUp(t, house, peer);

  test('a call follows the redirect, and tones cross both ways', async (t) => {
    const { call, rtp, agent } = await place(t);
    await agentHears(agent, 600);
    agent.sayTone(1000, 3000);
    await until(() => rtp.payloads.length > 50 && toneShare(rtp.lastSamples(400), 8000, 1000) > 0.9, 'the tone at the trunk');
    const asked = house.platform.requests.at(-1).body;
    assert.equal(asked.ClientIdentifier, '+49309999');
    assert.equal(asked.DynamicVariables.calledNumber, '+49302000001');
    assert.equal(asked.Metadata.sipCallId, call.callId);
    assert.equal(asked.Metadata.callQueueId, call.queueId);
    const [live] = await admin(house.gateway, 'calls');
    assert.equal(live.kind, 'sip');
    assert.equal(live.callId, call.callId);
    assert.equal(live.media.codec, 'PCMU');
    assert.ok(live.media.packetsIn > 10 && live.media.packetsOut > 10, JSON.stringify(live.media));
    assert.ok(live.media.mosHeard > 4 && live.media.mosHeard < 4.5, JSON.stringify(live.media));
    assert.ok(live.agent.framesOut > 10, JSON.stringify(live.agent));
    peer.bye(call);
    assert.equal((await peer.final(call, 'BYE')).status, 200);
    await until(() => agent.closed, 'the agent to be let go', 3000);
    const entry = await queueEntry(house.gateway, 'ProcessedBackend');
    assert.equal(entry.id, call.queueId);
    await noCalls(house.gateway);
  });

  test('the agent hangs up: BYE with its reason', async (t) => {
    const { call, rtp, agent } = await place(t);
    await agentHears(agent, 600);
    agent.hangUp();
    const bye = await peer.until(call, (m) => m.method === 'BYE', 'a BYE', 3000);
    assert.match(bye.header('reason'), /Q\.850;cause=16/);
    await noCalls(house.gateway);
  });

  test('an agent that dies in the middle of a call: BYE with a cause', async (t) => {
    const { call, rtp, agent } = await place(t);
    await agentHears(agent, 600);
    agent.kill();
    const bye = await peer.until(call, (m) => m.method === 'BYE', 'a BYE', 3000);
    assert.match(bye.header('reason'), /Q\.850;cause=41/);
    await noCalls(house.gateway);
  });

  test('an agent that refuses: 503, and the queue says why', async (t) => {
    house.agent.fault = 'status404';
    const rtp = await RtpPeer.start({ t });
    const call = await peer.redirected(house.sip.proxyUri(), house.sip.proxyPort);
    peer.invite(call, { body: rtp.sdp() });
    const answer = await peer.final(call);
    house.agent.fault = undefined;
    assert.equal(answer.status, 503);
    assert.ok(Number(answer.header('retry-after')) > 0);
    peer.ack(call, answer);
    const entry = await queueEntry(house.gateway, 'Failed');
    assert.equal(entry.id, call.queueId);
    assert.match(entry.reason, /agent cannot be reached/);
    await noCalls(house.gateway);
  });

  test('a platform that refuses: its code decides', async (t) => {
    for (const [code, status] of [['REGION_NOT_FOUND', 404], ['CONCURRENCY_LIMIT_REACHED', 486], ['NO_SERVER_CAPACITY', 486], ['BROKEN', 503]]) {
      house.platform.refuseWith = code;
      const call = await peer.redirected(house.sip.proxyUri(), house.sip.proxyPort);
      peer.invite(call, { body: await offer(t) });
      const answer = await peer.final(call);
      assert.equal(answer.status, status, code);
      peer.ack(call, answer);
      await queueEntry(house.gateway, 'Failed');
    }
    house.platform.refuseWith = undefined;
  });

  test('CANCEL while it rings frees everything', async (t) => {
    house.agent.fault = 'hang';
    const call = await peer.redirected(house.sip.proxyUri(), house.sip.proxyPort);
    peer.invite(call, { body: await offer(t) });
    await peer.until(call, (m) => m.status === 180, '180');
    peer.cancel(call);
    const answer = await peer.final(call);
    house.agent.fault = undefined;
    assert.equal(answer.status, 487);
    peer.ack(call, answer);
    assert.equal((await queueEntry(house.gateway, 'Canceled')).id, call.queueId);
    await noCalls(house.gateway, 3000);
  });

  test('digits by RFC 4733 and by INFO reach the agent once and in order; the agent sends digits', async (t) => {
    const { call, rtp, agent } = await place(t);
    await agentHears(agent, 600);
    for (const digit of '1#A') rtp.press(digit);
    await until(() => agent.texts.length >= 3, 'three digits'); // RTP and SIP come by two sockets, in no order
    call.cseq++;
    peer.send(peer.request(call, 'INFO', { headers: 'Content-Type: application/dtmf-relay\r\n', body: 'Signal=9\r\nDuration=160\r\n' }).replace('Content-Type: application/sdp\r\n', ''), call.port);
    await until(() => agent.texts.length >= 4, 'four digits');
    assert.deepEqual(agent.texts.map((t) => JSON.parse(t)), ['1', '#', 'A', '9'].map((digit) => ({ type: 'dtmf', digit })));
    agent.sendText(JSON.stringify({ type: 'send_dtmf', digits: '42*' }));
    const ends = () => [...new Map(rtp.packets.filter((p) => p.type === 101 && p.data[1] & 0x80).map((p) => [p.timestamp, p.data[0]])).values()];
    await until(() => ends().length === 3, 'three digits at the trunk');
    assert.deepEqual(ends(), [4, 2, 10]);
    peer.bye(call);
    await noCalls(house.gateway);
  });

  test('an INVITE without an offer gets ours', async (t) => {
    const rtp = await RtpPeer.start({ t });
    const index = house.agent.calls.length;
    const call = await peer.redirected(house.sip.proxyUri(), house.sip.proxyPort);
    peer.invite(call);
    const answer = await peer.final(call);
    assert.equal(answer.status, 200);
    peer.ack(call, answer, { body: rtp.sdp() });
    rtp.aim(answer.body);
    rtp.speak(700);
    await agentHears(house.agent.calls[index], 700);
    peer.bye(call);
    await noCalls(house.gateway);
  });

  test('hold and resume by re-INVITE', async (t) => {
    const { call, rtp, agent } = await place(t);
    await agentHears(agent, 600);
    for (const direction of ['sendonly', 'sendrecv']) {
      call.cseq++;
      peer.invite(call, { body: rtp.sdp({ version: call.cseq, direction }) });
      const answer = await peer.final(call);
      assert.equal(answer.status, 200);
      assert.match(answer.body, direction === 'sendonly' ? /a=recvonly/ : /a=sendrecv/);
      peer.ack(call, answer);
    }
    rtp.speak(900);
    await agentHears(agent, 900);
    call.cseq++;
    peer.invite(call, { body: rtp.sdp({ version: call.cseq, formats: '3' }) });
    const refused = await peer.final(call);
    assert.equal(refused.status, 488);
    peer.ack(call, refused);
    await agentHears(agent, 900);
    peer.bye(call);
    await noCalls(house.gateway);
  });

  test('no codec in common: 488', async (t) => {
    const rtp = await RtpPeer.start({ t });
    const call = await peer.redirected(house.sip.proxyUri(), house.sip.proxyPort);
    peer.invite(call, { body: rtp.sdp({ formats: '3' }) });
    const answer = await peer.final(call);
    assert.equal(answer.status, 488);
    peer.ack(call, answer);
    assert.match((await queueEntry(house.gateway, 'Failed')).reason, /codec/i);
  });

  test('a queue id is good once, and nobody else has one', async (t) => {
    const { call, rtp } = await place(t);
    const again = peer.newCall(call.uri, call.port);
    peer.invite(again, { body: rtp.sdp() });
    assert.equal((await peer.final(again)).status, 403);
    const made = peer.newCall(call.uri.replace(call.queueId, 'call_0'), call.port);
    peer.invite(made, { body: rtp.sdp() });
    assert.equal((await peer.final(made)).status, 404);
    const none = peer.newCall(`sip:x@${house.sip.host}:${call.port}`, call.port);
    peer.invite(none, { body: rtp.sdp() });
    const refused = await peer.final(none);
    assert.equal(refused.status, 404);
    assert.match(refused.reason, /queue id/i);
    peer.bye(call);
    await noCalls(house.gateway);
  });

  test('the operator hangs up', async (t) => {
    const { call, rtp } = await place(t);
    const answer = await fetch(`${house.gateway.url}/api/admin/calls/${call.queueId}`, { method: 'DELETE', headers: { authorization: 'Bearer admin-secret' } });
    assert.equal(answer.status, 202);
    await peer.until(call, (m) => m.method === 'BYE', 'a BYE', 3000);
    await noCalls(house.gateway);
  });

  test('a call without RTP ends', async (t) => {
    await house.gateway.reload({ Sip: { DeadCallSeconds: 1 } });
    const { call, rtp } = await place(t);
    rtp.quiet();
    const bye = await peer.until(call, (m) => m.method === 'BYE', 'a BYE', 10000);
    assert.match(bye.header('reason'), /neither RTP nor RTCP/);
    await noCalls(house.gateway);
    await house.gateway.reload({ Sip: { DeadCallSeconds: 30 } });
  });

  test('the end is one line of the log, with what each step took', async (t) => {
    const { call, rtp, agent } = await place(t);
    await agentHears(agent, 600);
    peer.bye(call);
    await noCalls(house.gateway);
    const line = house.gateway.logs.find((l) => l.mod === 'call' && /^ended/.test(l.msg) && l.msg.includes(call.callId));
    assert.equal(line.call, call.queueId);
    assert.match(line.msg, /ended \(caller_hangup\): The caller hung up\..* PCMU.*received \d+ packets.*MOS 4\.\d+.*claim \d+ ms, platform \d+ ms, agent \d+ ms, ACK \d+ ms/);
  });

  test('a plan that is full: 503, and free again after a hang-up', async (t) => {
    await house.gateway.reload({ Businesses: { 123: { MaxConcurrentCalls: 1 } } });
    const { call, rtp } = await place(t);
    const second = peer.newCall(house.sip.proxyUri(), house.sip.proxyPort);
    peer.invite(second);
    const full = await peer.final(second);
    assert.equal(full.status, 503);
    peer.ack(second, full);
    peer.bye(call);
    await noCalls(house.gateway);
    const third = await place(t);
    peer.bye(third.call);
    await noCalls(house.gateway);
    await house.gateway.reload({ Businesses: { 123: { MaxConcurrentCalls: 10 } } });
  });

  async function offer(t) {
    return (await RtpPeer.start({ t })).sdp();
  }
});

describe('baresip', () => {
  let house;
  before(async () => {
    house = await startSipHouse();
  });
  after(async () => {
    await house?.stop();
  });

  for (const { name, options, rateHz } of [
    { name: 'PCMU', options: {}, rateHz: 8000 },
    { name: 'G.722 by TCP', options: { codecs: ['G722/16000/1'], transport: 'tcp' }, rateHz: 16000 },
    { name: 'Opus with SRTP', options: { codecs: ['opus/48000/2'], account: ';mediaenc=srtp' }, rateHz: 48000 },
  ]) {
    test(`${name}: follows the redirect, is heard and hears, presses digits, hangs up`, async (t) => {
      const phone = await Baresip.start({ t, toneHz: 600, ...options });
      const index = house.agent.calls.length;
      phone.dial(house.sip.proxyUri() + (options.transport ? `;transport=${options.transport}` : ''));
      await phone.until('CALL_ESTABLISHED');
      const agent = await until(() => house.agent.calls[index], 'the agent to be called');
      await agentHears(agent, 600);
      agent.sayTone(1000, 4000);
      await until(() => {
        const { rateHz: rate, samples } = phone.heard(300);
        return samples.length > rate / 5 && toneShare(samples, rate, 1000) > 0.9;
      }, 'the tone at the telephone');
      phone.press('5#');
      await until(() => agent.texts.length >= 2, 'two digits');
      assert.deepEqual(agent.texts.map((t) => JSON.parse(t).digit), ['5', '#']);
      phone.hangUp();
      await until(() => agent.closed, 'the agent to be let go', 5000);
      await noCalls(house.gateway);
    });
  }

  test('hears the agent hang up', async (t) => {
    const phone = await Baresip.start({ t });
    const index = house.agent.calls.length;
    phone.dial(house.sip.proxyUri());
    await phone.until('CALL_ESTABLISHED');
    (await until(() => house.agent.calls[index], 'the agent to be called')).hangUp();
    await phone.until('CALL_CLOSED', 5000);
    await noCalls(house.gateway);
  });
});
