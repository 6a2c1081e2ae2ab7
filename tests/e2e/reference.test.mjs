// SPDX-License-Identifier: Apache-2.0
// The existing middleware's API reference, example by example and to the letter, and the official widget's steps from a
// page of another site: what is written for it works here unchanged.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import signalR from 'signalr9';
import { WebSocket } from 'ws';
import { startAgent } from '../sim/agent.mjs';
import { startPlatform } from '../sim/platform.mjs';
import { Gateway, until } from './lib/gateway.mjs';
import { audioOffer } from './lib/sdp.mjs';

const ORIGIN = 'https://shop.example';
const TOKEN = 'YOUR_SECRET_WEBHOOK_TOKEN';
const EXAMPLE = `{
"campaignId": "IqraWebsiteCampaign",
"regionId": "EU-DE",
"transportType": 0,
"clientIdentifier": "user-abcdef-12345",
"dynamicVariables": {
"userName": "Abdullah",
"language": "en"
},
"metadata": {
"source": "homepage_widget"
},
"audioConfiguration": {
"inputEncodingType": 1,
"inputSampleRate": 16000,
"inputBitsPerSample": 16,
"outputEncodingType": 1,
"outputSampleRate": 16000,
"outputBitsPerSample": 16
}
}`;
let platform;
let gateway;
before(async () => {
  platform = await startPlatform({ agentUrl: (id) => `wss://app.iqra.bot/ws/${id}` });
  gateway = await Gateway.start({
    AllowedOrigins: [ORIGIN],
    Agent: { Builtin: '' },
    Gateway: { MaxCalls: 1 },
    Security: { WebhookApiToken: TOKEN },
    VoiceAiPlatform: {
      BaseUrl: platform.baseUrl,
      ApiSecretToken: 'platform-secret',
      Campaigns: { IqraWebsiteCampaign: { BusinessId: '42', WebCampaignId: 'web-7', AllowedRegionIds: ['EU-DE'] } },
    },
  });
});
after(async () => {
  await gateway?.stop();
  await platform?.close();
});

// As the widget: a page's request, with the headers its option `headers` adds.
const post = (path, body, headers = {}) =>
  fetch(gateway.url + path, { method: 'POST', headers: { 'content-type': 'application/json', origin: ORIGIN, ...headers }, body });
const request = (body = EXAMPLE) => post('/api/session/request', body, { 'x-shop': '7' });
const json = async (response, status) => {
  assert.equal(response.status, status, await response.clone().text());
  return response.json();
};
const sessionOf = (url) => url.split('/').pop();
const webhook = (text, token = TOKEN) => post('/api/webhook/session-ended', text, token && { 'x-api-token': token });
const endSession = async (url) => assert.equal((await webhook(`{\n"ConversationSessionId": "${sessionOf(url)}"\n}`)).status, 200);

// The example of the reference, with our address and Node's WebSocket.
async function setUp(uniqueRequestId, heard) {
  const connection = new signalR.HubConnectionBuilder()
    .withUrl(`${gateway.url}/sessionHub`, { headers: { origin: ORIGIN } })
    .withAutomaticReconnect()
    .configureLogging(signalR.LogLevel.None)
    .build();
  for (const event of ['SessionReady', 'SessionFailed']) connection.on(event, (payload) => heard.push([event, payload]));
  await connection.start();
  await connection.invoke('Register', uniqueRequestId);
  return connection;
}

test('a request that is served at once, and what the platform is asked', async () => {
  const answer = await json(await request(), 200);
  assert.deepEqual(Object.keys(answer), ['webSocketUrl']);
  assert.match(answer.webSocketUrl, /^wss:\/\/app\.iqra\.bot\/ws\/ses_/);
  const { businessId, headers, body } = platform.requests.at(-1);
  assert.equal(businessId, '42');
  assert.equal(headers.authorization, 'Token platform-secret');
  assert.match(body.ClientIdentifier, /^user-abcdef-12345_[0-9.]+$/);
  const format = { SampleRate: 16000, BitsPerSample: 16, AudioEncodingType: 1 };
  assert.deepEqual(
    { TransportType: body.TransportType, WebCampaignId: body.WebCampaignId, RegionId: body.RegionId, DynamicVariables: body.DynamicVariables, Metadata: body.Metadata },
    { TransportType: 0, WebCampaignId: 'web-7', RegionId: 'EU-DE', DynamicVariables: { userName: 'Abdullah', language: 'en' }, Metadata: { source: 'homepage_widget' } },
  );
  for (const side of [body.AudioInputConfiguration, body.AudioOutputConfiguration])
    for (const [name, value] of Object.entries(format)) assert.equal(side[name], value, name);
  await endSession(answer.webSocketUrl);
});

test('property names in any case', async () => {
  const answer = await json(await request(EXAMPLE.replace(/"(campaignId|regionId|transportType|audioConfiguration|dynamicVariables)"/g, (name) => name.toUpperCase())), 200);
  await endSession(answer.webSocketUrl);
});

test('one that waits: the example client hears SessionReady, or SessionFailed, and nothing else', async () => {
  const first = await json(await request(), 200);
  const queued = await json(await request(), 202);
  assert.deepEqual(queued, { status: 'queued', uniqueRequestId: queued.uniqueRequestId, queuePosition: 1 });
  assert.match(queued.uniqueRequestId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const third = await json(await request(), 202);
  assert.equal(third.queuePosition, 2);
  const heard = [[], []];
  const clients = [await setUp(queued.uniqueRequestId, heard[0]), await setUp(third.uniqueRequestId, heard[1])];
  await endSession(first.webSocketUrl);
  await until(() => heard[0].length, 'SessionReady');
  const [[event, payload]] = heard[0];
  assert.equal(event, 'SessionReady');
  assert.deepEqual(Object.keys(payload), ['webSocketUrl']);
  platform.fault = 'status500';
  await endSession(payload.webSocketUrl);
  await until(() => heard[1].length, 'SessionFailed');
  platform.fault = undefined;
  assert.deepEqual(heard[1], [['SessionFailed', { message: 'An error occurred while creating your session. Please try again.' }]]);
  assert.equal(heard[0].length, 1);
  for (const client of clients) await client.stop();
});

test('what is refused, word for word', async () => {
  const says = async (text, message) => {
    const answer = await json(await request(text), 400);
    if (message) assert.deepEqual(answer, { message });
    else assert.ok(answer.errors && answer.message);
  };
  const campaign = 'Invalid or missing CampaignId.';
  const region = 'Invalid or missing RegionId, or RegionId not allowed for this campaign.';
  await says(EXAMPLE.replace('IqraWebsiteCampaign', 'Another'), campaign);
  await says(EXAMPLE.replace('"campaignId": "IqraWebsiteCampaign",', ''), campaign);
  await says(EXAMPLE.replace('EU-DE', 'us-east-1'), region);
  await says(EXAMPLE.replace('"regionId": "EU-DE",', ''), region);
  await says(EXAMPLE.slice(0, -1));
  await says(EXAMPLE.replace('"transportType": 0', '"transportType": "zero"'));
  await says(EXAMPLE.replace('"Abdullah"', '{"first": "Abdullah"}'));
  await says(EXAMPLE.replace('"inputSampleRate": 16000', '"inputSampleRate": "16k"'));
  assert.equal((await webhook('{\n"ConversationSessionId": "ses_xxxxxxxx"\n}', '')).status, 401);
  assert.deepEqual(await json(await webhook('{\n"ConversationSessionId": "ses_xxxxxxxx"\n}'), 400), { message: 'No session found for ConversationSessionId.' });
});

test("the official widget's steps by WebRTC: pre-flight, request, queue, hub, offer with two audio m-lines, answer", async (t) => {
  const agent = await startAgent();
  const agentUrl = platform.agentUrl;
  platform.agentUrl = (id) => `${agent.url}/${id}`;
  t.after(() => {
    platform.agentUrl = agentUrl;
    return agent.close();
  });
  const preflight = await fetch(`${gateway.url}/api/session/request`, {
    method: 'OPTIONS',
    headers: { origin: ORIGIN, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,x-shop' },
  });
  assert.equal(preflight.headers.get('access-control-allow-origin'), ORIGIN);
  assert.match(preflight.headers.get('access-control-allow-headers'), /x-shop/);
  const body = EXAMPLE.replace('"transportType": 0', '"transportType": 1');
  const before = await json(await request(), 200);
  const response = await request(body);
  assert.equal(response.headers.get('access-control-allow-origin'), ORIGIN);
  const { uniqueRequestId } = await json(response, 202);
  const heard = [];
  const hub = await setUp(uniqueRequestId, heard);
  t.after(() => hub.stop()); // it would connect again for ever
  await endSession(before.webSocketUrl);
  const [, { webSocketUrl, iceServers }] = await until(() => heard[0], 'SessionReady');
  await hub.stop();
  assert.ok(Array.isArray(iceServers));
  assert.match(webSocketUrl, /^ws:\/\/[^/]+\/ws\/session\/[^/]+\/webrtc\/[^/]+\/[^/]+$/);
  assert.equal(platform.requests.at(-1).body.TransportType, 0, "the platform's own socket is the gateway's affair");
  assert.equal(new URL(webSocketUrl).port, String(gateway.port));

  const ws = new WebSocket(webSocketUrl, { headers: { origin: ORIGIN } });
  t.after(() => ws.terminate());
  const messages = [];
  ws.on('message', (data) => messages.push(JSON.parse(data)));
  const closed = once(ws, 'close'); // whoever closes it, and when
  await once(ws, 'open');
  const [head, audio] = audioOffer().split(/(?=m=audio)/);
  const sdp = `${head.replace('BUNDLE 0', 'BUNDLE 0 1 2')}${audio}${audio.replace('a=mid:0', 'a=mid:1')}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n${audio.split('\r\n').filter((line) => /^(c=|a=(ice|fingerprint|setup))/.test(line)).join('\r\n')}\r\na=mid:2\r\na=sctp-port:5000\r\n`;
  ws.send(JSON.stringify({ type: 'offer', sdp }));
  const answer = await until(() => messages.find(({ type }) => type === 'answer'), 'the answer');
  const lines = answer.sdp.split('\r\n').filter((line) => line.startsWith('m='));
  assert.deepEqual(lines.map((line) => line.split(' ')[0]), ['m=audio', 'm=audio', 'm=application']);
  assert.notEqual(lines[0].split(' ')[1], '0', 'audio on the first');
  assert.match(answer.sdp, /a=msid[:-]/);
  const { candidate } = await until(() => messages.find((message) => message.type === 'candidate' && message.candidate), 'a candidate');
  assert.match(candidate.candidate, /^candidate:/);
  ws.close();
  await closed;
  await until(async () => (await (await gateway.admin('GET', 'desk')).json()).slots === 0, 'its slot to be free');
});
