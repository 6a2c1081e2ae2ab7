// SPDX-License-Identifier: Apache-2.0
// The session desk: who gets a session at once, who waits and how that ends, who is refused, and that everybody who came
// to nothing gives back what he took. The real program, a real Redis, the real SignalR client.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { afterEach, test } from 'node:test';
import signalr from 'signalr10';
import { WebSocket } from 'ws';
import { startIpApi } from '../sim/ipapi.mjs';
import { startPlatform } from '../sim/platform.mjs';
import { Gateway, merge, until } from './lib/gateway.mjs';

const WEBHOOK_TOKEN = 'hook-secret';
const REQUEST = { campaignId: 'demo', regionId: 'local', transportType: 0, dynamicVariables: {}, metadata: {} };
const FAILED = 'An error occurred while creating your session. Please try again.';
let house;

// A gateway that asks the platform, with nobody's limits but those of `config`.
async function startHouse(config = {}, platformOptions = {}, gatewayOptions = {}) {
  const platform = await startPlatform({ agentUrl: (id) => `wss://platform.example/ws/${id}`, ...platformOptions });
  const desk = {
    Agent: { Builtin: '' },
    VoiceAiPlatform: {
      BaseUrl: platform.baseUrl,
      ApiSecretToken: 'platform-secret',
      Campaigns: { other: { BusinessId: '2', WebCampaignId: 'other', AllowedRegionIds: ['local'], Weight: 3 } },
    },
    ForwardedHeaders: { KnownNetworks: ['127.0.0.0/8', '10.77.0.0/24'] },
    Security: { WebhookApiToken: WEBHOOK_TOKEN },
  };
  const gateway = await Gateway.start(merge(desk, config), gatewayOptions);
  house = { platform, gateway, clients: [], others: [] };
  return house;
}

afterEach(async () => {
  const { platform, gateway, clients, others } = house;
  await Promise.all(clients.map((client) => client.stop().catch(() => {})));
  for (const other of others) await other.stop();
  await gateway.stop();
  await platform.close();
});

// The answer's body, status and retryAfter; `from` is the client's address.
async function ask(body = {}, from = '203.0.113.7', gateway = house.gateway) {
  const response = await gateway.request({ ...REQUEST, ...body }, { 'x-forwarded-for': from });
  return { ...(await response.json()), status: response.status, retryAfter: Number(response.headers.get('retry-after')) };
}

const desk = async (gateway = house.gateway) => (await gateway.admin('GET', 'desk')).json();

// The conversation's id, as the platform put it into its URL.
const sessionOf = (url) => url.split('/').pop();

async function webhook(id, gateway = house.gateway, token = WEBHOOK_TOKEN) {
  const response = await fetch(`${gateway.url}/api/webhook/session-ended`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-token': token },
    body: JSON.stringify({ ConversationSessionId: id }),
  });
  return response.status;
}

async function endSession(url, gateway = house.gateway) {
  house.platform.end(sessionOf(url));
  assert.equal(await webhook(sessionOf(url), gateway), 200);
}

// A client that waits for `id`; what it hears is in `heard`.
async function wait(id, gateway = house.gateway) {
  const connection = new signalr.HubConnectionBuilder().withUrl(`${gateway.url}/sessionHub`).configureLogging(signalr.LogLevel.None).build();
  const client = { heard: [], stop: () => connection.stop() };
  for (const target of ['SessionReady', 'SessionFailed', 'QueuePosition']) connection.on(target, (data) => client.heard.push([target, data]));
  client.all = (target) => client.heard.filter(([name]) => name === target).map(([, data]) => data);
  client.position = () => client.all('QueuePosition').at(-1)?.position;
  client.ready = () => until(() => client.all('SessionReady')[0], `SessionReady for ${id}`);
  client.failed = () => until(() => client.all('SessionFailed')[0], `SessionFailed for ${id}`);
  house.clients.push(client);
  await connection.start();
  await connection.invoke('Register', id);
  return client;
}

const known = (max, rest = {}) => ({ plan: { max, others: 0, ...rest } });
const planIs = (max) => until(async () => (await desk()).plan?.max === max, `a plan of ${max}`);

test('200 at once against a limit of five: five are admitted, the others wait in a row, and are served in that order', async () => {
  const { platform } = await startHouse({}, known(5, { enforce: true }));
  await planIs(5);
  const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => ask({ clientIdentifier: `c${i}` }, `203.0.113.${i}`)));
  const admitted = answers.filter((a) => a.status === 200);
  const queued = answers.filter((a) => a.status === 202).sort((a, b) => a.queuePosition - b.queuePosition);
  assert.equal(admitted.length, 5);
  assert.equal(queued.length, 195);
  assert.deepEqual(queued.map((a) => a.queuePosition), Array.from({ length: 195 }, (_, i) => i + 1));
  assert.ok(queued.every((a) => a.retryAfter > 0));
  assert.equal(platform.peak, 5);
  let now = await desk();
  assert.equal(now.slots, 5);
  assert.equal(now.waiting, 195);

  const first = await Promise.all(queued.slice(0, 12).map((a) => wait(a.uniqueRequestId)));
  await until(() => first.every((client) => client.position()), 'every position');
  assert.deepEqual(first.map((client) => client.position()), first.map((_, i) => i + 1));
  // Three end at the same time, and three are served at the same time: the first three.
  await Promise.all(admitted.slice(0, 3).map((a) => endSession(a.webSocketUrl)));
  const ready = await Promise.all(first.slice(0, 3).map((client) => client.ready()));
  assert.equal(new Set(ready.map((r) => r.webSocketUrl)).size, 3);
  await until(() => first.slice(3).every((client, i) => client.position() === i + 1), 'the others to move up');
  assert.ok(first.slice(3).every((client) => client.all('SessionReady').length === 0));
  now = await desk();
  assert.equal(now.slots, 5);
  assert.equal(now.waiting, 192);
  assert.equal(platform.peak, 5, 'the platform never had more');
});

test('a slot ends once: by the webhook, which may come again', async () => {
  const { gateway } = await startHouse({ Gateway: { MaxCalls: 1 } });
  const one = await ask();
  assert.equal(one.status, 200);
  const id = sessionOf(one.webSocketUrl);
  assert.equal(await webhook(id, gateway, 'wrong'), 401);
  assert.equal(await webhook('ses_nobody'), 400);
  const two = await ask();
  assert.equal(two.status, 202);
  const three = await ask();
  assert.equal(three.queuePosition, 2);
  const client = await wait(two.uniqueRequestId);
  assert.equal(await webhook(id), 200);
  const ready = await client.ready();
  // Again, and once more: nobody is served for these.
  assert.equal(await webhook(id), 200);
  assert.equal(await webhook(id), 200);
  const now = await desk();
  assert.equal(now.slots, 1);
  assert.equal(now.waiting, 1);
  assert.equal(Object.values(now.leases)[0].session, sessionOf(ready.webSocketUrl));
});

test('a call that ends here frees its slot without any webhook', async () => {
  await startHouse({ Gateway: { MaxCalls: 1 }, Agent: { Builtin: 'echo' } });
  const one = await ask({ transportType: 1 });
  assert.equal(one.status, 200);
  assert.match(one.webSocketUrl, /^ws:.*\/webrtc\//);
  const two = await ask({ transportType: 1 });
  assert.equal(two.status, 202);
  const client = await wait(two.uniqueRequestId);
  const socket = new WebSocket(one.webSocketUrl);
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  assert.equal((await desk()).slots, 1);
  socket.close(1000);
  const ready = await client.ready();
  assert.match(ready.webSocketUrl, /^ws:.*\/webrtc\//);
  assert.deepEqual(ready.iceServers, []);
  assert.notEqual(ready.webSocketUrl, one.webSocketUrl);
  assert.equal((await desk()).slots, 1);
});

test('whoever registers late, or again, hears what became of the request', async () => {
  await startHouse({ Gateway: { MaxCalls: 1 } });
  const one = await ask();
  const two = await ask();
  await endSession(one.webSocketUrl);
  await until(async () => (await desk()).waiting === 0, 'the waiter to be served');
  const late = await wait(two.uniqueRequestId);
  const ready = await late.ready();
  const again = await wait(two.uniqueRequestId);
  assert.deepEqual(await again.ready(), ready);
  await assert.rejects(wait('00000000-0000-4000-a000-000000000000'), 'an id that nobody has');
});

test('a waiter who leaves is removed after a while, and the others move up', async () => {
  await startHouse({ Gateway: { MaxCalls: 1 }, Security: { RateLimitConcurrency: 1 } });
  assert.equal((await ask({}, '203.0.113.1')).status, 200);
  const [two, three] = [await ask({}, '203.0.113.2'), await ask({}, '203.0.113.3')];
  assert.equal((await ask({}, '203.0.113.2')).status, 429);
  const leaver = await wait(two.uniqueRequestId);
  const stayer = await wait(three.uniqueRequestId);
  await until(() => stayer.position() === 2, 'position 2');
  await leaver.stop();
  await until(() => stayer.position() === 1, 'position 1', 30000);
  assert.equal((await desk()).waiting, 1);
  // His place among those at once is free again.
  assert.equal((await ask({}, '203.0.113.2')).status, 202);
});

test('campaigns share the slots by their weight', async () => {
  await startHouse({ Gateway: { MaxCalls: 1 } });
  const one = await ask();
  const waiting = [];
  for (const campaignId of ['demo', 'demo', 'demo', 'other', 'other', 'other']) waiting.push({ campaignId, ...(await ask({ campaignId })) });
  const clients = await Promise.all(waiting.map((w) => wait(w.uniqueRequestId)));
  const order = [];
  let url = one.webSocketUrl;
  for (let i = 0; i < clients.length; i++) {
    await endSession(url);
    const next = await until(() => clients.find((c) => c.all('SessionReady').length && !c.seen), 'the next');
    next.seen = true;
    order.push(waiting[clients.indexOf(next)].campaignId);
    url = next.all('SessionReady')[0].webSocketUrl;
  }
  assert.deepEqual(order, ['demo', 'other', 'other', 'other', 'demo', 'demo']);
});

test('the platform has no room after all: whoever was admitted waits in front, and is served when it has', async () => {
  const { platform } = await startHouse();
  platform.refuseWith = 'NO_SERVER_CAPACITY';
  const one = await ask();
  assert.equal(one.status, 202);
  assert.equal(one.queuePosition, 1);
  const two = await ask();
  assert.equal(two.queuePosition, 2, 'nobody overtakes');
  const clients = [await wait(one.uniqueRequestId), await wait(two.uniqueRequestId)];
  platform.refuseWith = undefined;
  await Promise.all(clients.map((client) => client.ready()));
  const asked = platform.requests.length;
  assert.ok(asked >= 3 && asked < 10, `${asked} tries`);
  assert.equal((await desk()).slots, 2);
});

test('any other failure of the platform is told, and takes nothing', async () => {
  const { platform } = await startHouse({ Gateway: { MaxCalls: 1 }, Security: { RateLimitHourly: 2, RateLimitConcurrency: 1 } });
  for (const fault of ['status500', 'garbage', 'refuse']) {
    platform.fault = fault;
    const failed = await ask();
    assert.equal(failed.status, 500);
    assert.equal(failed.message, 'An error occurred while trying to initiate the session.');
  }
  platform.fault = undefined;
  const one = await ask();
  assert.equal(one.status, 200);
  const two = await ask({}, '203.0.113.8');
  const client = await wait(two.uniqueRequestId);
  platform.fault = 'status500';
  await endSession(one.webSocketUrl);
  assert.deepEqual(await client.failed(), { message: FAILED });
  platform.fault = undefined;
  const now = await desk();
  assert.equal(now.slots, 0);
  assert.equal(now.waiting, 0);
  // One of two in the hour of the first address; none of the second's.
  assert.equal((await ask()).status, 200);
  assert.equal((await ask({}, '203.0.113.8')).status, 202);
});

test('limits come before reputation, and a bad reputation gives back what the limits took', async () => {
  const ipapi = await startIpApi();
  try {
    await startHouse({
      IpApi: { ApiKey: 'ipapi-secret', BaseUrl: ipapi.baseUrl },
      Security: { EnableIpApiCheck: true, BlockVpn: true, RateLimitHourly: 1, RateLimitConcurrency: 1, RateLimitDaily: 5 },
    });
    ipapi.facts.set('203.0.113.66', { is_vpn: true });
    for (let i = 0; i < 3; i++) {
      const refused = await ask({}, '203.0.113.66');
      assert.equal(refused.status, 403);
      assert.equal(refused.message, 'VPN detected.');
    }
    assert.equal((await ask({}, '203.0.113.67')).status, 200);
    const asked = ipapi.asked.length;
    const limited = await ask({}, '203.0.113.67');
    assert.equal(limited.status, 429);
    assert.equal(limited.message, 'Too many concurrent sessions from your IP.');
    assert.ok(limited.retryAfter > 0);
    assert.equal(ipapi.asked.length, asked, 'nobody is asked about whom the limits refuse');
    assert.equal((await desk()).slots, 1);
  } finally {
    await ipapi.close();
  }
});

test('a queue that is full says so, and takes nothing', async () => {
  await startHouse({ Gateway: { MaxCalls: 1 }, Queue: { MaxLength: 1 }, Security: { RateLimitHourly: 1 } });
  assert.equal((await ask({}, '203.0.113.1')).status, 200);
  assert.equal((await ask({}, '203.0.113.2')).status, 202);
  for (let i = 0; i < 2; i++) {
    const full = await ask({}, '203.0.113.3');
    assert.equal(full.status, 503);
    assert.ok(full.retryAfter > 0);
    assert.ok(full.message);
  }
});

test('without Redis: 503 with Retry-After, and not ready', async () => {
  const { gateway } = await startHouse({ RedisConnectionString: '127.0.0.1:1' }, {}, { awaitRedis: false });
  const away = await ask();
  assert.equal(away.status, 503);
  assert.ok(away.retryAfter > 0);
  assert.ok(away.message);
  assert.equal((await fetch(`${gateway.url}/readyz`)).status, 503);
});

test('what others use of the plan is not ours', async () => {
  const { platform } = await startHouse({}, known(3, { others: 2 }));
  await until(async () => (await desk()).plan?.others === 2, "the others' figure");
  const one = await ask();
  assert.equal(one.status, 200);
  const two = await ask();
  assert.equal(two.status, 202);
  const client = await wait(two.uniqueRequestId);
  // The next poll counts ours among its own, and finds that the others are gone.
  platform.plan.others = 0;
  await client.ready().catch(() => assert.fail('not served after the poll'));
  assert.equal((await desk()).slots, 2);
  assert.equal((await desk()).plan.others, 0);
});

test('two nodes, one Redis: a slot that one frees is served by either, and heard at the other', async () => {
  const { gateway, platform } = await startHouse({ Gateway: { NodeId: 'a', MaxCalls: 1, SessionTokenSecret: 'shared by both' } });
  const second = await Gateway.start(
    merge(gateway.config, {
      RedisConnectionString: `unix:${gateway.config.Gateway.DataDirectory}/redis/redis.sock`,
      Gateway: { NodeId: 'b', HttpListen: '0.0.0.0:0' },
    }),
  );
  house.others.push(second);
  const admitted = [await ask(), await ask({}, undefined, second)];
  assert.deepEqual(admitted.map((a) => a.status), [200, 200]);
  const waiting = [await ask(), await ask({}, undefined, second)];
  assert.deepEqual(waiting.map((a) => a.queuePosition), [1, 2]);
  // Each listens where it did not ask.
  const clients = [await wait(waiting[0].uniqueRequestId, second), await wait(waiting[1].uniqueRequestId, gateway)];
  await endSession(admitted[0].webSocketUrl, second);
  await clients[0].ready();
  assert.equal(clients[1].all('SessionReady').length, 0);
  await endSession(admitted[1].webSocketUrl, gateway);
  await clients[1].ready();
  assert.equal(platform.requests.length, 4);
  const now = await desk(second);
  assert.equal(now.slots, 2);
  assert.deepEqual(Object.values(now.leases).map((l) => l.node.split('-')[0]).sort(), ['a', 'b']);
});

test('Redis dies and comes back: calls go on, nobody who waits is lost, and every slot is that of a call', async () => {
  const { gateway } = await startHouse({ Gateway: { MaxCalls: 2 } });
  const admitted = [await ask(), await ask()];
  const waiting = [await ask(), await ask()];
  const clients = [await wait(waiting[0].uniqueRequestId), await wait(waiting[1].uniqueRequestId)];
  const [redis] = fs.readFileSync(`/proc/${gateway.child.pid}/task/${gateway.child.pid}/children`, 'utf8').trim().split(' ').map(Number);
  process.kill(redis, 'SIGKILL');
  await until(async () => (await fetch(`${gateway.url}/readyz`)).status === 503, 'the gateway to notice');
  assert.equal((await ask()).status, 503);
  await until(async () => (await fetch(`${gateway.url}/readyz`)).ok, 'Redis to be back', 30000);
  await endSession(admitted[0].webSocketUrl);
  await clients[0].ready();
  const now = await desk();
  assert.equal(now.slots, 2);
  assert.equal(now.waiting, 1);
  await endSession(admitted[1].webSocketUrl);
  await clients[1].ready();
  assert.ok(clients.every((client) => client.all('SessionReady').length === 1 && client.all('SessionFailed').length === 0));
});

test('a node dies while it serves: another serves the same waiter, once', async () => {
  const { gateway, platform } = await startHouse({ Gateway: { NodeId: 'a', MaxCalls: 1, SessionTokenSecret: 'shared by both' } });
  const second = await Gateway.start(
    merge(gateway.config, {
      RedisConnectionString: `unix:${gateway.config.Gateway.DataDirectory}/redis/redis.sock`,
      Gateway: { NodeId: 'b', HttpListen: '0.0.0.0:0' },
    }),
  );
  const admitted = [await ask(), await ask({}, undefined, second)];
  assert.deepEqual(admitted.map((a) => a.status), [200, 200]);
  const client = await wait((await ask()).uniqueRequestId);
  platform.fault = 'stall';
  await endSession(admitted[1].webSocketUrl, second); // only the second node has room now
  await until(async () => (await desk()).serving === 1, 'somebody to be served');
  second.signal('SIGKILL');
  await second.exited;
  fs.rmSync(second.dir, { recursive: true, force: true });
  platform.fault = undefined;
  await endSession(admitted[0].webSocketUrl);
  const ready = await until(() => client.all('SessionReady')[0], 'the first node to serve', 60000);
  assert.ok(ready.webSocketUrl);
  assert.equal(client.all('SessionReady').length, 1);
  assert.equal(client.all('SessionFailed').length, 0);
  const now = await until(async () => {
    const seen = await desk();
    return seen.slots === 1 && seen;
  }, 'one slot, of the one call');
  assert.equal(Object.values(now.leases)[0].session, sessionOf(ready.webSocketUrl));
  assert.equal(now.serving, 0);
});
