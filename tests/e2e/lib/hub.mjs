// SPDX-License-Identifier: Apache-2.0
// Callers who wait in line, by the real SignalR clients.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import signalr10 from 'signalr10';
import signalr9 from 'signalr9';
import { startPlatform } from '../../sim/platform.mjs';
import { Gateway, merge, until } from './gateway.mjs';

export const CLIENTS = { 9: signalr9, 10: signalr10 };
export const TRANSPORTS = ['WebSockets', 'ServerSentEvents', 'LongPolling'];
export const WEBHOOK_TOKEN = 'hook-secret';

// A platform that allows one call, so that the second caller waits, and what makes a gateway ask it.
export async function startPlace() {
  const platform = await startPlatform({ agentUrl: (id) => `wss://platform.example/ws/${id}`, plan: { max: 1, others: 0 } });
  const config = {
    Gateway: { SessionTokenSecret: 'the same on every node' },
    Agent: { Builtin: '' },
    VoiceAiPlatform: { BaseUrl: platform.baseUrl, ApiSecretToken: 'platform-secret' },
    Security: { WebhookApiToken: WEBHOOK_TOKEN },
  };
  return { platform, config };
}

// A gateway of that place, once it knows how many calls the platform allows.
export async function startGateway(place, config = {}, options = {}) {
  const gateway = await Gateway.start(merge(place.config, config), options);
  const plan = async () => (await (await gateway.admin('GET', 'desk')).json()).plan?.max;
  await until(async () => (await plan()) === 1, 'the plan');
  gateway.place = place;
  return gateway;
}

// Ends a session, as the platform would say: its URL ends in its id.
export async function endSession(gateway, url) {
  const id = url.split('/').pop();
  gateway.place.platform.end(id);
  const response = await fetch(`${gateway.url}/api/webhook/session-ended`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-token': WEBHOOK_TOKEN },
    body: JSON.stringify({ ConversationSessionId: id }),
  });
  assert.equal(response.status, 200, await response.text());
}

// Takes the one slot, and a place in the line: {id, release()}; after release() it is that caller's turn.
export async function waitInLine(gateway) {
  const { webSocketUrl } = await gateway.admit({ transportType: 0 });
  const response = await gateway.request({ transportType: 0 });
  const queued = await response.json();
  assert.equal(response.status, 202, JSON.stringify(queued));
  assert.equal(queued.queuePosition, 1);
  return { id: queued.uniqueRequestId, release: () => endSession(gateway, webSocketUrl) };
}

// What a 503 is to an EventSource of a browser: the end. That of npm, which the client takes under Node, asks again behind
// its back, and when this stream of nobody ends for want of a handshake, the client drops a connection that it made since.
const require = createRequire(createRequire(import.meta.url).resolve('signalr10'));
export class EventSource extends require('eventsource') {
  emit(type, event) {
    super.emit(type, event);
    if (type === 'error' && event.status) this.close();
  }
}

// A client with what it has heard: events is [[target, argument], ...].
export function makeClient(base, { client = 10, transport, reconnect, quiet, options = {} } = {}) {
  const signalr = CLIENTS[client];
  const builder = new signalr.HubConnectionBuilder()
    .withUrl(`${base}/sessionHub`, { ...(transport && { transport: signalr.HttpTransportType[transport] }), ...options })
    .configureLogging(quiet ? signalr.LogLevel.None : signalr.LogLevel.Error);
  if (reconnect) builder.withAutomaticReconnect(reconnect);
  const connection = builder.build();
  const events = [];
  for (const target of ['SessionReady', 'SessionFailed', 'QueuePosition']) connection.on(target, (data) => { events.push([target, data]); });
  const heard = (target) => events.filter(([name]) => name === target).map(([, data]) => data);
  return { connection, events, heard };
}

// The whole of a waiting caller's way: connect, Register, wait, get a session. Ends it again.
export async function waitAndBeServed(gateway, base, clientOptions) {
  const waiting = await waitInLine(gateway);
  const { connection, heard, events } = makeClient(base, clientOptions);
  await connection.start();
  await connection.invoke('Register', waiting.id);
  await until(() => heard('QueuePosition').length, 'its position');
  assert.equal(heard('QueuePosition')[0].position, 1);
  assert.equal(heard('SessionReady').length, 0);
  await waiting.release();
  await until(() => heard('SessionReady').length, 'SessionReady');
  const [{ webSocketUrl }] = heard('SessionReady');
  assert.match(webSocketUrl, /^wss:\/\/platform\.example\/ws\/ses_sim_/);
  await connection.stop();
  await endSession(gateway, webSocketUrl);
  assert.equal(heard('SessionReady').length, 1, JSON.stringify(events));
  assert.deepEqual(heard('SessionFailed'), []);
  return webSocketUrl;
}
