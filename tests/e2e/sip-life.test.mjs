// SPDX-License-Identifier: Apache-2.0
// Telephony as a service is lived with: no proxy in front, logins, load by sipp, draining, Redis that dies, two nodes.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { toneShare } from '../sim/signal.mjs';
import { Gateway, merge, TOP, until } from './lib/gateway.mjs';
import { agentHears, HOST } from './lib/scenario.mjs';
import { admin, Baresip, callUp, NUMBER, noCalls, queueEntry, runSipp, SipPeer, startSipHouse } from './lib/sip.mjs';

// A whole call as a carrier makes it, straight at the listener.
const CALL = `<?xml version="1.0"?><!DOCTYPE scenario SYSTEM "sipp.dtd"><scenario name="call">
<send retrans="500"><![CDATA[
INVITE sip:${NUMBER}@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:+4930[call_number]@[local_ip]:[local_port]>;tag=[pid]t[call_number]
To: <sip:${NUMBER}@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:sipp@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [auto_media_port] RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
]]></send>
<recv response="100" optional="true"/><recv response="180" optional="true"/>
<recv response="200" rrs="true"/>
<send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:+4930[call_number]@[local_ip]:[local_port]>;tag=[pid]t[call_number]
To: <sip:${NUMBER}@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<pause milliseconds="300"/>
<send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:+4930[call_number]@[local_ip]:[local_port]>;tag=[pid]t[call_number]
To: <sip:${NUMBER}@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>`;

test('the demo of quickstart: dialled by its number, the echo agent repeats what it hears', async (t) => {
  const text = fs.readFileSync(`${TOP}/deploy/quickstart.json`, 'utf8').replace(/^\s*\/\/.*$/gm, '').replace(/,(\s*[}\]])/g, '$1');
  const usual = { ProxyListen: ['udp:0.0.0.0:5060', 'tcp:0.0.0.0:5060'], MediaListen: ['udp:0.0.0.0:5070', 'tcp:0.0.0.0:5070'] };
  const gateway = await Gateway.start(merge(JSON.parse(text), { Gateway: { HttpListen: '0.0.0.0:0' }, Sip: usual }));
  t.after(() => gateway.stop());
  const phone = await Baresip.start({ t, toneHz: 600 });
  phone.dial(`sip:1000@${HOST}`);
  await phone.until('CALL_ESTABLISHED');
  await until(() => {
    const { rateHz, samples } = phone.heard(300);
    return samples.length > rateHz / 5 && toneShare(samples, rateHz, 600) > 0.9;
  }, 'the echo at the telephone');
  phone.hangUp();
  await noCalls(gateway);
});

describe('without a proxy in front', () => {
  let house;
  before(async () => {
    house = await startSipHouse({ config: { Sip: { AcceptDirect: true } }, number: { OverrideSipUsername: '', OverrideSipPassword: '' } });
  });
  after(() => house?.stop());

  test('calls of sipp come straight to the listener', async (t) => {
    const before = await house.gateway.metric('iqra_sip_calls_total{outcome="answered"}');
    const { code, output } = await runSipp(CALL, `${house.sip.host}:${house.sip.mediaPort}`, { calls: 20, rate: 10 });
    assert.equal(code, 0, output);
    await noCalls(house.gateway);
    assert.equal(await house.gateway.metric('iqra_sip_calls_total{outcome="answered"}'), before + 20);
    const { total } = await admin(house.gateway, 'queue?status=ProcessedBackend&limit=1');
    assert.equal(total, 20);
    assert.equal(house.platform.requests.length, 20);
  });

  test('a number with a login asks for it', async (t) => {
    await house.gateway.reload({ Businesses: { 123: { Numbers: { num1: { OverrideSipUsername: 'pbx', OverrideSipPassword: 'very secret' } } } } });
    const uri = `sip:${NUMBER}@${house.sip.host}:${house.sip.mediaPort}`;
    const peer = await SipPeer.start({ t });
    const call = peer.newCall(uri, house.sip.mediaPort);
    peer.invite(call);
    const answer = await peer.final(call);
    assert.equal(answer.status, 401);
    assert.match(answer.header('www-authenticate'), /^Digest /);
    peer.ack(call, answer);
    const calls = house.agent.calls.length;
    const wrong = await Baresip.start({ t, account: ';auth_user=pbx;auth_pass=wrong' });
    wrong.dial(uri);
    await wrong.until('CALL_CLOSED');
    assert.equal(house.agent.calls.length, calls);
    const phone = await Baresip.start({ t, account: ';auth_user=pbx;auth_pass="very secret"' });
    phone.dial(uri);
    await phone.until('CALL_ESTABLISHED');
    phone.hangUp();
    await noCalls(house.gateway);
    assert.ok(!house.gateway.text().includes('very secret'));
  });
});

describe('one node', () => {
  let house;
  let peer;
  before(async () => {
    house = await startSipHouse({ config: { Gateway: { DrainSeconds: 20 } } });
    peer = await SipPeer.start();
  });
  after(async () => {
    peer?.close();
    await house?.stop();
  });

  test('a call lives through the death of Redis', async (t) => {
    const { call, rtp, agent } = await callUp(t, house, peer);
    const child = execFileSync('pgrep', ['-P', String(house.gateway.child.pid), '-x', 'redis-server']).toString().trim();
    process.kill(Number(child), 'SIGKILL');
    agent.sayTone(1000, 3000);
    await until(() => rtp.payloads.length > 50 && toneShare(rtp.lastSamples(400), 8000, 1000) > 0.9, 'the tone at the trunk');
    await until(async () => (await fetch(`${house.gateway.url}/readyz`)).ok, 'Redis to be back');
    await until(async () => (await admin(house.gateway, 'nodes')).some((n) => n.state === 'running'), 'the node to be known again');
    const second = await callUp(t, house, peer);
    for (const { call: each } of [{ call }, second]) peer.bye(each);
    await noCalls(house.gateway);
  });

  test('SIGTERM: no new calls, the old one ends in peace', async (t) => {
    const { call, rtp, agent } = await callUp(t, house, peer);
    await agentHears(agent, 600);
    house.gateway.signal('SIGTERM');
    await until(async () => (await fetch(`${house.gateway.url}/readyz`)).status === 503, 'the drain');
    const refused = peer.newCall(house.sip.proxyUri(), house.sip.proxyPort);
    peer.invite(refused);
    const answer = await peer.final(refused);
    assert.equal(answer.status, 503);
    assert.ok(Number(answer.header('retry-after')) > 0);
    peer.ack(refused, answer);
    rtp.speak(900);
    await agentHears(agent, 900);
    assert.equal(house.gateway.end, undefined);
    peer.bye(call);
    assert.equal((await house.gateway.exited).code, 0);
  });
});

describe('two nodes', () => {
  let house;
  let peer;
  before(async () => {
    house = await startSipHouse();
    peer = await SipPeer.start();
  });
  after(async () => {
    peer?.close();
    await house?.stop();
  });

  test('a second gateway serves calls that the first redirects to it, until it drains', async (t) => {
    // The private Redis of the first is shared by its socket.
    const redis = `unix:${house.gateway.config.Gateway.DataDirectory}/redis/redis.sock`;
    const other = await startSipHouse({
      config: { RedisConnectionString: redis, Gateway: { NodeId: 'other', RegionId: 'local', Roles: ['media'] } },
      host: house.sip.host,
    });
    await until(async () => (await admin(house.gateway, 'nodes')).length === 2, 'both nodes to be known');
    await house.gateway.reload({ Regions: { local: { Servers: { test: { Endpoint: house.sip.host, SipPort: house.sip.mediaPort, Enabled: false } } } } });
    const { call, rtp } = await callUp(t, { ...house, agent: other.agent }, peer);
    assert.equal(call.port, other.sip.mediaPort);
    assert.equal((await queueEntry(house.gateway, 'ProcessedBackend')).node, 'other');
    await fetch(`${other.gateway.url}/api/admin/drain`, { method: 'POST', headers: { authorization: 'Bearer admin-secret' } });
    await until(async () => (await admin(house.gateway, 'nodes')).some((n) => n.id === 'other' && n.state === 'draining'), 'the drain to be known');
    const none = peer.newCall(house.sip.proxyUri(), house.sip.proxyPort);
    peer.invite(none);
    const answer = await peer.final(none);
    assert.equal(answer.status, 503);
    assert.match(answer.reason, /No Available Servers/);
    peer.ack(none, answer);
    peer.bye(call);
    assert.equal((await other.gateway.exited).code, 0);
    await until(async () => (await admin(house.gateway, 'nodes')).length === 1, 'the node to be gone');
    await other.agent.close();
    await other.platform.close();
  });
});
