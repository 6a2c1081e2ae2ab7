// SPDX-License-Identifier: Apache-2.0
// Two proxies, media nodes in two regions and one Redis, each gateway in a network namespace of its own: who is offered,
// what one plan admits on all of them together, names that collide, and a node that dies while its calls are on their way.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from './lib/gateway.mjs';
import { Kamailio } from './lib/kamailio.mjs';
import { CALLERS, entryOf, Nodes, PROXY_PORT, seesAll, statesOf, uriOf } from './lib/nodes.mjs';
import { agentHears } from './lib/scenario.mjs';
import { admin, Baresip, contactsOf, NUMBER, RtpPeer, SipPeer } from './lib/sip.mjs';

const number = (region) => ({ Number: NUMBER, Provider: 'SIP', RouteId: 'route-1', RegionId: region, CampaignId: 'demo' });
const business = (MaxConcurrentCalls) => ({ MaxConcurrentCalls, Numbers: { de: number('EU-DE'), us: number('US-EA') } });
const config = {
  VoiceAiPlatform: { Campaigns: { demo: { BusinessId: '1', WebCampaignId: 'demo', AllowedRegionIds: ['EU-DE', 'US-EA'] } } },
  Businesses: {
    1: { MaxConcurrentCalls: 0, Numbers: { de: number('EU-DE'), us: number('US-EA'), none: number('EU-FR'), fall: number('EU-IT'), off: number('EU-OFF') } },
    5: business(5),
    11: business(1),
    12: business(1),
  },
  Regions: {
    'EU-DE': {},
    'US-EA': {},
    'EU-FR': {},
    'EU-IT': { FallbackRegionIds: ['EU-OFF', 'EU-FR', 'US-EA'] },
    'EU-OFF': { Enabled: false },
  },
};

describe('several nodes', () => {
  let nodes;
  let proxies;
  let media;
  let callers;
  before(async () => {
    nodes = await Nodes.start(config);
    const started = await Promise.all([
      nodes.proxy('proxy-1'),
      nodes.proxy('proxy-2'),
      nodes.media('de-1', 'EU-DE', 100),
      nodes.media('de-2', 'EU-DE', 40),
      nodes.media('de-3', 'EU-DE', 40),
      nodes.media('us-1', 'US-EA', 20),
    ]);
    proxies = started.splice(0, 2);
    media = Object.fromEntries(started.map((gateway) => [gateway.config.Gateway.NodeId, gateway]));
    callers = await Promise.all(CALLERS.map((host) => SipPeer.start({ host })));
    for (const proxy of proxies) await seesAll(proxy, Object.keys(media));
  });
  after(async () => {
    callers?.forEach((caller) => caller.close());
    await nodes?.end();
  });

  // A call to a proxy, with its final answer.
  async function ask(id, name, { proxy = proxies[0], peer = callers[0], like = {} } = {}) {
    const call = Object.assign(peer.newCall(uriOf(id, name), PROXY_PORT, { host: proxy.address }), like);
    peer.invite(call);
    const answer = await peer.final(call);
    peer.ack(call, answer);
    return { call, answer, contacts: answer.status === 302 ? contactsOf(answer) : [] };
  }

  // The call to this Contact, and its final answer.
  async function take(t, asked, contact, peer = callers[0]) {
    const rtp = await RtpPeer.start({ t, host: peer.host });
    const call = peer.follow(asked.call, contact);
    peer.invite(call, { body: rtp.sdp() });
    const answer = await peer.final(call);
    peer.ack(call, answer);
    return { call, answer, rtp, peer };
  }

  // It is up, and both ends hear each other.
  async function up(t, asked, contact, peer) {
    const index = nodes.agent.calls.length;
    const taken = await take(t, asked, contact, peer);
    assert.equal(taken.answer.status, 200, taken.answer.reason);
    taken.rtp.aim(taken.answer.body);
    taken.rtp.speak(600);
    const agent = await until(() => nodes.agent.calls[index], 'the agent');
    await agentHears(agent, 600);
    await until(() => taken.rtp.payloads.length > 20, 'the caller to be sent to');
    return { ...taken, agent };
  }

  async function hangUp({ call, agent, peer }) {
    peer.bye(call);
    await until(() => agent.closed, 'the agent to be let go');
  }

  const at = (contacts, id) => contacts.find((c) => c.host === media[id].address);
  const plan = (id) => Number(nodes.redis.ask('zcard', `callqueue:leases:${id}`));

  // What the redirect must say by the table of nodes that the proxy has: those of the region, by places - 1.5 calls, less
  // for load above 85 %.
  const score = (n) => n.capacity * (1 - (n.cpuPercent > 85) / 2 - (n.memoryPercent > 85) / 2) - 1.5 * n.calls;
  const rank = (table, region) =>
    table.filter((n) => n.regionId === region && n.state === 'running').sort((a, b) => score(b) - score(a) || a.calls - b.calls || (a.id < b.id ? -1 : 1));

  // The ids that a redirect lists, best first, judged by that table if no heartbeat came in between.
  const judged = () =>
    until(async () => {
      const table = await admin(proxies[0], 'nodes');
      const { contacts } = await ask('1', 'de');
      const later = await admin(proxies[0], 'nodes');
      const same = (n) => later.some((l) => l.id === n.id && l.state === n.state && l.heardMsAgo >= n.heardMsAgo);
      if (!table.every(same)) return false;
      const best = rank(table, 'EU-DE').slice(0, 3);
      assert.deepEqual(
        contacts.map((c) => [c.host, c.port, c.q]),
        best.map((n, i) => [n.endpoint, 5070, [1, 0.9, 0.8][i]]),
        JSON.stringify(table),
      );
      assert.equal(new Set(contacts.map((c) => c.queueId)).size, 1);
      return best.map((n) => n.id);
    }, 'a redirect between two heartbeats');

  test('a redirect lists the nodes of the number\'s region, best first; load moves them', async (t) => {
    const [first, ...others] = await judged();
    assert.equal(first, 'de-1');
    assert.deepEqual(others.sort(), ['de-2', 'de-3']);
    for (const [busy, idle] of [['de-2', 'de-3'], ['de-3', 'de-2']]) {
      const asked = await ask('1', 'de');
      const call = await up(t, asked, at(asked.contacts, busy));
      await until(async () => (await judged())[1] === idle, `${busy} to come after ${idle}`, 20000);
      await hangUp(call);
    }
  });

  test('another region is another node: baresip is taken there', async (t) => {
    const phone = await Baresip.start({ t, host: CALLERS[0] });
    phone.dial(uriOf('1', 'us').replace('@proxy', `@${proxies[1].address}:${PROXY_PORT}`));
    await phone.until('CALL_ESTABLISHED');
    assert.equal((await admin(media['us-1'], 'calls')).length, 1);
    await agentHears(nodes.agent.calls.at(-1), 600);
    phone.hangUp();
    await until(async () => (await admin(media['us-1'], 'calls')).length === 0, 'the call to be gone');
  });

  test('a region without a node: 503, or the next region if the configuration names one', async () => {
    const none = await ask('1', 'none');
    assert.deepEqual([none.answer.status, none.answer.reason], [503, 'No Available Servers']);
    const [entry] = (await admin(proxies[0], 'queue?limit=1')).entries;
    assert.deepEqual([entry.status, entry.reason, entry.callId], ['Failed', 'No Available Servers', none.call.callId]);
    const off = await ask('1', 'off');
    assert.deepEqual([off.answer.status, off.answer.reason], [503, 'Region not enabled']);
    const fall = await ask('1', 'fall');
    assert.deepEqual(fall.contacts.map((c) => c.host), [media['us-1'].address]);
  });

  test('a plan of 5 admits 5 of 30 at once by two proxies, each time', async (t) => {
    for (const round of [1, 2]) {
      const asked = await Promise.all(Array.from({ length: 30 }, (_, i) => ask('5', 'de', { proxy: proxies[i % 2], peer: callers[(i >> 1) % 2] })));
      const admitted = asked.map((a, i) => ({ ...a, peer: callers[(i >> 1) % 2] })).filter((a) => a.answer.status === 302);
      assert.equal(admitted.length, 5, `round ${round}`);
      for (const { answer } of asked.filter((a) => a.answer.status !== 302)) {
        assert.deepEqual([answer.status, answer.reason], [503, 'Concurrency limit reached']);
        assert.ok(Number(answer.header('retry-after')) > 0);
      }
      assert.equal(plan('5'), 5);
      const calls = await Promise.all(admitted.map((a) => take(t, a, a.contacts[0], a.peer)));
      assert.deepEqual(calls.map((c) => c.answer.status), [200, 200, 200, 200, 200]);
      assert.equal(plan('5'), 5);
      calls.forEach((c) => c.peer.bye(c.call));
      await until(() => plan('5') === 0, 'all places to be free', 5000);
    }
  });

  test('two trunks with one Call-ID are both served; one request by two ways is a duplicate', async (t) => {
    const callId = `same-${process.pid}@test`;
    const asked = [];
    for (const [i, peer] of callers.entries()) asked.push(await ask('1', 'de', { proxy: proxies[i], peer, like: { callId } }));
    const calls = [];
    for (const [i, peer] of callers.entries()) calls.push(await up(t, asked[i], asked[i].contacts[0], peer));
    for (const proxy of proxies) {
      // As a fork on its way would: the same request with another branch.
      const copy = callers[1].newCall(uriOf('1', 'de'), PROXY_PORT, { host: proxy.address });
      Object.assign(copy, { callId, tag: asked[0].call.tag });
      callers[1].received.length = 0;
      callers[1].invite(copy, { branch: `z9hG4bKfork${proxy.address}` });
      const answer = await callers[1].final(copy);
      callers[1].ack(copy, answer);
      assert.equal(answer.status, 482, answer.reason);
    }
    await Promise.all(calls.map((c) => agentHears(c.agent, 600)));
    for (const call of calls) await hangUp(call);
  });

  test('a second process of one name is told, and gets nothing; a process that begins again is there at once', async (t) => {
    const twin = await nodes.media('de-3', 'EU-DE', 40);
    const why = new RegExp(`^Gateway\\.NodeId: another process, at ${media['de-3'].address} port 5070, is "de-3" too.*give each node a name`);
    const said = await until(() => twin.logged(why), 'the log to say so');
    assert.equal(said.level, 'error');
    const ready = await fetch(`${twin.url}/readyz`);
    assert.equal(ready.status, 503);
    assert.match((await ready.json()).reason, why);
    await nodes.stop(twin);
    const { place } = media['de-3'];
    await nodes.kill(media['de-3']);
    media['de-3'] = await nodes.media('de-3', 'EU-DE', 40, place);
    await until(async () => (await fetch(`${media['de-3'].url}/readyz`)).status === 200, 'readyz');
    assert.equal(media['de-3'].logged(/another process/), undefined);
    const asked = await ask('1', 'de');
    await hangUp(await up(t, asked, at(asked.contacts, 'de-3')));
    const { endpoint } = (await admin(proxies[0], 'nodes')).find((n) => n.id === 'de-3');
    assert.equal(endpoint, place.address);
  });

  test('a node dies between the redirect and the INVITE', async (t) => {
    const kamailio = await Kamailio.start(CALLERS[0], PROXY_PORT, { proxy: proxies[0].address });
    t.after(() => kamailio.stop());
    const ping = callers[0].newCall(`sip:${CALLERS[0]}:${kamailio.port}`, kamailio.port);
    await kamailio.ready(() => {
      callers[0].send(callers[0].request(ping, 'OPTIONS'), kamailio.port);
      return callers[0].of(ping).some((m) => m.status === 200);
    });
    const lost = await ask('11', 'de'); // up when its node dies
    await up(t, lost, at(lost.contacts, 'de-1'));
    const left = await ask('12', 'us'); // nobody but the dead node is offered
    const between = await ask('1', 'de');
    const raced = await ask('1', 'de');
    assert.equal(between.contacts[0].host, media['de-1'].address);
    await Promise.all([nodes.kill(media['de-1']), nodes.kill(media['us-1'])]);

    // Kamailio is offered the dead node first, still, and goes on to the next.
    const index = nodes.agent.calls.length;
    const rtp = await RtpPeer.start({ t, host: CALLERS[0] });
    const through = callers[0].newCall(`sip:${NUMBER}@${CALLERS[0]}:${kamailio.port};X-Business-Id=1;X-Phone-Id=de`, kamailio.port);
    callers[0].invite(through, { body: rtp.sdp() });
    // A peer of ours does the same.
    callers[0].invite(callers[0].follow(between.call, between.contacts[0]));
    const next = await take(t, between, between.contacts[1]);
    assert.equal(next.answer.status, 200, next.answer.reason);
    const taken = await entryOf(proxies[1], between.contacts[0].queueId, (e) => e.status === 'ProcessedBackend');
    const takenBy = Object.keys(media).find((id) => media[id].address === between.contacts[1].host);
    assert.equal(taken.node, takenBy);
    assert.deepEqual(taken.log.map((l) => l.text.split(': ')[0]), ['redirected by the proxy', `claimed by ${takenBy}`, 'the agent is connected']);
    // Who calls both that are left gets one of them.
    const both = await Promise.all(raced.contacts.slice(1).map((contact) => take(t, raced, contact)));
    assert.deepEqual(both.map((b) => b.answer.status).sort(), [200, 403]);

    const answer = await callers[0].final(through, 'INVITE', 20000);
    assert.equal(answer.status, 200, `${answer.reason}\n${kamailio.log.slice(-3000)}`);
    callers[0].ack(through, answer);
    assert.deepEqual([...kamailio.log.matchAll(/tries sip:[^@]*@([\d.]+)/g)].map((m) => m[1] === media['de-1'].address), [true, false], kamailio.log);
    rtp.aim(answer.body);
    rtp.speak(600);
    await until(() => nodes.agent.calls.length >= index + 3, 'all agents');

    // Silent for ten seconds: no calls any more.
    await until(async () => (await statesOf(proxies[0]))['de-1'] === 'silent', 'the dead node to be silent', 20000);
    assert.deepEqual((await judged()).sort(), ['de-2', 'de-3']);
    // What the dead nodes held is free again, and told.
    const expired = await entryOf(proxies[0], left.contacts[0].queueId, (e) => e.status === 'Expired', 45000);
    assert.equal(expired.reason, 'no media node took the call in time');
    const gone = await entryOf(proxies[0], lost.contacts[0].queueId, (e) => e.endedMs, 45000);
    assert.deepEqual([gone.status, gone.reason, gone.node], ['ProcessedBackend', 'the media node that had the call is gone', 'de-1']);
    assert.deepEqual([plan('11'), plan('12')], [0, 0]);
    assert.equal((await ask('11', 'de')).answer.status, 302);
    for (const { call, answer: { status } } of [next, ...both]) if (status === 200) callers[0].bye(call);
  });
});
