// SPDX-License-Identifier: Apache-2.0
// What callers and operators see while Redis is away, slow, or started again with the gateway.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { launchChromium, openCallPage } from './lib/browser.mjs';
import { Gateway, until } from './lib/gateway.mjs';
import { Redis } from './lib/redis.mjs';
import { agentHears, connectBoth, startHouse, stopCall } from './lib/scenario.mjs';

const MIC_HZ = 600;
let browser;
before(async () => {
  browser = await launchChromium({ micHz: MIC_HZ });
});
after(() => browser?.close());

const readyz = async (gateway) => {
  const response = await fetch(`${gateway.url}/readyz`);
  return { code: response.status, ...(await response.json()) };
};
const isReady = (gateway) => until(async () => (await readyz(gateway)).code === 200, 'the gateway to be ready');

async function assertRefused(gateway) {
  const response = await gateway.request();
  assert.equal(response.status, 503);
  assert.ok(Number(response.headers.get('retry-after')) > 0, 'says when to try again');
  assert.ok((await response.json()).message);
}

test('Redis is killed: new sessions get 503, the call that is up goes on; Redis is back: they are admitted', async () => {
  const redis = new Redis();
  const house = await startHouse({ config: { RedisConnectionString: redis.target } });
  const { gateway, agent } = house;
  const page = await openCallPage(browser, gateway);
  const call = await connectBoth(page, agent);
  await redis.kill();
  const away = await until(async () => {
    const said = await readyz(gateway);
    return said.code === 503 && said;
  }, 'readyz to say no');
  assert.equal(away.status, 'unavailable');
  assert.match(away.reason, /^Redis is away: unix:.*socket: /);
  assert.equal(await gateway.metric('iqra_redis_up'), 0);
  await assertRefused(gateway);
  const heard = call.frames.length;
  await until(() => call.frames.length > heard + 100, 'frames while Redis is away');
  await agentHears(call, MIC_HZ);
  assert.equal(call.closed, false);
  redis.run();
  await isReady(gateway);
  assert.equal(await gateway.metric('iqra_redis_up'), 1);
  assert.equal((await gateway.request()).status, 200);
  await agentHears(call, MIC_HZ);
  await stopCall(page);
  await until(() => call.closed, 'the agent to be hung up');
  await page.close();
  await house.stop();
  await redis.stop();
});

test('Redis does not answer: sessions are refused in time, and admitted when it does again', async () => {
  const redis = new Redis();
  const gateway = await Gateway.start({ RedisConnectionString: `${redis.target},syncTimeout=1500` });
  assert.equal((await gateway.request()).status, 200);
  redis.signal('SIGSTOP');
  await assertRefused(gateway);
  assert.equal((await readyz(gateway)).code, 503);
  redis.signal('SIGCONT');
  await isReady(gateway);
  assert.equal((await gateway.request()).status, 200);
  await gateway.stop();
  await redis.stop();
});

// Processes whose command line names `text`.
const processesOf = (text) =>
  fs.readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return fs.readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text);
    } catch {
      return false; // it has ended meanwhile
    }
  });

test('the private Redis keeps the limits of an address over a stop and a kill, and leaves no process behind', async () => {
  const data = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-data-'));
  const config = { Gateway: { DataDirectory: data }, Security: { RateLimitHourly: 2 } };
  const socket = path.join(data, 'redis', 'redis.sock');
  const ask = async (gateway) => (await gateway.request()).status;
  const first = await Gateway.start(config);
  assert.equal(fs.statSync(path.dirname(socket)).mode & 0o777, 0o700);
  assert.equal(processesOf(socket).length, 1);
  assert.equal(await ask(first), 200);
  await first.stop();
  assert.deepEqual(processesOf(socket), []);
  const second = await Gateway.start(config);
  assert.equal(await ask(second), 200);
  assert.equal(await ask(second), 429);
  second.signal('SIGKILL');
  await until(() => processesOf(socket).length === 0, 'its Redis to end with it');
  const third = await Gateway.start(config);
  assert.equal(await ask(third), 429);
  await third.stop();
  fs.rmSync(second.dir, { recursive: true, force: true });
  fs.rmSync(data, { recursive: true, force: true });
});
