// SPDX-License-Identifier: Apache-2.0
// Two media nodes behind one proxy, each in a network namespace of its own: a node that drains, and Redis started again
// under calls, with and without what it knew: those of real programs and of our own peers.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ENCODINGS, rms } from '../sim/signal.mjs';
import { TOP, until } from './lib/gateway.mjs';
import { CALLERS, entryOf, Nodes, PROXY_PORT, queueOf, seesAll, statesOf, uriOf } from './lib/nodes.mjs';
import { agentHears } from './lib/scenario.mjs';
import { admin, Baresip, contactsOf, NUMBER, RtpPeer, SipPeer, startSipp } from './lib/sip.mjs';

const BUSINESS = '9';
const PEERS = 8; // of our own, who see each packet
const LIVE = PEERS + 1; // and baresip
const config = {
  VoiceAiPlatform: { Campaigns: { demo: { BusinessId: '1', WebCampaignId: 'demo', AllowedRegionIds: ['EU-DE'] } } },
  Businesses: {
    [BUSINESS]: { MaxConcurrentCalls: 1000, Numbers: { de: { Number: NUMBER, Provider: 'SIP', RouteId: 'route-1', RegionId: 'EU-DE', CampaignId: 'demo' } } },
  },
  Regions: { 'EU-DE': {} },
};

describe('two media nodes', () => {
  let nodes;
  let proxy;
  let media;
  let peer;
  before(async () => {
    nodes = await Nodes.start(config);
    nodes.agent.echo = true;
    [proxy, ...media] = await Promise.all([nodes.proxy('proxy-1'), nodes.media('de-1', 'EU-DE', 100), nodes.media('de-2', 'EU-DE', 40)]);
    peer = await SipPeer.start({ host: CALLERS[0] });
    await seesAll(proxy, ['de-1', 'de-2']);
  });
  after(async () => {
    peer?.close();
    await nodes?.end();
  });

  async function ask() {
    const call = peer.newCall(uriOf(BUSINESS, 'de'), PROXY_PORT, { host: proxy.address });
    peer.invite(call);
    const answer = await peer.final(call);
    peer.ack(call, answer);
    return { call, answer, contacts: answer.status === 302 ? contactsOf(answer) : [] };
  }

  async function take(t, asked, contact) {
    const rtp = await RtpPeer.start({ t, host: peer.host });
    const call = peer.follow(asked.call, contact);
    peer.invite(call, { body: rtp.sdp() });
    const answer = await peer.final(call);
    peer.ack(call, answer);
    return { call, answer, rtp };
  }

  async function up(t, asked, contact) {
    const index = nodes.agent.calls.length;
    const taken = await take(t, asked, contact);
    assert.equal(taken.answer.status, 200, taken.answer.reason);
    taken.rtp.aim(taken.answer.body);
    taken.rtp.speak(600);
    const agent = await until(() => nodes.agent.calls[index], 'the agent');
    await agentHears(agent, 600);
    return { ...taken, agent };
  }

  const hostsOf = (asked) => asked.contacts.map((c) => c.host);
  const at = (asked, gateway) => asked.contacts.find((c) => c.host === gateway.address);
  const leases = () => Number(nodes.redis.ask('zcard', `callqueue:leases:${BUSINESS}`));
  const drains = {
    SIGTERM: (gateway) => gateway.signal('SIGTERM'),
    'the operator\'s door': (gateway) => gateway.admin('POST', 'drain'),
  };

  for (const [by, drain] of Object.entries(drains)) {
    test(`a node drains by ${by}: no new calls, those that are up go on, and it ends with the last`, async (t) => {
      const [node, other] = media;
      const first = await ask();
      assert.deepEqual(hostsOf(first), [node.address, other.address]);
      const live = await up(t, first, at(first, node));
      const late = await ask();
      await drain(node);
      await until(async () => (await statesOf(proxy))['de-1'] === 'draining', 'the proxy to know');
      assert.deepEqual(hostsOf(await ask()), [other.address]);
      const ready = await fetch(`${node.url}/readyz`);
      assert.deepEqual([ready.status, (await ready.json()).status], [503, 'draining']);
      // Who was sent there just before goes on to the next.
      const refused = await take(t, late, at(late, node));
      assert.equal(refused.answer.status, 503);
      assert.ok(Number(refused.answer.header('retry-after')) > 0);
      const next = await take(t, late, at(late, other));
      assert.equal(next.answer.status, 200);
      assert.equal((await entryOf(proxy, late.contacts[0].queueId, (e) => e.status === 'ProcessedBackend')).node, 'de-2');
      peer.bye(next.call);
      const heard = live.agent.frames.length;
      await until(() => live.agent.frames.length > heard + 50, 'the call to go on');
      await agentHears(live.agent, 600);
      assert.equal(node.end, undefined);
      peer.bye(live.call);
      assert.deepEqual(await node.exited, { code: 0, signal: null });
      await until(async () => !('de-1' in (await statesOf(proxy))), 'it to be taken out of the table');
      await nodes.stop(node);
      media[0] = await nodes.media('de-1', 'EU-DE', 100, node.place);
      await seesAll(proxy, ['de-1', 'de-2']);
    });
  }

  // Whole calls one after the other, with what became of each: {at, status, retryAfter}.
  class Load {
    constructor(t) {
      this.ends = [];
      this.failed = [];
      this.done = Promise.all([1, 2, 3].map(() => this.run(t)));
    }

    async run(t) {
      while (!this.stopped) {
        await this.once(t).catch((error) => this.failed.push(error.message));
        await sleep(50); // a pace, not a wait
      }
    }

    async once(t) {
      const asked = await ask();
      let { answer } = asked;
      if (answer.status === 302) {
        const taken = await take(t, asked, asked.contacts[this.ends.length % asked.contacts.length]);
        answer = taken.answer;
        if (answer.status === 200) peer.bye(taken.call);
        taken.rtp.close();
      }
      this.ends.push({ status: answer.status, reason: answer.reason, retryAfter: Number(answer.header('retry-after')) });
    }

    // Those after the `from`th.
    since(from, status) {
      return this.ends.slice(from).filter((e) => (status ? e.status === status : e.status !== 200));
    }

    async stop() {
      this.stopped = true;
      await this.done;
      assert.deepEqual(this.failed, []);
    }
  }

  const levels = (payloads) =>
    payloads.map((payload) => Math.sqrt(ENCODINGS.MULAW.decode(payload).reduce((sum, s) => sum + s * s, 0) / 160));

  // Every packet in its place, and each of them loud.
  function assertUnbroken({ rtp }, from) {
    const packets = rtp.packets.slice(from);
    assert.ok(packets.length > 100, `only ${packets.length} packets`);
    const steps = new Set(packets.slice(1).map((p, i) => p.timestamp - packets[i].timestamp));
    assert.deepEqual([...steps], [160]);
    const each = levels(packets.map((p) => p.data));
    const usual = [...each].sort((a, b) => a - b)[each.length >> 1];
    const quiet = each.filter((level) => level < usual / 4).length;
    assert.ok(usual > 1000 && quiet <= each.length * 0.05, `${quiet} of ${each.length} packets are silent; usual is ${usual}`);
  }

  // Real ones: calls at a steady rate that follow their 302, until it is stopped.
  const startLoad = () =>
    startSipp(fs.readFileSync(path.join(TOP, 'tests/e2e/sipp/redirected.xml'), 'utf8'), `${proxy.address}:${PROXY_PORT}`, {
      host: peer.host,
      calls: 100000,
      rate: 5,
      timeoutS: 120,
      args: ['-s', NUMBER, '-key', 'routing', uriOf(BUSINESS, 'de').split(';').slice(1).join(';')],
    });

  // Each call ended as its scenario has it: whole, or refused with what is promised.
  async function endLoad(load) {
    const { output, lines } = await load.stop();
    const count = (word) => lines.filter((line) => line === word).length;
    assert.match(output, /Failed call +\| +\d+ +\| +0 /, output);
    assert.equal(Number(/Successful call +\| +\d+ +\| +(\d+)/.exec(output)[1]), count('whole') + count('refused'));
    return `sipp: ${count('whole')} whole, ${count('refused')} refused`;
  }

  async function baresipUp(t) {
    const phone = await Baresip.start({ t, host: CALLERS[0], toneMs: 180000 });
    const index = nodes.agent.calls.length;
    phone.dial(uriOf(BUSINESS, 'de').replace('@proxy', `@${proxy.address}:${PROXY_PORT}`));
    await phone.until('CALL_ESTABLISHED');
    const agent = await until(() => nodes.agent.calls[index], 'the agent');
    await agentHears(agent, 600);
    await until(() => rms(phone.heard(500).samples) > 1000, 'the echo at baresip', 20000);
    return { phone, agent };
  }

  // What baresip heard since `mark`, in samples, is loud all through.
  function assertHeard({ phone }, mark) {
    const samples = phone.heard(1e6).samples.subarray(mark);
    const each = [];
    for (let at = 0; at + 160 <= samples.length; at += 160) each.push(rms(samples.subarray(at, at + 160)));
    const quiet = each.filter((level) => level < 500).length;
    assert.ok(each.length > 250 && quiet <= each.length * 0.05, `${quiet} of ${each.length} pieces are silent`);
  }

  // Redis, the nodes and their figures all say LIVE calls, and what else holds a place is a redirect that nobody followed.
  async function agreed(unfollowed, timeoutMs) {
    let told;
    await until(async () => {
      const open = (await queueOf(proxy)).filter((e) => !e.endedMs);
      const held = nodes.redis.ask('zrange', `callqueue:leases:${BUSINESS}`, '0', '-1').split('\n').sort();
      const live = open.filter((e) => e.status === 'ProcessedBackend').length;
      const metrics = await Promise.all(media.map((node) => node.metric('iqra_calls')));
      const table = await admin(proxy, 'nodes');
      const sum = (values) => values.reduce((a, b) => a + b, 0);
      told = JSON.stringify({ held: held.length, open: open.map((e) => e.status), metrics, table: table.map((n) => n.calls) });
      return live === LIVE && sum(metrics) === LIVE && sum(table.map((n) => n.calls)) === LIVE && (unfollowed || open.length === LIVE) &&
        open.every((e) => e.status === 'ProcessedBackend' || e.status === 'ProcessedProxy') && open.map((e) => e.id).sort().join() === held.join();
    }, `${LIVE} calls everywhere`, timeoutMs).catch((error) => {
      throw new Error(`${error.message}: ${told}`);
    });
  }

  test('Redis is started again under load: calls go on, new ones are refused and then admitted, the count is true', async (t) => {
    const live = [];
    while (live.length < PEERS) {
      const asked = await ask();
      live.push(await up(t, asked, at(asked, media[live.length % 2])));
    }
    await Promise.all(live.map(({ rtp }) => until(() => levels(rtp.payloads.slice(-10)).every((l) => l > 1000), 'the echo', 20000)));
    const marks = live.map(({ rtp }) => rtp.packets.length);
    const baresip = await baresipUp(t);
    const mark = baresip.phone.heard(1e6).samples.length;
    for (const lost of [false, true]) {
      const load = new Load(t);
      const sipp = await startLoad();
      const logged = (word) => sipp.logged().filter((line) => line === word).length;
      await until(() => logged('whole') >= 5, 'calls of sipp', 30000);
      await until(() => load.since(0, 200).length >= 5, 'calls to be admitted', 30000);
      await nodes.redis.kill();
      const from = load.ends.length;
      await until(() => load.since(from).length >= 10 && logged('refused') >= 5, 'calls to be refused', 30000);
      for (const { status, reason, retryAfter } of load.since(from)) {
        assert.ok(status === 500 || status === 503, `${status} ${reason}`);
        assert.ok(retryAfter > 0, `${status} ${reason} without Retry-After`);
      }
      if (lost) nodes.redis.lose();
      nodes.redis.run();
      const back = load.ends.length;
      await until(() => load.since(back, 200).length >= 5, 'calls to be admitted again', 30000);
      const before = logged('whole');
      await until(() => logged('whole') >= before + 5, 'calls of sipp again', 30000);
      await load.stop();
      t.diagnostic(await endLoad(sipp));
      // What a call of the load could not give back while Redis was away runs out in 30 s; if all is lost, so is that.
      await agreed(!lost, 45000);
      live.forEach((call, i) => assertUnbroken(call, marks[i]));
      if (lost) {
        const entries = await queueOf(proxy, 'ProcessedBackend');
        assert.equal(entries.filter((e) => !e.endedMs && e.log.some((l) => /^Redis had lost it: told again by de-[12]$/.test(l.text))).length, LIVE);
      }
    }
    await Promise.all([...live, baresip].map(({ agent }) => agentHears(agent, 600)));
    assertHeard(baresip, mark);
    baresip.phone.hangUp();
    for (const { call } of live) peer.bye(call);
    await until(() => leases() === 0, 'all places to be free', 5000);
    const entries = await queueOf(proxy, 'ProcessedBackend');
    assert.equal(entries.filter((e) => !e.endedMs).length, 0);
  });
});
