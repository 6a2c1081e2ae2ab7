// SPDX-License-Identifier: Apache-2.0
// Real browsers, and what a page must hold so that a test can look at its calls.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';
import { tone, wav } from '../../sim/signal.mjs';
import { giveEars, giveStats, keepPeers, keepSockets } from './ears.mjs';
import { until } from './gateway.mjs';

const CHROMIUM_ARGS = [
  '--no-sandbox',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-gpu',
  '--no-first-run',
  '--allow-loopback-in-peer-connection',
];

const micDir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-mic-'));
process.on('exit', () => fs.rmSync(micDir, { recursive: true, force: true }));

// A fake microphone that plays one frequency. Chromium loops the file; whole periods make the seam silent.
export function microphoneFile(freqHz) {
  const file = path.join(micDir, `tone-${freqHz}.wav`);
  fs.writeFileSync(file, wav(48000, tone(48000, freqHz, 10000, 12000)));
  return file;
}

function chromiumOptions({ micHz = 600, insecureOrigin, mdns = false, args = [] }) {
  const extra = [`--use-file-for-fake-audio-capture=${microphoneFile(micHz)}`];
  if (insecureOrigin) extra.push(`--unsafely-treat-insecure-origin-as-secure=${insecureOrigin}`);
  if (!mdns) extra.push('--disable-features=WebRtcHideLocalIpsWithMdns');
  return { executablePath: '/usr/bin/chromium', args: [...CHROMIUM_ARGS, ...extra, ...args] };
}

export const launchChromium = (options = {}) => chromium.launch(chromiumOptions(options));

// One that a test may kill: {browser, kill()}; kill() is SIGKILL to all its processes.
export async function launchChromiumServer(options = {}) {
  const server = await chromium.launchServer(chromiumOptions(options));
  return { browser: await chromium.connect(server.wsEndpoint()), kill: () => server.kill() };
}

// A sound server with nothing behind it, because Firefox's WebAudio stands still without a device.
async function startSound() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-sound-'));
  const socket = path.join(dir, 'native');
  const modules = ['-L', 'module-null-sink', '-L', `module-native-protocol-unix auth-anonymous=1 socket=${socket}`];
  const child = spawn('pulseaudio', ['-n', '--daemonize=no', '--exit-idle-time=-1', '--use-pid-file=no', '--disable-shm=yes', ...modules], {
    env: { ...process.env, PULSE_RUNTIME_PATH: dir, PULSE_STATE_PATH: dir }, stdio: 'ignore',
  });
  await until(() => child.exitCode !== null || fs.existsSync(socket), 'the sound server');
  const stop = () => {
    child.kill('SIGKILL');
    fs.rmSync(dir, { recursive: true, force: true });
  };
  return { socket, stop };
}

// Its fake microphone is a tone of 700 Hz here. It needs a non-loopback address.
export async function launchFirefox() {
  const sound = await startSound();
  const browser = await puppeteer.launch({
    browser: 'firefox',
    headless: true,
    executablePath: '/usr/bin/firefox-esr',
    acceptInsecureCerts: true,
    protocolTimeout: 30000,
    env: { ...process.env, PULSE_SERVER: `unix:${sound.socket}` },
    extraPrefsFirefox: {
      'media.navigator.streams.fake': true,
      'media.navigator.permission.disabled': true,
      'media.peerconnection.ice.loopback': true,
      'media.peerconnection.ice.obfuscate_host_addresses': false,
      'media.autoplay.default': 0,
      'media.autoplay.blocking_policy': 0,
      'dom.securecontext.allowlist': process.env.E2E_ADDRESS ?? '',
      'media.navigator.audio.fake_frequency': 700,
    },
  });
  return {
    newPage: () => browser.newPage(),
    close: async () => {
      await browser.close();
      sound.stop();
    },
  };
}

// The demo page, with ears. `context` options are Chromium's only: viewport, colorScheme.
export async function openPage(browser, gateway, { base, query = '?campaign=demo&region=local', ...context } = {}) {
  const page = await browser.newPage(context);
  for (const part of [keepPeers, keepSockets, giveEars, giveStats]) {
    if (page.addInitScript) await page.addInitScript(part);
    else await page.evaluateOnNewDocument(part);
  }
  page.on('pageerror', (error) => (page.testErrors ??= []).push(String(error)));
  // Chromium gives a microphone to secure origins only, and localhost is one; Firefox is told to, and needs a real address.
  await page.goto(`${base ?? (page.addInitScript ? gateway.localUrl : gateway.url)}/${query}`);
  return page;
}

// A page with a headless widget on it: page.evaluate(() => window.call...) drives it.
export async function openCallPage(browser, gateway, options = {}) {
  const page = await openPage(browser, gateway, { base: options.base });
  await page.evaluate((settings) => {
    window.testRtcConfig = settings.rtcConfig;
    window.testRelay = settings.relay;
    const states = [];
    const messages = [];
    const call = new window.IqraWidget({
      middlewareUrl: location.origin,
      campaignId: 'demo',
      regionId: 'local',
      transportType: 1,
      audioConstraints: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
      ...settings.widget,
    });
    call.on('state', (state) => states.push(state));
    call.on('message', (message) => messages.push(message.data));
    call.on('error', (error) => states.push({ error }));
    Object.assign(window, { call, callStates: states, callMessages: messages });
  }, { widget: options.widget ?? {}, rtcConfig: options.rtcConfig, relay: options.relay });
  return page;
}
