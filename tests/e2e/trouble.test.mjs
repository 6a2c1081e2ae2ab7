// SPDX-License-Identifier: Apache-2.0
// Networks, agents and browsers that fail in the middle of a call.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Relay } from '../sim/relay.mjs';
import { Wire } from '../sim/wire.mjs';
import { launchChromium, launchChromiumServer, openCallPage } from './lib/browser.mjs';
import { until } from './lib/gateway.mjs';
import { agentHears, assertSteady, connectBoth, hears, HOST, startHouse, stopCall } from './lib/scenario.mjs';

const MIC_HZ = 600;
let house;
let browser;
before(async () => {
  house = await startHouse();
  browser = await launchChromium({ micHz: MIC_HZ });
});
after(async () => {
  await browser?.close();
  await house?.stop();
});

const noCalls = (timeoutMs) => until(async () => (await house.gateway.metric('iqra_calls')) === 0, 'no calls', timeoutMs);
const lastState = (page) => page.evaluate(() => window.call.status);

async function callOn(page) {
  const call = await connectBoth(page, house.agent);
  await agentHears(call, MIC_HZ);
  return call;
}

test('10 % loss and 60 ms jitter both ways: the agent gets a frame every 20 ms', async (t) => {
  const page = await openCallPage(browser, house.gateway, { relay: { address: HOST } });
  const relays = [];
  t.after(() => relays.forEach((relay) => relay.close()));
  await page.exposeFunction('testRelayPort', (toPort) => {
    const relay = new Relay({ listenHost: HOST, toHost: HOST, toPort, loss: 0.1, jitterMs: 60, seed: 7 });
    relays.push(relay);
    return relay.start();
  });
  const call = await connectBoth(page, house.agent);
  await until(() => call.frames.length > 150, 'three seconds of frames');
  await agentHears(call, MIC_HZ);
  call.sayTone(1000, 4000);
  await hears(page, 1000);
  await stopCall(page);
  await until(() => call.closed, 'the agent to be hung up', 5000);
  assertSteady(call, { bytes: 640, frameMs: 20 });
  // ICE may move from one relayed pair to another, so the media is what went through all of them together.
  const through = (key) => relays.reduce((sum, relay) => sum + relay.counts[key], 0);
  const counts = { up: through('up'), down: through('down'), lost: through('lost') };
  assert.ok(counts.up > 100 && counts.down > 100 && counts.lost > 20, JSON.stringify(counts));
  const report = house.gateway.logs.findLast((l) => /^ended \(/.test(l.msg)).msg;
  assert.ok(Number(/\((\d+) lost/.exec(report)[1]) > 5, report);
  await noCalls(15000);
  await page.close();
});

test('the agent dies: the page is told at once', async () => {
  const page = await openCallPage(browser, house.gateway);
  const call = await callOn(page);
  call.kill();
  const state = await until(async () => {
    const now = await lastState(page);
    return now.state === 'ERROR' && now;
  }, 'the error in the page', 1500);
  assert.equal(state.code, 'agent_lost');
  assert.match(state.message, /agent/);
  await noCalls(1500);
  await page.close();
});

test('the browser dies: the agent is hung up within a second', async () => {
  const doomed = await launchChromiumServer({ micHz: MIC_HZ });
  const page = await openCallPage(doomed.browser, house.gateway);
  const call = await callOn(page);
  const diedAt = performance.now();
  await doomed.kill();
  await until(() => call.closed, 'the agent to be hung up', 3000);
  assert.ok(call.closedAt - diedAt < 1500, `after ${(call.closedAt - diedAt).toFixed(0)} ms`);
  assert.equal(call.closeCode, 1000);
  await noCalls(1500);
});

describe('signalling through a wire that is cut', () => {
  let wire;
  let base;
  before(async () => {
    wire = new Wire({ toPort: house.gateway.port });
    base = `http://localhost:${await wire.start()}`;
  });
  after(() => wire?.close());

  test('the call goes on, and signalling comes back', async () => {
    const page = await openCallPage(browser, house.gateway, { base });
    const call = await callOn(page);
    wire.cut();
    await until(async () => (await lastState(page)).reconnecting, 'the page to notice');
    await until(async () => !(await lastState(page)).reconnecting, 'the page to be back');
    assert.ok(house.gateway.logged(/signalling is back/));
    const heard = call.frames.length;
    await until(() => call.frames.length > heard + 50, 'more frames');
    await agentHears(call, MIC_HZ);
    await page.evaluate(() => { window.call.sendText('still here'); });
    await until(() => call.texts.includes('still here'), 'text at the agent');
    await page.evaluate(() => window.call.restartIce());
    call.sayTone(1000, 3000);
    await hears(page, 1000);
    assert.equal(call.closed, false);
    assertSteady(call, { bytes: 640, frameMs: 20 });
    await stopCall(page);
    await until(() => call.closed, 'the agent to be hung up', 2000);
    await page.close();
  });

  test('signalling that stays away ends the call after ten seconds', async () => {
    const page = await openCallPage(browser, house.gateway, { base });
    const call = await callOn(page);
    // A page that does not notice: the widget itself would give up by then, too.
    await page.evaluate(() => { window.testSockets.forEach((socket) => { socket.onclose = null; }); });
    const cutAt = performance.now();
    wire.cut({ forever: true });
    await until(() => call.closed, 'the agent to be hung up', 15000);
    wire.dead = false;
    const afterMs = call.closedAt - cutAt;
    assert.ok(afterMs > 9000 && afterMs < 12000, `after ${afterMs.toFixed(0)} ms`);
    assertSteady(call, { bytes: 640, frameMs: 20 });
    await page.close();
    await noCalls(3000);
  });
});
