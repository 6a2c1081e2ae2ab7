// SPDX-License-Identifier: Apache-2.0
// Calls of trunks: the proxy's redirect followed to the listener, tones recognised at both ends, digits, and every way
// a call may end.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { toneShare } from '../sim/signal.mjs';
import { until } from './lib/gateway.mjs';
import { agentHears } from './lib/scenario.mjs';
import { admin, Baresip, noCalls, queueEntry, RtpPeer, SipPeer, startSipHouse } from './lib/sip.mjs';

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

  // A call of the peer's that is up: {call, rtp, agent}.
  async function callUp({ uri = house.sip.proxyUri(), options } = {}) {
    const rtp = await RtpPeer.start();
    const index = house.agent.calls.length;
    const call = await peer.redirected(uri, house.sip.proxyPort, options);
    peer.invite(call, { body: rtp.sdp() });
    const answer = await peer.final(call);
    assert.equal(answer.status, 200, `${answer.status} ${answer.reason}`);
    peer.ack(call, answer);
    rtp.aim(answer.body);
    rtp.speak(600);
    return { call, rtp, answer, agent: house.agent.calls[index] };
  }

  test('a call follows the redirect, and tones cross both ways', async () => {
    const { call, rtp, agent } = await callUp();
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
    peer.bye(call);
    assert.equal((await peer.final(call, 'BYE')).status, 200);
    await until(() => agent.closed, 'the agent to be let go', 3000);
    const entry = await queueEntry(house.gateway, 'ProcessedBackend');
    assert.equal(entry.id, call.queueId);
    await noCalls(house.gateway);
    rtp.close();
  });
});
