// SPDX-License-Identifier: Apache-2.0
// What a hostile or broken client or agent can send: each gets a clear error, nothing leaks, the process stays.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { Gateway, until } from './lib/gateway.mjs';
import { startHouse } from './lib/scenario.mjs';
import { audioOffer, noAudioOffer, noCommonCodecOffer } from './lib/sdp.mjs';

const SECRET = 'the-token-secret-of-the-test';
const b64 = (data) => Buffer.from(data).toString('base64url');
const mint = (fields, secret = SECRET) => {
  const body = b64(JSON.stringify({ ExpirationUnix: Math.floor(Date.now() / 1000) + 60, Nonce: crypto.randomUUID(), ...fields }));
  return `${body}.${crypto.createHmac('sha256', secret).update(body).digest('base64url')}`;
};

// Opens a signalling socket: {status} when it is refused, else {ws, messages, closed: Promise<code>}.
function open(url, options = {}) {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(url, options);
    const messages = [];
    const closed = new Promise((done) => ws.on('close', (code) => done(code)));
    ws.on('message', (data) => messages.push(JSON.parse(data)));
    ws.on('unexpected-response', (request, response) => {
      resolve({ status: response.statusCode });
      request.destroy();
    });
    ws.on('error', (error) => reject(error));
    ws.on('open', () => resolve({ ws, messages, closed }));
  });
}

async function errorAfter(gateway, send) {
  const { webSocketUrl } = await gateway.admit();
  const { ws, messages, closed } = await open(webSocketUrl);
  send(ws);
  const code = await closed;
  const error = messages.find((m) => m.type === 'error');
  return { code, error };
}

const offer = (sdp) => (ws) => ws.send(JSON.stringify({ type: 'offer', sdp }));

describe('bad input', () => {
  let house;
  let gateway;
  let holdsBefore;
  before(async () => {
    house = await startHouse({ config: { Gateway: { SessionTokenSecret: SECRET }, Agent: { ConnectTimeoutMs: 1500 } } });
    gateway = house.gateway;
    await errorAfter(gateway, offer(noAudioOffer()));
    await until(async () => (await gateway.metric('iqra_calls')) === 0, 'no calls');
    holdsBefore = await gateway.holds();
  });
  after(async () => {
    await until(async () => (await gateway.metric('iqra_calls')) === 0, 'no calls at the end', 30000);
    await until(async () => (await gateway.holds()).descriptors <= holdsBefore.descriptors + 1, 'the descriptors to come back');
    await house.stop();
  });

  test('tokens: wrong, of another session, expired, reused', async () => {
    const { webSocketUrl } = await gateway.admit();
    const url = new URL(webSocketUrl);
    const [, , , sessionId, , clientId, token] = url.pathname.split('/');
    const at = (session, client, t) => `${url.protocol}//${url.host}/ws/session/${session}/webrtc/${client}/${t}`;
    assert.equal((await open(at(sessionId, clientId, `${token.slice(0, -2)}xx`))).status, 401);
    assert.equal((await open(at(sessionId, clientId, 'garbage'))).status, 401);
    assert.equal((await open(at('ses_other', clientId, token))).status, 401);
    assert.equal((await open(at(sessionId, 'another', token))).status, 401);
    const expired = mint({ SessionId: sessionId, ClientId: clientId, ExpirationUnix: Math.floor(Date.now() / 1000) - 1 });
    assert.equal((await open(at(sessionId, clientId, expired))).status, 401);
    const forged = mint({ SessionId: sessionId, ClientId: clientId }, 'another-secret');
    assert.equal((await open(at(sessionId, clientId, forged))).status, 401);
    const good = await open(webSocketUrl);
    assert.ok(good.ws, 'the good token still opens');
    assert.equal((await open(webSocketUrl)).status, 401, 'and only once');
    good.ws.close();
    await good.closed;
  });

  test('another origin cannot open the socket', async () => {
    const { webSocketUrl } = await gateway.admit();
    assert.equal((await open(webSocketUrl, { headers: { origin: 'https://evil.example' } })).status, 403);
  });

  test('malformed, unknown and huge messages', async () => {
    for (const text of ['{', '[]', '{"type":"dance"}', '{"type":"offer"}', `{"type":"offer","sdp":"${'x'.repeat(70000)}"}`, '['.repeat(5000), ' '.repeat(300000)]) {
      const { code, error } = await errorAfter(gateway, (ws) => ws.send(text));
      assert.equal(code, 4400, text.slice(0, 40));
      assert.equal(error.code, 'bad_message');
      assert.ok(error.message.length > 10);
    }
  });

  test('offers that cannot be answered', async () => {
    const cases = [[noAudioOffer(), 'no_audio'], [noCommonCodecOffer(), 'no_common_codec'], ['v=0\r\nnonsense', 'bad_sdp'], [audioOffer().replace(/a=fingerprint.*\r\n/, ''), 'bad_sdp']];
    for (const [sdp, wanted] of cases) {
      const { code, error } = await errorAfter(gateway, offer(sdp));
      assert.equal(code, 4400);
      assert.equal(error.code, wanted);
    }
  });

  test('three hundred candidates', async () => {
    const { webSocketUrl } = await gateway.admit();
    const { ws, messages, closed } = await open(webSocketUrl);
    for (let i = 0; i < 20; i++) ws.send(JSON.stringify({ type: 'candidate', candidate: { candidate: `candidate:${i} 1 udp 1 127.0.0.1 ${40000 + i} typ host`, sdpMid: '0', sdpMLineIndex: 0 } }));
    offer(audioOffer())(ws);
    await until(() => messages.find((m) => m.type === 'answer'), 'the answer');
    for (let i = 20; i < 180; i++) ws.send(JSON.stringify({ type: 'candidate', candidate: { candidate: `candidate:${i} 1 udp 1 127.0.0.1 ${40000 + i} typ host`, sdpMid: '0', sdpMLineIndex: 0 } }));
    ws.send(JSON.stringify({ type: 'candidate', candidate: { candidate: 'candidate:1 1 udp 1 0f3a.local 9 typ host', sdpMid: '0', sdpMLineIndex: 0 } }));
    ws.send(JSON.stringify({ type: 'candidate', candidate: { candidate: 'nonsense', sdpMid: '0', sdpMLineIndex: 0 } }));
    ws.send(JSON.stringify({ type: 'candidate', candidate: null }));
    assert.equal(gateway.end, undefined);
    for (let i = 180; i < 480; i++) ws.send(JSON.stringify({ type: 'candidate', candidate: { candidate: `candidate:${i} 1 udp 1 127.0.0.1 ${40000 + i} typ host`, sdpMid: '0', sdpMLineIndex: 0 } }));
    const code = await Promise.race([closed, until(() => messages.find((m) => m.type === 'error'), 'the limit').then(() => closed)]);
    assert.equal(code, 4429);
    assert.equal(messages.find((m) => m.type === 'error').code, 'too_many_messages');
  });

  test('DTLS that never comes ends the call with an error', async () => {
    const { code, error } = await errorAfter(gateway, offer(audioOffer()));
    assert.equal(code, 4504);
    assert.equal(error.code, 'media_failed');
  });

  for (const fault of ['hang', 'status404', 'close']) {
    test(`an agent that answers with: ${fault}`, async () => {
      house.agent.fault = fault;
      const { code, error } = await errorAfter(gateway, offer(audioOffer()));
      house.agent.fault = undefined;
      assert.equal(code, 4502);
      assert.match(error.code, /^agent_/);
    });
  }

  test('an agent that refuses the connection', async () => {
    const url = house.platform.agentUrl;
    house.platform.agentUrl = 'ws://127.0.0.1:9/agent';
    const { code, error } = await errorAfter(gateway, offer(audioOffer()));
    house.platform.agentUrl = url;
    assert.equal(code, 4502);
    assert.equal(error.code, 'agent_unavailable');
  });

  test('session requests: every refusal names its cause', async () => {
    const status = async (body) => {
      const response = await gateway.request(body);
      return [response.status, (await response.json()).message];
    };
    assert.deepEqual(await status({ campaignId: 'nobody' }), [400, 'Invalid or missing CampaignId.']);
    assert.deepEqual(await status({ regionId: 'mars' }), [400, 'Invalid or missing RegionId, or RegionId not allowed for this campaign.']);
    assert.equal((await status({ dynamicVariables: 5 }))[0], 400);
    assert.equal((await status({ clientIdentifier: 'a/b' }))[0], 400);
    // One property twice, in one spelling or two.
    const good = '"regionId":"local","transportType":1,"dynamicVariables":{},"metadata":{}';
    for (const [again, field] of [['campaignId', '$'], ['CampaignId', 'campaignId']]) {
      const twice = await fetch(`${gateway.url}/api/session/request`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: `{"campaignId":"demo","${again}":"demo",${good}}` });
      assert.equal(twice.status, 400);
      assert.match(twice.headers.get('content-type'), /^application\/problem\+json/);
      const { message, errors } = await twice.json();
      assert.deepEqual(errors, { [field]: [message] });
    }
    const broken = await fetch(`${gateway.url}/api/session/request`, { method: 'POST', body: '{' });
    assert.equal(broken.status, 400);
    assert.ok((await broken.json()).message);
    const big = await fetch(`${gateway.url}/api/session/request`, { method: 'POST', body: 'x'.repeat(70000) });
    assert.equal(big.status, 413);
  });

  test('a platform that fails is a 500 without its inner text', async () => {
    for (const fault of ['garbage', 'status500', 'refuse']) {
      house.platform.fault = fault;
      const response = await gateway.request();
      house.platform.fault = undefined;
      assert.equal(response.status, 500, fault);
      assert.deepEqual(await response.json(), { message: 'An error occurred while trying to initiate the session.' });
    }
    house.platform.shape = 'open';
    assert.match((await gateway.admit()).webSocketUrl, /\/ws\/session\//);
    house.platform.shape = 'cloud';
  });

  test('no secret in the log', () => {
    const text = gateway.text();
    for (const secret of [SECRET, 'platform-secret', 'admin-secret']) assert.ok(!text.includes(secret), secret);
    assert.ok(!/webrtc\/[^/\s]+\/ey/.test(text), 'no token');
  });
});

test('a configuration that cannot be used stops the start, a line for each key', async () => {
  await assert.rejects(
    Gateway.start({ Agent: { FrameMs: 33, SampleRate: 'fast' } }),
    (error) => /Agent\.FrameMs/i.test(error.message) && /Agent\.SampleRate/i.test(error.message),
  );
});
