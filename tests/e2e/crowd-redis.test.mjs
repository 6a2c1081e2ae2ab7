// SPDX-License-Identifier: Apache-2.0
// A crowd before two gateways, and their Redis restarts: with what it held nobody loses his place; without, everybody is
// told. And what two nodes admit together when everybody comes at once.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { assertInOrder, Crowd, gather, sessionOf } from './lib/crowd.mjs';
import { until } from './lib/gateway.mjs';

test('200 at once at two nodes against a limit of five: five in all', async (t) => {
  const crowd = await Crowd.start({ nodes: 2, max: 5, config: { Security: { RateLimitConcurrency: 5 } } });
  t.after(() => crowd.close());
  const all = (ask) => Promise.all(Array.from({ length: 200 }, (_, i) => ask(i, crowd.gateways[i % 2].url)));
  const count = (answers, status) => answers.filter((answer) => answer.status === status).length;

  // The limit of one address.
  const one = await all((i, base) => crowd.ask(`one${i}`, { base, from: '203.0.113.1' }));
  assert.equal(count(one, 200), 5);
  assert.equal(count(one, 429), 195);
  assert.equal(crowd.platform.peak, 5);
  assert.equal((await crowd.look()).sessions.length, 5);
  await Promise.all(one.filter(({ status }) => status === 200).map(({ webSocketUrl }) => crowd.end(webSocketUrl)));

  // The plan of the platform.
  const many = await all((i, base) => crowd.ask(`many${i}`, { base }));
  assert.equal(count(many, 200), 5);
  assert.equal(count(many, 'queued'), 195);
  assert.deepEqual(many.map(({ queuePosition }) => queuePosition).filter(Boolean).sort((a, b) => a - b), Array.from({ length: 195 }, (_, i) => i + 1));
  assert.equal(crowd.platform.peak, 5);
  assert.equal(crowd.platform.requests.length, 10);
  const { slots, waiting, leases } = await crowd.look();
  assert.deepEqual({ slots, waiting, leases }, { slots: 5, waiting: 195, leases: 200 });
});

test('two gateways, 300 waiters: Redis dies and comes back with its data', async (t) => {
  const crowd = await Crowd.start({ nodes: 2, max: 10 });
  t.after(() => crowd.close());
  const { first, lines } = await gather(crowd, 300);
  crowd.watch();
  crowd.reap();
  crowd.endSessions();
  for (const { webSocketUrl } of first) crowd.end(webSocketUrl);
  await until(() => new Set(crowd.asked).size >= 100, 'some to be tried', 60000);
  await crowd.restartRedis();
  assert.ok(crowd.waiters.some(({ done }) => !done), 'some still wait');
  await crowd.everybodyIsDone('everybody to be served', 80000);
  await crowd.assertOver();
  assertInOrder(crowd, lines.demo);
  assertInOrder(crowd, lines.other);
  assert.deepEqual(crowd.waiters.filter(({ outcomes }) => outcomes[0][0] === 'SessionFailed'), []);
  assert.ok(crowd.orphans.size <= 10, `${crowd.orphans.size} sessions of nobody`);
  t.diagnostic(`${crowd.orphans.size} sessions of nobody, ${crowd.looks} looks, ${crowd.asked.length} tries`);
});

test('two gateways: Redis comes back without its data: who waited is told, living calls have their slots', async (t) => {
  const crowd = await Crowd.start({ nodes: 2, max: 5, keeps: false });
  t.after(() => crowd.close());
  const calls = await Promise.all(Array.from({ length: 4 }, (_, i) => crowd.ask(`call${i}`, { transportType: 1, base: crowd.gateways[i % 2].url })));
  assert.deepEqual(calls.map(({ status }) => status), [200, 200, 200, 200]);
  const live = [...crowd.platform.live.keys()].sort();
  const elsewhere = await crowd.ask('elsewhere');
  assert.equal(elsewhere.status, 200);
  const queued = await Promise.all(Array.from({ length: 40 }, (_, i) => crowd.ask(`w${i}`)));
  await crowd.wait(queued.map(({ uniqueRequestId }) => uniqueRequestId));
  await crowd.restartRedis();
  await crowd.everybodyIsDone('everybody to be told', 30000);
  for (const { outcomes, connections } of crowd.waiters) {
    assert.equal(outcomes.length, 1);
    const [[target, { message }]] = outcomes;
    assert.equal(target, 'SessionFailed');
    // One whose connection was lost as well, a poll's, hears it when it registers again.
    if (connections === 1) assert.equal(message, 'An error occurred while creating your session. Please try again.');
  }
  assert.ok(crowd.waiters.filter(({ connections }) => connections === 1).length >= 35, 'nearly all kept their connections');
  const seen = await until(async () => {
    const now = await crowd.look();
    return now.slots === 4 && now;
  }, 'the slots of the living calls', 30000);
  assert.deepEqual(seen.sessions.sort(), live);
  assert.equal(seen.leases, 4, 'each holds its place in the limits');
  // The call whose media is elsewhere is nobody's that a node knows: it counts by the platform's figures.
  await until(async () => (await crowd.desk()).plan?.others === 1, "the platform's figures", 30000);
  await crowd.webhook(sessionOf(elsewhere), 400);
  // The plan is known again, and full: a newcomer waits, and is served when a call ends, which the webhook may say.
  const next = await crowd.ask('next');
  assert.equal(next.status, 'queued');
  assert.equal(next.queuePosition, 1);
  const [waiter] = await crowd.wait([next.uniqueRequestId]);
  crowd.platform.end(live[0]);
  await crowd.webhook(live[0]);
  await until(() => waiter.done, 'the newcomer to be served');
  await crowd.end(waiter.outcomes[0][1].webSocketUrl);
  crowd.platform.end(sessionOf(elsewhere));
  // The others end by their media path.
  const sockets = await Promise.all(calls.map(async ({ webSocketUrl }) => {
    const ws = new WebSocket(webSocketUrl);
    await once(ws, 'open');
    return ws;
  }));
  for (const ws of sockets) ws.close();
  for (const id of live) crowd.platform.end(id);
  await crowd.assertOver();
});
