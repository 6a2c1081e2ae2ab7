// SPDX-License-Identifier: Apache-2.0
// The proxy as carriers meet it: sipp in numbers, Kamailio that follows the redirect, CANCEL at any moment, floods.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './lib/gateway.mjs';
import { Kamailio } from './lib/kamailio.mjs';
import { HOST } from './lib/scenario.mjs';
import { admin, noCalls, NUMBER, queueEntry, runSipp, SipPeer, startSipHouse } from './lib/sip.mjs';

const invite = (uri) => `
  <send retrans="500"><![CDATA[

    INVITE ${uri} SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: <sip:+49309999@[local_ip]:[local_port]>;tag=[pid]t[call_number]
    To: <${uri}>
    Call-ID: [call_id]
    CSeq: 1 INVITE
    Contact: <sip:sipp@[local_ip]:[local_port]>
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>`;

const ack = (uri) => `
  <send><![CDATA[

    ACK ${uri} SIP/2.0
    [last_Via:]
    From: <sip:+49309999@[local_ip]:[local_port]>;tag=[pid]t[call_number]
    [last_To:]
    Call-ID: [call_id]
    CSeq: 1 ACK
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>`;

const scenario = (...steps) => `<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="proxy">${steps.join('')}\n</scenario>\n`;

const dialled = `sip:${NUMBER}@[remote_ip]:[remote_port]`;
const redirected = scenario(
  invite(dialled),
  `<recv response="100"/>
  <recv response="302">
    <action>
      <ereg regexp="sip:[^>]*;X-CallQueue-Id=[^;>]+;transport=[a-z]+>;q=1.0" search_in="hdr" header="Contact:" check_it="true" assign_to="1"/>
      <ereg regexp="Redirecting to Media Server" search_in="msg" check_it="true" assign_to="2"/>
    </action>
  </recv>
  <Reference variables="1,2"/>`,
  ack(dialled),
);
// The redirect is followed by who stands between; sipp sees a call that is answered, and ends it.
const whole = scenario(
  invite(dialled).replace('Content-Length: 0', 'Content-Type: application/sdp\n    Content-Length: [len]\n\n    v=0\n    o=sipp 1 1 IN IP4 [local_ip]\n    s=-\n    c=IN IP4 [media_ip]\n    t=0 0\n    m=audio [media_port] RTP/AVP 0\n    a=rtpmap:0 PCMU/8000'),
  `<recv response="100" optional="true"/><recv response="180" optional="true"/><recv response="200" rrs="true"/>
  <send><![CDATA[

    ACK [next_url] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    [routes]
    From: <sip:+49309999@[local_ip]:[local_port]>;tag=[pid]t[call_number]
    [last_To:]
    Call-ID: [call_id]
    CSeq: 1 ACK
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
  <pause milliseconds="500"/>
  <send retrans="500"><![CDATA[

    BYE [next_url] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    [routes]
    From: <sip:+49309999@[local_ip]:[local_port]>;tag=[pid]t[call_number]
    [last_To:]
    Call-ID: [call_id]
    CSeq: 2 BYE
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
  <recv response="200"/>`,
);

describe('the proxy', () => {
  let house;
  let peer;
  before(async () => {
    house = await startSipHouse({
      business: { MaxConcurrentCalls: 0 },
      config: { Sip: { InvitesPerSecond: 0 }, Agent: { Builtin: 'echo' }, VoiceAiPlatform: { BaseUrl: '' } },
    });
    peer = await SipPeer.start();
  });
  after(async () => {
    peer?.close();
    await house?.stop();
  });

  const target = () => `${HOST}:${house.sip.proxyPort}`;
  const outcomes = async () => ({
    redirected: await house.gateway.metric('iqra_sip_proxy_answers_total{outcome="redirected"}'),
    refused: await house.gateway.metric('iqra_sip_proxy_answers_total{outcome="refused"}'),
    cancelled: await house.gateway.metric('iqra_sip_proxy_answers_total{outcome="cancelled"}'),
  });

  for (const [name, args] of [['UDP', []], ['TCP', ['-t', 't1']]])
    test(`sipp is redirected over ${name}`, async () => {
      const was = await outcomes();
      const { code, output } = await runSipp(redirected, target(), { calls: 100, rate: 50, args });
      assert.equal(code, 0, output);
      assert.equal((await outcomes()).redirected - was.redirected, 100);
      assert.equal((await queueEntry(house.gateway, 'ProcessedProxy')).sourceIp ?? HOST, HOST);
    });

  test('sipp asks for a number that is not there', async () => {
    const uri = 'sip:+4900000@[remote_ip]:[remote_port]';
    const { code, output } = await runSipp(scenario(invite(uri), '<recv response="100"/><recv response="404"/>', ack(uri)), target(), { calls: 10 });
    assert.equal(code, 0, output);
  });

  test('CANCEL at any moment: one end, and nothing is left', async () => {
    const was = await outcomes();
    const calls = [];
    for (let i = 0; i < 60; i++) {
      const call = peer.newCall(house.sip.proxyUri(), house.sip.proxyPort);
      calls.push(call);
      peer.invite(call);
      if (i % 3) await sleep(i % 7);
      peer.cancel(call);
      if (i % 2) peer.cancel(call);
    }
    for (const call of calls) {
      const end = await peer.final(call);
      assert.ok([302, 487].includes(end.status), `${end.status}`);
      peer.ack(call, end);
      const cancelled = await peer.until(call, (m) => m.status >= 200 && m.header('cseq') === '1 CANCEL', 'an answer to CANCEL');
      assert.equal(cancelled.status, 200);
    }
    for (const call of calls) {
      const ends = new Set(peer.of(call).filter((m) => m.status >= 200 && m.header('cseq') === '1 INVITE').map((m) => m.status));
      assert.equal(ends.size, 1);
    }
    const now = await outcomes();
    assert.equal(now.redirected - was.redirected + now.cancelled - was.cancelled, 60);
    assert.equal(await house.gateway.metric('iqra_sip_proxy_pending'), 0);
  });

  test('Kamailio follows the redirect, and calls are held through it', async () => {
    const kamailio = await Kamailio.start(HOST, house.sip.proxyPort);
    try {
      const ping = peer.newCall(`sip:${HOST}:${kamailio.port}`, kamailio.port);
      await kamailio.ready(() => {
        peer.send(peer.request(ping, 'OPTIONS'), kamailio.port);
        return peer.of(ping).some((m) => m.status === 200);
      });
      const was = await outcomes();
      const { code, output } = await runSipp(whole, `${HOST}:${kamailio.port}`, { calls: 10, rate: 5, timeoutS: 60 });
      assert.equal(code, 0, `${output}\n${kamailio.log.slice(-2000)}`);
      assert.equal((await outcomes()).redirected - was.redirected, 10);
      await noCalls(house.gateway);
      const { entries } = await admin(house.gateway, 'queue?limit=10');
      assert.deepEqual(entries.map((e) => e.status), Array(10).fill('ProcessedBackend'));
    } finally {
      await kamailio.stop();
    }
  });

  test('a flood gets 503, then nothing, and does not hurt others', async () => {
    await house.gateway.reload({ Sip: { InvitesPerSecond: 5 } });
    const flood = [];
    for (let i = 0; i < 200; i++) {
      const call = peer.newCall(house.sip.proxyUri(), house.sip.proxyPort);
      flood.push(call);
      peer.invite(call);
    }
    await until(async () => (await house.gateway.metric('iqra_sip_proxy_limited_total{answer="none"}')) > 100, 'most of it to be left unanswered');
    const ends = flood.map((call) => peer.of(call).find((m) => m.status >= 200));
    assert.ok(ends.some((m) => m?.status === 302));
    const busy = ends.find((m) => m?.status === 503);
    assert.equal(busy.header('retry-after'), '1');
    assert.ok(ends.filter((m) => !m).length > 100);
    await until(() => house.gateway.logs.some((l) => l.mod === 'proxy' && /left unanswered/.test(l.msg)), 'a line of the log');
    const other = await SipPeer.start({ host: '127.0.0.1' });
    const call = other.newCall(house.sip.proxyUri(), house.sip.proxyPort);
    other.send(other.request(call, 'INVITE'), house.sip.proxyPort, HOST);
    assert.equal((await other.final(call)).status, 302);
    other.close();
  });
});
