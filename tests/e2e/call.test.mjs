// SPDX-License-Identifier: Apache-2.0
// The first real call, by Chromium and by Firefox: tones recognised at both ends, text, statistics, hang-up from each side.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launchChromium, launchFirefox, openCallPage } from './lib/browser.mjs';
import { until } from './lib/gateway.mjs';
import { agentHears, assertSteady, callStates, connectBoth, hears, startHouse, wholeCall } from './lib/scenario.mjs';

const browsers = [
  { name: 'Chromium', launch: () => launchChromium({ micHz: 600 }), micHz: 600 },
  { name: 'Firefox', launch: () => launchFirefox(), micHz: 700 },
];

for (const { name, launch, micHz } of browsers) {
  describe(name, () => {
    let house;
    let browser;
    before(async () => {
      house = await startHouse();
      browser = await launch();
    });
    after(async () => {
      await browser?.close();
      await house?.stop();
    });

    test('a whole call', async () => {
      const { call } = await wholeCall(browser, house, { micHz });
      assertSteady(call, { bytes: 640, frameMs: 20 });
      const asked = house.platform.requests.at(-1);
      assert.equal(asked.body.TransportType, 0);
      assert.equal(asked.body.AudioOutputConfiguration.FrameDurationMs, 20);
    });

    test("the official widget's two audio m-lines", async () => {
      await wholeCall(browser, house, { micHz, widget: { twoAudioLines: true } });
    });

    test('the agent hangs up', async () => {
      const page = await openCallPage(browser, house.gateway);
      const call = await connectBoth(page, house.agent);
      call.hangUp();
      await until(async () => (await callStates(page)).at(-1) === 'IDLE', 'the page to be idle', 3000);
      await until(async () => (await house.gateway.metric('iqra_calls')) === 0, 'the call to be gone', 3000);
      await page.close();
    });

    test('renegotiation and ICE restart keep the agent', async () => {
      const page = await openCallPage(browser, house.gateway);
      const call = await connectBoth(page, house.agent);
      await agentHears(call, micHz);
      const answers = () => page.evaluate(() => window.testPeers.at(-1).currentRemoteDescription.sdp);
      const first = await answers();
      await page.evaluate(() => { window.call.renegotiate(); });
      await until(async () => (await answers()) !== first, 'the second answer');
      const second = await answers();
      const ufrag = (sdp) => /a=ice-ufrag:(\S+)/.exec(sdp)[1];
      assert.equal(ufrag(second), ufrag(first), 'a renegotiation keeps the ICE credentials');
      await page.evaluate(() => { window.call.restartIce(); });
      await until(async () => ufrag(await answers()) !== ufrag(first), 'new ICE credentials');
      const heard = call.frames.length;
      call.sayTone(1200, 4000);
      await hears(page, 1200);
      await until(() => call.frames.length > heard + 50, 'frames after the restart');
      await agentHears(call, micHz);
      assert.equal(call.closed, false);
      await page.close();
      await until(() => call.closed, 'the agent to be hung up', 5000);
    });
  });
}
