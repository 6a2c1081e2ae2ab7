// SPDX-License-Identifier: Apache-2.0
// The demo page as a person meets it: keyboard only, the built-in echo agent, nothing else running.
// E2E_SCREENSHOTS=1 writes docs/screenshots.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launchChromium, openPage } from './lib/browser.mjs';
import { Gateway, TOP, until } from './lib/gateway.mjs';
import { hears } from './lib/scenario.mjs';

const MIC_HZ = 900;
const GREETING_HZ = [440, 587];
const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1280, height: 800 };
let gateway;
let browser;
before(async () => {
  gateway = await Gateway.start();
  browser = await launchChromium({ micHz: MIC_HZ });
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
});

async function shot(page, name) {
  if (process.env.E2E_SCREENSHOTS) await page.screenshot({ path: path.join(TOP, 'docs/screenshots', `${name}.png`) });
}

const button = (page, name) => page.getByRole('button', { name, exact: true });
const press = async (page, name) => {
  await button(page, name).focus();
  await page.keyboard.press('Enter');
};
const status = (page) => page.locator('.status').innerText();
const noCalls = () => until(async () => (await gateway.metric('iqra_calls')) === 0, 'no calls', 3000);

async function openDemo(viewport, colorScheme) {
  const page = await openPage(browser, gateway, { viewport, colorScheme });
  // The demo's echo cancellation would take the tone of the fake microphone for noise.
  await page.evaluate(() => { window.iqraWidget.options.audioConstraints = { echoCancellation: false, noiseSuppression: false, autoGainControl: false }; });
  return page;
}

const fitsWidth = (page) => page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);

async function talk(page) {
  await page.getByLabel('First name').fill('Maryam');
  await press(page, 'Start call');
  await until(async () => /Connected/.test(await status(page)), 'the state to be connected');
  await until(async () => {
    const heard = await page.evaluate(() => window.testHear());
    return heard.db > -60 && GREETING_HZ.some((hz) => Math.abs(heard.hz - hz) < 30);
  }, 'the greeting');
  await hears(page, MIC_HZ);
  assert.ok(await page.evaluate(() => Date.now() - window.iqraWidget.connectedAt) > 900, 'the echo takes a second');
  await page.getByLabel('Write a message').fill('Good morning');
  await page.keyboard.press('Enter');
  await until(async () => /echo: Good morning/.test(await page.getByRole('log').innerText()), 'the echo of the text');
  await until(async () => /Good|Fair/.test(await page.locator('.net summary').innerText()), 'the quality');
}

describe('the demo page', () => {
  test('a whole call by keyboard, at desktop width', async () => {
    const page = await openDemo(DESKTOP, 'light');
    assert.match(await status(page), /Ready when you are/);
    assert.ok(await fitsWidth(page));
    await shot(page, 'desktop-idle');
    await talk(page);
    await until(async () => /^\s*0?0:0[2-9]/m.test(await page.locator('.time').innerText()), 'the clock to run');
    await until(async () => Number(await page.getByRole('meter', { name: /You/ }).getAttribute('aria-valuenow')) > 20, 'the microphone meter');
    await shot(page, 'desktop-call');
    await press(page, 'Mute');
    assert.equal(await button(page, 'Mute').getAttribute('aria-pressed'), 'true');
    await until(async () => (await page.evaluate(() => window.testHear())).db < -60, 'silence a second after muting');
    await press(page, 'Mute');
    await hears(page, MIC_HZ);
    await press(page, 'End call');
    await until(async () => /Call ended/.test(await status(page)), 'the end');
    assert.ok(await button(page, 'Start call').isVisible());
    assert.deepEqual(page.testErrors ?? [], []);
    await noCalls();
    await page.close();
  });

  test('at phone width, in the dark', async () => {
    const page = await openDemo(PHONE, 'dark');
    assert.ok(await fitsWidth(page));
    await talk(page);
    assert.ok(await fitsWidth(page));
    await shot(page, 'phone-call-dark');
    await press(page, 'End call');
    await until(async () => /Call ended/.test(await status(page)), 'the end');
    await noCalls();
    await page.close();
  });

  test('at phone width, in light', async () => {
    const page = await openDemo(PHONE, 'light');
    await shot(page, 'phone-idle');
    await talk(page);
    await shot(page, 'phone-call');
    await page.close();
    await noCalls();
  });

  test('a campaign that does not exist is said plainly', async () => {
    const page = await openPage(browser, gateway, { viewport: DESKTOP, query: '?campaign=nobody' });
    await press(page, 'Start call');
    await until(async () => /Invalid or missing CampaignId/.test(await page.getByRole('alert').innerText()), 'the alert');
    assert.ok(await button(page, 'Try again').isVisible());
    await page.close();
  });
});
