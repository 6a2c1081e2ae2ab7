// SPDX-License-Identifier: Apache-2.0
// Hundreds of waiters before several gateways on one Redis: each is served once and in order, though a node dies, Redis
// restarts, the platform fails and its webhooks come twice, late and never; and a look at Redis and at every node, all the
// time, finds nothing amiss.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from './lib/gateway.mjs';
import { assertInOrder, Crowd, gather } from './lib/crowd.mjs';

const MAX = 10;
const WAITERS = 300;

async function servesAll(t, nodes) {
  const crowd = await Crowd.start({ nodes, max: MAX });
  t.after(() => crowd.close());
  const { first, nameOf, lines } = await gather(crowd, WAITERS);
  crowd.watch();
  crowd.reap();
  crowd.endSessions();
  crowd.faultNow = (name, tries) => {
    const at = new Set(crowd.asked).size;
    if (at < 120 || tries) return undefined;
    return { 0: 'full', 7: 'status500', 13: 'garbage' }[at % 20] ?? (at % 100 === 50 ? 'stall' : undefined);
  };
  // The platform never tells of two: their leases run out.
  for (const [i, { webSocketUrl }] of first.entries()) crowd.end(webSocketUrl, i < 2 ? [] : [0]);

  await until(() => new Set(crowd.asked).size >= MAX + 100, 'a hundred to be tried', 60000);
  // While both campaigns wait, three of `other` are served for one of `demo`.
  const shares = [...new Set(crowd.asked)].slice(MAX, MAX + 100).filter((name) => lines.other.includes(name)).length;
  assert.ok(Math.abs(shares - 75) <= MAX, `${shares} of 100 are of the weightier campaign`);

  // It dies while it serves somebody.
  const [victim] = crowd.gateways;
  crowd.platform.latencyMs = 1500;
  await until(async () => Object.values((await crowd.desk()).leases).some(({ node, session }) => node.startsWith('node0-') && !session), 'the first node to serve', 30000);
  victim.signal('SIGKILL');
  crowd.platform.latencyMs = 50;
  await victim.exited;
  // What it served is its own still when Redis comes back.
  await crowd.restartRedis();
  const kept = Object.values((await crowd.desk()).leases).filter(({ node }) => node.startsWith('node0-'));
  assert.ok(kept.length, 'Redis kept what the dead node held');
  assert.ok(crowd.waiters.filter(({ done }) => !done).length > 50, 'many still wait');
  await crowd.everybodyIsDone('everybody to be served', 80000);
  await crowd.assertOver();

  assertInOrder(crowd, lines.demo);
  assertInOrder(crowd, lines.other);
  const failed = crowd.waiters.filter(({ outcomes }) => outcomes[0][0] === 'SessionFailed').map(({ id }) => nameOf.get(id));
  for (const name of failed) assert.ok(crowd.faults.has(name), `${name} failed for no reason`);
  assert.ok(failed.length >= 15 && failed.length <= 40, `${failed.length} failed`);
  assert.ok(crowd.waiters.some(({ connections, outcomes }) => connections > 1 && outcomes[0][0] === 'SessionReady'), 'some came back to another node');
  // Whom the dead node served, and whom the others served when Redis went.
  assert.ok(crowd.orphans.size <= 2 * MAX, `${crowd.orphans.size} sessions of nobody`);
  assert.ok(crowd.looks > 20, `${crowd.looks} looks`);
  t.diagnostic(`${failed.length} failed, ${crowd.orphans.size} sessions of nobody, ${crowd.looks} looks, ${crowd.asked.length} tries`);
}

// Side by side, as each lasts as long as the lease of a session that nobody ends.
describe('300 waiters: one node is killed, Redis restarts, the platform fails, webhooks come twice, late and never', { concurrency: true }, () => {
  test('two gateways', (t) => servesAll(t, 2));
  test('three gateways', (t) => servesAll(t, 3));
});
