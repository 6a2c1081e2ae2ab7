// SPDX-License-Identifier: Apache-2.0
// Real browsers, and what a page must hold so that a test can look at its calls.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';
import { tone, wav } from '../../sim/signal.mjs';

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

// A fake microphone that plays one frequency. Chromium loops the file; whole periods make the seam silent.
export function microphoneFile(freqHz, dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-mic-'))) {
  const file = path.join(dir, `tone-${freqHz}.wav`);
  fs.writeFileSync(file, wav(48000, tone(48000, freqHz, 10000, 12000)));
  return file;
}

export async function launchChromium({ micHz = 600, insecureOrigin, mdns = false, args = [] } = {}) {
  const extra = [`--use-file-for-fake-audio-capture=${microphoneFile(micHz)}`];
  if (insecureOrigin) extra.push(`--unsafely-treat-insecure-origin-as-secure=${insecureOrigin}`);
  if (!mdns) extra.push('--disable-features=WebRtcHideLocalIpsWithMdns');
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: [...CHROMIUM_ARGS, ...extra, ...args] });
}

// Its fake microphone is a tone of 700 Hz here. It needs a non-loopback address.
export async function launchFirefox() {
  return puppeteer.launch({
    browser: 'firefox',
    headless: true,
    executablePath: '/usr/bin/firefox-esr',
    acceptInsecureCerts: true,
    extraPrefsFirefox: {
      'media.navigator.streams.fake': true,
      'media.navigator.permission.disabled': true,
      'media.peerconnection.ice.loopback': true,
      'media.peerconnection.ice.obfuscate_host_addresses': false,
      'media.autoplay.default': 0,
      'media.autoplay.blocking_policy': 0,
      'media.getusermedia.insecure.enabled': true,
      'media.devices.insecure.enabled': true,
      'media.navigator.audio.fake_frequency': 700,
    },
  });
}

// Runs in the page before anything else: keeps every peer connection, and listens to what arrives.
export function instrument() {
  const Native = window.RTCPeerConnection;
  window.testPeers = [];
  window.testSockets = [];
  window.RTCPeerConnection = class extends Native {
    constructor(config, ...rest) {
      super({ ...config, ...(window.testRtcConfig ?? {}) }, ...rest);
      window.testPeers.push(this);
      this.addEventListener('track', (event) => {
        window.testStream = event.streams[0] ?? new MediaStream([event.track]);
      });
    }
  };
  const NativeSocket = window.WebSocket;
  window.WebSocket = class extends NativeSocket {
    constructor(...args) {
      super(...args);
      window.testSockets.push(this);
    }
  };
  // The loudest frequency of what is being heard, with its level.
  window.testHear = async () => {
    if (!window.testStream) return { hz: 0, db: -200 };
    if (!window.testAnalyser) {
      const audio = new Audio();
      audio.srcObject = window.testStream;
      audio.muted = true;
      audio.play().catch(() => {});
      const context = new AudioContext();
      await context.resume();
      const analyser = context.createAnalyser();
      analyser.fftSize = 4096;
      context.createMediaStreamSource(window.testStream).connect(analyser);
      window.testAnalyser = { analyser, context, audio };
    }
    const { analyser, context } = window.testAnalyser;
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    let best = 1;
    for (let i = 2; i < bins.length; i++) if (bins[i] > bins[best]) best = i;
    return { hz: (best * context.sampleRate) / analyser.fftSize, db: bins[best] };
  };
  window.testStats = async () => {
    const out = { in: {}, out: {}, pair: {}, codec: '' };
    const pc = window.testPeers[window.testPeers.length - 1];
    const stats = await pc.getStats();
    stats.forEach((report) => {
      if (report.type === 'inbound-rtp') Object.assign(out.in, { packets: report.packetsReceived, lost: report.packetsLost, jitter: report.jitter, energy: report.totalAudioEnergy, codecId: report.codecId });
      if (report.type === 'outbound-rtp') Object.assign(out.out, { packets: report.packetsSent, bytes: report.bytesSent });
      if (report.type === 'remote-inbound-rtp') out.rttMs = report.roundTripTime * 1000;
      if (report.type === 'candidate-pair' && report.nominated) out.pair = { local: report.localCandidateId, remote: report.remoteCandidateId };
    });
    out.codec = stats.get?.(out.in.codecId)?.mimeType ?? '';
    const local = stats.get?.(out.pair.local);
    out.localType = local?.candidateType;
    return out;
  };
}

// A page with a headless widget on it: page.evaluate(() => window.call...) drives it.
export async function openCallPage(browser, gateway, options = {}) {
  const page = await browser.newPage();
  // Chromium gives a microphone to secure origins only, and localhost is one; Firefox is told to, and needs a real address.
  const base = options.base ?? (page.addInitScript ? gateway.localUrl : gateway.url);
  if (page.addInitScript) await page.addInitScript(instrument);
  else await page.evaluateOnNewDocument(instrument);
  page.on('pageerror', (error) => (page.testErrors ??= []).push(String(error)));
  await page.goto(`${base}/?campaign=demo&region=local`);
  await page.evaluate((settings) => {
    window.testRtcConfig = settings.rtcConfig;
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
  }, { widget: options.widget ?? {}, rtcConfig: options.rtcConfig });
  return page;
}
