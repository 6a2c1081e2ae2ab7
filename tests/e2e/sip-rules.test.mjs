// SPDX-License-Identifier: Apache-2.0
// What the configuration says of a number, a business and a region, as a trunk on IPv6 meets it; and that a place in the plan is
// given back by what ends its call, long before its lease could run out.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { toneShare } from '../sim/signal.mjs';
import { until } from './lib/gateway.mjs';
import { agentHears } from './lib/scenario.mjs';
import { BUSINESS_ID, callUp, noCalls, NUMBER_ID, queueEntry, RtpPeer, SipPeer, startSipHouse } from './lib/sip.mjs';

const IPV6 = 'fd77::1';

describe('a trunk on IPv6', () => {
  let house;
  let peer;
  before(async () => {
    house = await startSipHouse({ host: IPV6, number: { AllowedSourceIps: ['203.0.113.0/24', 'fd77::/64'] } });
    peer = await SipPeer.start({ host: IPV6 });
  });
  after(async () => {
    peer?.close();
    await house?.stop();
  });

  const business = (changes) => house.gateway.reload({ Businesses: { [BUSINESS_ID]: changes } });
  const number = (changes) => business({ Numbers: { [NUMBER_ID]: changes } });
  const region = (changes) => house.gateway.reload({ Regions: { local: changes } });

  // What the proxy says to a new call.
  async function asked() {
    const call = peer.newCall(house.sip.proxyUri(), house.sip.proxyPort);
    peer.invite(call);
    const answer = await peer.final(call);
    peer.ack(call, answer);
    return `${answer.status} ${answer.reason}`;
  }

  const REDIRECTED = '302 Redirecting to Media Server';

  test('a whole call follows the redirect to an IPv6 Contact, with audio both ways', async (t) => {
    const { call, rtp, agent, answer } = await callUp(t, house, peer);
    assert.match(call.uri, /@\[fd77::1\]:\d+;X-CallQueue-Id=/);
    assert.match(call.target, /^sip:\[fd77::1\]:\d+/);
    assert.match(answer.body, /c=IN IP6 fd77::1/);
    await agentHears(agent, 600);
    agent.sayTone(1000, 3000);
    await until(() => rtp.payloads.length > 50 && toneShare(rtp.lastSamples(400), 8000, 1000) > 0.9, 'the tone at the trunk');
    peer.bye(call);
    assert.equal((await peer.final(call, 'BYE')).status, 200);
    assert.equal((await queueEntry(house.gateway, 'ProcessedBackend')).source, IPV6);
    await noCalls(house.gateway);
  });

  test('a place in the plan is given back by whatever ends the call', async (t) => {
    await business({ MaxConcurrentCalls: 1 });

    const up = await callUp(t, house, peer);
    assert.equal(await asked(), '503 Concurrency limit reached');
    peer.bye(up.call);
    await over(up.call, 'ProcessedBackend');

    const second = await callUp(t, house, peer);
    second.agent.hangUp();
    await over(second.call, 'ProcessedBackend');

    house.agent.fault = 'hang';
    const third = await peer.redirected(house.sip.proxyUri(), house.sip.proxyPort);
    peer.invite(third, { body: (await RtpPeer.start({ t, host: IPV6 })).sdp() });
    await peer.until(third, (m) => m.status === 180, '180');
    peer.cancel(third);
    assert.equal((await peer.final(third)).status, 487);
    await over(third, 'Canceled');

    house.agent.fault = 'status404';
    const fourth = await peer.redirected(house.sip.proxyUri(), house.sip.proxyPort);
    peer.invite(fourth, { body: (await RtpPeer.start({ t, host: IPV6 })).sdp() });
    assert.equal((await peer.final(fourth)).status, 503);
    await over(fourth, 'Failed');
    house.agent.fault = undefined;

    const last = await callUp(t, house, peer);
    peer.bye(last.call);
    await over(last.call, 'ProcessedBackend');
    await business({ MaxConcurrentCalls: 10 });
  });

  test('only the networks of the list may call', async () => {
    await number({ AllowedSourceIps: ['fd77:0:0:1::/64', '10.77.0.0/16'] });
    assert.equal(await asked(), '403 Unauthorized Source IP');
    await number({ AllowedSourceIps: ['fd77::1'] });
    assert.equal(await asked(), REDIRECTED);
    await number({ AllowedSourceIps: [] });
  });

  test('a server in development takes the calls of who may use it', async () => {
    await region({ Servers: { test: { Development: true } } });
    assert.equal(await asked(), '503 No Available Servers');
    await business({ Admin: true });
    assert.equal(await asked(), REDIRECTED);
    await business({ Admin: false });
    await region({ Servers: { test: { Development: false, Enabled: false } } });
    assert.equal(await asked(), '503 No Available Servers');
    await region({ Servers: { test: { Enabled: true } } });
    assert.equal(await asked(), REDIRECTED);
  });

  test('another region helps only where it is configured', async () => {
    await house.gateway.reload({ Regions: { empty: { Enabled: true } } });
    await number({ RegionId: 'empty' });
    assert.equal(await asked(), '503 No Available Servers');
    await house.gateway.reload({ Regions: { empty: { FallbackRegionIds: ['local'] } } });
    assert.equal(await asked(), REDIRECTED);
    await region({ Enabled: false });
    assert.equal(await asked(), '503 No Available Servers');
    await house.gateway.reload({ Regions: { empty: { Enabled: false }, local: { Enabled: true } } });
    assert.equal(await asked(), '503 Region not enabled');
    await number({ RegionId: 'local' });
  });

  async function queueEntries() {
    const answer = await fetch(`${house.gateway.url}/api/admin/queue?limit=100`, { headers: { authorization: 'Bearer admin-secret' } });
    return (await answer.json()).entries;
  }

  // The entry's end and its lease's are one step in Redis: an entry that has ended, by another cause than the sweep of leases that
  // ran out, has given its place back.
  async function over(call, status) {
    const entry = await until(async () => (await queueEntries()).find((one) => one.id === call.queueId && one.endedMs), `the end of ${call.queueId}`);
    assert.equal(entry.status, status);
    assert.doesNotMatch(entry.reason, /in time|is gone/);
    await noCalls(house.gateway);
  }
});
