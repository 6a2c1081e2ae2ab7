// SPDX-License-Identifier: Apache-2.0
// What the agent's socket may carry, what the browser may speak, and in what pieces an agent may talk.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launchChromium, openCallPage } from './lib/browser.mjs';
import { until } from './lib/gateway.mjs';
import { agentHears, assertSteady, connectBoth, hears, hearsContinuously, record, startHouse, stats, stopCall } from './lib/scenario.mjs';

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

// The agent's side in another format, from the next call on: by reload, as an operator would.
async function speak({ Encoding = 'PCM', SampleRate = 16000, FrameMs = 20 }, { echo = false } = {}) {
  const { gateway, agent } = house;
  Object.assign(agent, { encoding: Encoding, rateHz: SampleRate, echo });
  await gateway.reload({ Agent: { Encoding, SampleRate, FrameMs } });
}

async function withCall(widget, steps) {
  const page = await openCallPage(browser, house.gateway, { widget });
  try {
    const call = await connectBoth(page, house.agent);
    await steps(page, call);
    await until(() => call.frames.length > 60, 'frames at the agent');
    await stopCall(page);
    await until(() => call.closed, 'the agent to be hung up', 2000);
    await until(async () => (await house.gateway.metric('iqra_calls')) === 0, 'the call to be gone', 3000);
    assert.deepEqual(page.testErrors ?? [], []);
    return call;
  } finally {
    await page.close(); // a call that failed must not be the next one's trouble
  }
}

describe('the agent hears and speaks', () => {
  const formats = [
    { SampleRate: 8000, bytes: 320 },
    { SampleRate: 16000, bytes: 640 },
    { SampleRate: 24000, bytes: 960 },
    { SampleRate: 48000, bytes: 1920 },
    { FrameMs: 10, bytes: 320 },
    { FrameMs: 40, bytes: 1280 },
    { FrameMs: 60, bytes: 1920 },
    { Encoding: 'MULAW', SampleRate: 8000, bytes: 160 },
    { Encoding: 'ALAW', SampleRate: 8000, bytes: 160 },
  ];
  for (const { bytes, ...format } of formats) {
    test(Object.values(format).join(' '), async () => {
      await speak(format);
      const call = await withCall({}, async (page, live) => {
        await agentHears(live, MIC_HZ);
        live.sayTone(1000, 3000);
        await hears(page, 1000);
      });
      assertSteady(call, { bytes, frameMs: format.FrameMs ?? 20 });
    });
  }

  test('G722, said back by the agent', async () => {
    await speak({ Encoding: 'G722' }, { echo: true });
    const call = await withCall({}, (page) => hears(page, MIC_HZ));
    assertSteady(call, { bytes: 160, frameMs: 20 });
  });

  test('OPUS: packets cross as they are', async () => {
    await speak({ Encoding: 'OPUS', SampleRate: 48000 }, { echo: true });
    const call = await withCall({}, (page) => hears(page, MIC_HZ));
    const spanMs = call.frames.at(-1).at - call.frames[0].at;
    assert.ok(Math.abs(call.frames.length - spanMs / 20) < 15, `${call.frames.length} packets in ${spanMs.toFixed(0)} ms`);
    assert.ok(new Set(call.frames.map((f) => f.len)).size > 1, 'Opus packets differ in size');
    assert.match(house.gateway.logs.findLast((l) => /^ended \(/.test(l.msg)).msg, /opus passthrough/i);
  });
});

describe('the browser speaks', () => {
  before(() => speak({}));
  for (const codec of ['PCMU', 'PCMA', 'G722']) {
    test(codec, async () => {
      const call = await withCall({ codecPreference: codec }, async (page, live) => {
        await agentHears(live, MIC_HZ);
        live.sayTone(1000, 3000);
        await hears(page, 1000);
        assert.equal((await stats(page)).codec, `audio/${codec}`);
      });
      assertSteady(call, { bytes: 640, frameMs: 20 });
    });
  }
});

// Packets to the page between two looks at its statistics, per second.
async function packetRate(page, steps) {
  const from = await stats(page);
  await steps();
  const to = await stats(page);
  return ((to.in.packets - from.in.packets) * 1000) / (to.at - from.at);
}

describe('an agent talks in pieces of any size', () => {
  before(() => speak({}));
  const patterns = [
    ['ticks of 30 ms', { chunkBytes: 960 }],
    ['odd bytes', { chunkBytes: 333 }],
    ['fragments', { chunkBytes: 640, fragments: true }],
    ['a second at a time', { chunkBytes: 32000 }],
  ];
  for (const [name, pattern] of patterns) {
    test(name, () => withCall({}, async (page, live) => {
      live.sayTone(1000, 15000, { pattern: 'steady', ...pattern });
      await hears(page, 1000);
      await hearsContinuously(page);
    }));
  }

  test('thirty seconds in one message, played at real time', () => withCall({}, async (page, live) => {
    live.sayTone(1000, 30000);
    await hears(page, 1000);
    const rate = await packetRate(page, () => hearsContinuously(page));
    await hears(page, 1000);
    assert.ok(rate > 46 && rate < 54, `${rate.toFixed(1)} packets a second`);
  }));

  test('silence is sent as steadily as speech', () => withCall({}, async (page) => {
    await until(async () => (await stats(page)).in.packets > 0, 'the first packet');
    const rate = await packetRate(page, () => record(page, 2000));
    assert.ok(rate > 46 && rate < 54, `${rate.toFixed(1)} packets a second`);
    const { in: seen } = await stats(page);
    assert.equal(seen.lost, 0);
  }));
});
