// SPDX-License-Identifier: Apache-2.0
// What an operator does to a gateway with calls up: drain, stop, reload.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchChromium, openCallPage } from './lib/browser.mjs';
import { until } from './lib/gateway.mjs';
import { agentHears, callStates, connectBoth, startHouse, stopCall } from './lib/scenario.mjs';

const MIC_HZ = 600;
let browser;
before(async () => {
  browser = await launchChromium({ micHz: MIC_HZ });
});
after(() => browser?.close());

async function houseWithCall() {
  const house = await startHouse({ config: { Gateway: { DrainSeconds: 60 } } });
  const page = await openCallPage(browser, house.gateway);
  const call = await connectBoth(page, house.agent);
  return { ...house, page, call };
}

const refusesNew = async (gateway) => (await fetch(`${gateway.url}/readyz`)).status === 503;

test('SIGTERM drains: no new calls, the one that is up goes on to its end', async () => {
  const { gateway, page, call, stop } = await houseWithCall();
  assert.equal((await fetch(`${gateway.url}/readyz`)).status, 200);
  gateway.signal('SIGTERM');
  await until(() => refusesNew(gateway), 'readyz to say no');
  const refused = await gateway.request();
  assert.equal(refused.status, 503);
  assert.ok(Number(refused.headers.get('retry-after')) > 0);
  assert.ok((await refused.json()).message);
  const heard = call.frames.length;
  await until(() => call.frames.length > heard + 50, 'frames while draining');
  await agentHears(call, MIC_HZ);
  assert.equal(call.closed, false);
  assert.equal(gateway.end, undefined);
  await stopCall(page);
  await until(() => gateway.end, 'the gateway to end', 5000);
  assert.equal(gateway.end.code, 0);
  await page.close();
  await stop();
});

test('a second SIGTERM hangs up at once, cleanly', async () => {
  const { gateway, page, call, stop } = await houseWithCall();
  gateway.signal('SIGTERM');
  await until(() => refusesNew(gateway), 'readyz to say no');
  gateway.signal('SIGTERM');
  await until(async () => (await callStates(page)).at(-1) === 'IDLE', 'the page to be idle', 3000);
  await until(() => call.closed, 'the agent to be hung up', 2000);
  assert.equal(call.closeCode, 1000);
  await until(() => gateway.end, 'the gateway to end', 8000);
  assert.equal(gateway.end.code, 0);
  await page.close();
  await stop();
});

test('SIGHUP: a bad file changes nothing and is reported, a good one counts from the next call', async () => {
  const { gateway, page, call, stop } = await houseWithCall();
  const ask = async (campaignId) => (await gateway.request({ campaignId })).status;
  const broken = await gateway.reloadFile('{ "Agent": { "FrameMs": 33 } ');
  assert.match(broken.msg, /old configuration stays/);
  const wrong = await gateway.reloadFile(JSON.stringify({ ...gateway.config, Agent: { FrameMs: 33 } }));
  assert.match(wrong.msg, /old configuration stays/);
  assert.ok(gateway.logs.some((l) => l.level === 'raw' && /Agent\.FrameMs/.test(l.msg)), 'the key is named');
  assert.equal(await ask('demo'), 200);
  assert.equal(await ask('second'), 400);
  const taken = await gateway.reload({ VoiceAiPlatform: { Campaigns: { second: { BusinessId: '2', WebCampaignId: 'two', AllowedRegionIds: ['local'] } } } });
  assert.match(taken.msg, /reloaded/);
  assert.equal(await ask('second'), 200);
  assert.equal(call.closed, false, 'the call that was up does not notice');
  await agentHears(call, MIC_HZ);
  await stopCall(page);
  await page.close();
  await stop();
});
