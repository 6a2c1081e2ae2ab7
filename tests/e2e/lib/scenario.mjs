// SPDX-License-Identifier: Apache-2.0
// Steps every browser test shares.
import assert from 'node:assert/strict';
import { startAgent } from '../../sim/agent.mjs';
import { startPlatform } from '../../sim/platform.mjs';
import { toneShare } from '../../sim/signal.mjs';
import { openCallPage } from './browser.mjs';
import { Gateway, merge, until } from './gateway.mjs';

export const HOST = process.env.E2E_ADDRESS ?? '127.0.0.1';

// Gateway, platform and agent, wired as in production: the platform hands out the agent's URL.
export async function startHouse({ agent: agentOptions = {}, config = {}, platformOptions = {}, gatewayOptions = {} } = {}) {
  const agent = await startAgent({ ...agentOptions });
  const platform = await startPlatform({ agentUrl: agent.url, ...platformOptions });
  const fakes = async () => {
    await agent.close();
    await platform.close();
  };
  const gateway = await Gateway.start(
    merge({ Agent: { Builtin: '' }, VoiceAiPlatform: { BaseUrl: platform.baseUrl, ApiSecretToken: 'platform-secret' } }, config),
    gatewayOptions,
  ).catch(async (error) => {
    await fakes();
    throw error;
  });
  const stop = async () => {
    await gateway.stop().finally(fakes);
  };
  return { agent, platform, gateway, stop };
}

export const startCall = (page, values) => page.evaluate((v) => { window.call.start(v); }, values);
export const stopCall = (page) => page.evaluate(() => { window.call.stop(); });
export const callStates = (page) => page.evaluate(() => window.callStates.map((s) => s.state ?? JSON.stringify(s)));
export const hear = (page) => page.evaluate(() => window.testHear());
export const stats = (page) => page.evaluate(() => window.testStats());

// The level of each 10 ms of what the page hears from now on.
export const record = (page, ms) => page.evaluate((wanted) => window.testRecord(wanted), ms);

export async function connect(page, { timeoutMs = 20000 } = {}) {
  await startCall(page);
  await until(async () => {
    const states = await callStates(page);
    const last = states[states.length - 1] ?? '';
    if (/error/i.test(last)) throw new Error(`the call failed: ${states.join(' ')}`);
    return last === 'CONNECTED';
  }, 'the page to be connected', timeoutMs);
}

// Connects, and waits for the agent, too; returns the agent's side. One call at a time.
export async function connectBoth(page, agent) {
  const index = agent.calls.length;
  await connect(page);
  // A frame shows that the gateway, too, knows that the agent's socket is open.
  return until(() => agent.calls[index]?.frames.length > 0 && agent.calls[index], 'the agent to hear something');
}

// The page plays `hz`, within one bin of the analyser.
export const hears = (page, hz, timeoutMs = 10000) =>
  until(async () => {
    const heard = await hear(page);
    return heard.db > -60 && Math.abs(heard.hz - hz) < 30;
  }, `${hz} Hz in the page`, timeoutMs);

// The agent hears mostly `hz` in its last 500 ms.
export const agentHears = (call, hz, timeoutMs = 10000) =>
  until(() => {
    const samples = call.lastSamples(500);
    return samples.length > call.rateHz / 4 && toneShare(samples, call.rateHz, hz) > 0.8;
  }, `${hz} Hz at the agent`, timeoutMs);

// One whole call: tones recognised at both ends, text both ways, statistics, hang-up from the page.
export async function wholeCall(browser, house, { micHz, widget = {}, base } = {}) {
  const { agent, gateway } = house;
  const page = await openCallPage(browser, gateway, { widget, base });
  const call = await connectBoth(page, agent);
  await agentHears(call, micHz);
  call.sayTone(1000, 3000);
  await hears(page, 1000);
  await until(async () => (await page.evaluate(() => window.callMessages)).some((m) => /Backend connected/.test(m)), 'the greeting text');
  await page.evaluate(() => { window.call.sendText('hello agent'); });
  await until(() => call.texts.includes('hello agent'), 'text at the agent');
  call.sendText('hello browser');
  await until(async () => (await page.evaluate(() => window.callMessages)).includes('hello browser'), 'text in the page');
  const seen = await until(async () => {
    const now = await stats(page);
    return now.in.packets > 50 && now.out.packets > 50 && now;
  }, 'packets both ways');
  await until(() => call.frames.length > 60, 'frames enough to judge their pace');
  await stopCall(page);
  await until(() => call.closed, 'the agent to be hung up', 2000);
  assert.equal(call.closeCode, 1000);
  await until(async () => (await gateway.metric('iqra_calls')) === 0, 'the call to be gone', 3000);
  assert.deepEqual(page.testErrors ?? [], []);
  await page.close();
  return { call, seen };
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

// Frames of exactly `bytes`, one every `frameMs`: the middle of the paces between frames half a call apart, which this
// process reading its sockets late now and then does not move.
export function assertSteady(call, { bytes, frameMs, fromIndex = 0 }) {
  const frames = call.frames.slice(fromIndex);
  assert.ok(frames.length > 50, `only ${frames.length} frames`);
  assert.deepEqual([...new Set(frames.map((f) => f.len))], [bytes], 'every frame has the same size');
  const half = frames.length >> 1;
  const pace = median(frames.slice(half).map((frame, i) => (frame.at - frames[i].at) / half));
  assert.ok(Math.abs(pace - frameMs) <= frameMs * 0.03, `a frame every ${pace.toFixed(2)} ms of ${frames.length}, not ${frameMs}`);
}

// Two seconds without holes are heard within a few tries: a machine that is busy elsewhere spoils one, a fault all.
export const hearsContinuously = (page, { tries = 4 } = {}) => {
  let told = '';
  let left = tries;
  return until(async () => {
    const levels = await record(page, 2000);
    const usual = median(levels);
    const quiet = levels.filter((level) => level < usual / 4).length;
    told = `the usual level is ${usual}, ${quiet} of ${levels.length} pieces of 10 ms are silent`;
    if (usual > 0.01 && quiet <= levels.length * 0.03) return true;
    assert.ok(--left > 0, told);
    return false;
  }, 'sound without holes', tries * 4000);
};
