// SPDX-License-Identifier: Apache-2.0
// Many calls: nothing the gateway holds at the start is more at the end.
// IQRA_GATEWAY_RELEASE names an optimised binary without sanitizers, whose memory is looked at as well.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { launchChromium, openCallPage } from './lib/browser.mjs';
import { BINARY, TOP, until } from './lib/gateway.mjs';
import { startHouse } from './lib/scenario.mjs';

const release = process.env.IQRA_GATEWAY_RELEASE ?? path.join(TOP, 'build/iqra-gateway');
const plain = fs.existsSync(release);
const SEQUENTIAL = 200;
const AT_ONCE = 20;
const MEMORY_SLACK_KB = 1024;

let house;
let browser;
before(async () => {
  house = await startHouse({ gatewayOptions: { binary: plain ? release : BINARY } });
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await house?.stop();
});

const quiet = () => until(async () => (await house.gateway.metric('iqra_calls')) === 0, 'no calls', 5000);

// Connects, waits until the agent has heard something, hangs up.
async function shortCall(page) {
  const index = house.agent.calls.length;
  const connected = await page.evaluate(() => window.call.start());
  assert.equal(connected, true, JSON.stringify(await page.evaluate(() => window.call.status)));
  const call = await until(() => house.agent.calls[index], 'the agent to be called');
  await until(() => call.frames.length > 0, 'a frame at the agent');
  await page.evaluate(() => window.call.stop());
  await until(() => call.closed, 'the agent to be hung up', 3000);
}

async function callsInARow(page, count) {
  for (let i = 0; i < count; i++) await shortCall(page);
  await quiet();
}

function assertSame(now, before) {
  assert.equal(now.calls, before.calls);
  assert.equal(now.threads, before.threads);
  assert.ok(now.descriptors <= before.descriptors, `${now.descriptors} descriptors, ${before.descriptors} before`);
}

const settled = (before) => until(async () => {
  const now = await house.gateway.holds();
  return now.descriptors <= before.descriptors && now;
}, 'the descriptors to come back', 10000);

test(`${SEQUENTIAL} calls one after the other`, async (t) => {
  const page = await openCallPage(browser, house.gateway);
  await callsInARow(page, 20);
  const warm = await house.gateway.holds();
  await callsInARow(page, SEQUENTIAL / 2);
  const half = await house.gateway.holds();
  await callsInARow(page, SEQUENTIAL / 2);
  const full = await settled(warm);
  const memory = `${warm.rssKb} kB resident after 20 calls, ${half.rssKb} after 120, ${full.rssKb} after 220`;
  t.diagnostic(memory);
  assertSame(full, warm);
  if (plain) assert.ok(full.rssKb - half.rssKb <= MEMORY_SLACK_KB, memory);
  await page.close();
});

// `count` widgets in one page, all in a call at once. They share the page's microphone: Chromium opens no more than 16.
const startMany = (page, count) => page.evaluate(async (n) => {
  const devices = navigator.mediaDevices;
  window.microphone ??= await devices.getUserMedia({ audio: true });
  devices.getUserMedia = async () => window.microphone.clone();
  window.calls = Array.from({ length: n }, () => new window.IqraWidget({ ...window.call.options, transportType: 1 }));
  const up = await Promise.all(window.calls.map((call) => call.start()));
  return window.calls.filter((call, i) => !up[i]).map((call) => call.status);
}, count);

async function atOnce(pages, count) {
  const first = house.agent.calls.length;
  const started = await Promise.all(pages.map((page) => startMany(page, count / pages.length)));
  assert.deepEqual(started.flat(), []);
  await until(() => house.agent.calls.length === first + count, 'every agent to be called');
  const calls = house.agent.calls.slice(first);
  assert.equal(await house.gateway.metric('iqra_calls'), count);
  await until(() => calls.every((call) => call.frames.length > 20), 'frames at every agent');
  await Promise.all(pages.map((page) => page.evaluate(() => window.calls.forEach((call) => call.stop()))));
  await until(() => calls.every((call) => call.closed), 'every agent to be hung up', 5000);
  await quiet();
}

test(`${AT_ONCE} calls at once`, async (t) => {
  const pages = await Promise.all(Array.from({ length: 4 }, () => openCallPage(browser, house.gateway)));
  await atOnce(pages, AT_ONCE);
  await atOnce(pages, AT_ONCE); // twice, as the allocator keeps its own room for every thread
  const warm = await house.gateway.holds();
  await atOnce(pages, AT_ONCE);
  const again = await settled(warm);
  const memory = `${warm.rssKb} kB resident, then ${again.rssKb}`;
  t.diagnostic(memory);
  assertSame(again, warm);
  if (plain) assert.ok(again.rssKb - warm.rssKb <= 2 * MEMORY_SLACK_KB, memory);
  await Promise.all(pages.map((page) => page.close()));
});
