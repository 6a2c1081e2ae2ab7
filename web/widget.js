// SPDX-License-Identifier: Apache-2.0
//
// The voice widget: one plain script, no framework, no build step, no request to anybody but the gateway.
//
//   start() -> microphone -> POST /api/session/request -> 200 grant ----------------------> RtcCall | WsCall
//                                                     \-> 202 queued -> QueueHub (SignalR) -/
//
// Order of this file: texts, small helpers, errors, session request, queue hub, audio, signalling socket,
// WebRTC call, WebSocket call, the widget (public API), the view, the script tag. docs/embed.md is the manual.
(function (root) {
'use strict';

const WEBSOCKET = 0;
const WEBRTC = 1;
const ENCODINGS = { PCM: 1, WAV: 2, MULAW: 3, ALAW: 4, G722: 5, G729: 6, OPUS: 7, MPEG: 8 };
const RESUME_WINDOW_MS = 10000;   // the gateway keeps a call that lost its socket for this long
const CONNECT_TIMEOUT_MS = 25000;
const RECONNECT_TIMEOUT_MS = 30000;
const TEXT_LIMIT_BYTES = 65536;

const ERROR_TEXT = {
  VALIDATION: 'Please complete the required fields.',
  UNSUPPORTED: 'This browser cannot make voice calls. Please use a current version of Chrome, Edge, Firefox or Safari.',
  INSECURE: 'The microphone is only available on secure (https) pages.',
  MIC_NOT_FOUND: 'No microphone was found. Connect one and try again.',
  MIC_DENIED: 'Microphone access was refused. Allow it in the browser\u2019s site settings and try again.',
  MIC_BUSY: 'The microphone is in use by another application. Close it there and try again.',
  MIC_FAILED: 'The microphone could not be opened.',
  MIC_LOST: 'The microphone was disconnected. Choose another one to keep talking.',
  NETWORK: 'The server could not be reached. Check your connection and try again.',
  BAD_REQUEST: 'The server did not accept the request.',
  FORBIDDEN: 'Calls are not allowed from this network.',
  RATE_LIMITED: 'Too many calls for now.',
  SERVER_ERROR: 'The server could not start the call. Please try again.',
  UNAVAILABLE: 'The service is busy or restarting.',
  BAD_RESPONSE: 'The server sent an answer this page does not understand.',
  QUEUE_LOST: 'The connection to the waiting line was lost. Please try again.',
  QUEUE_FAILED: 'The call could not be started from the waiting line. Please try again.',
  SIGNALLING: 'The call could not be set up: the server did not accept the connection.',
  SIGNALLING_LOST: 'The connection to the server was lost.',
  CONNECT_TIMEOUT: 'The call could not be connected in time. A firewall may be blocking it.',
  MEDIA_FAILED: 'No audio path to the server was found. A firewall may be blocking it.',
  MEDIA_LOST: 'The audio connection was lost and could not be restored.',
  TEXT_TOO_LONG: 'The message is too long to send.',
  AUDIO_FORMAT: 'In WebSocket mode only 16-bit PCM audio is supported.'
};

// ---- helpers

class CallError extends Error {
  constructor(code, message) {
    super(message || ERROR_TEXT[code] || code);
    this.name = 'CallError';
    this.code = code;
  }
}

const ABORTED = new CallError('ABORTED', 'The call was ended.');

class Emitter {
  constructor() { this._listeners = new Map(); }

  on(name, fn) {
    if (!this._listeners.has(name)) this._listeners.set(name, new Set());
    this._listeners.get(name).add(fn);
    return this;
  }

  off(name, fn) {
    const set = this._listeners.get(name);
    if (set) fn ? set.delete(fn) : set.clear();
    return this;
  }

  emit(name, payload) {
    for (const fn of [...(this._listeners.get(name) || [])]) {
      try { fn(payload); } catch (err) { console.error(`IqraWidget: '${name}' listener failed`, err); }
    }
  }
}

const noop = () => {};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function deferred() {
  const d = {};
  d.promise = new Promise((resolve, reject) => { d.resolve = resolve; d.reject = reject; });
  d.promise.catch(noop);   // a caller that is not interested is not an unhandled rejection
  return d;
}

function socketUrl(httpUrl) { return httpUrl.replace(/^http/i, 'ws'); }

function stringMap(map) {
  const out = {};
  for (const [key, value] of Object.entries(map || {})) {
    if (value !== undefined && value !== null) out[key] = String(value);
  }
  return out;
}

function parseJson(text) {
  try { return JSON.parse(text); } catch (err) { return null; }
}

function stopTracks(stream) {
  if (stream) stream.getTracks().forEach((track) => { track.onended = null; track.stop(); });
}

// ---- options

function normaliseAudio(config) {
  const audio = Object.assign({
    inputEncodingType: ENCODINGS.PCM, inputSampleRate: 16000, inputBitsPerSample: 16,
    outputEncodingType: ENCODINGS.PCM, outputSampleRate: 16000, outputBitsPerSample: 16,
    bufferThresholdMs: 20
  }, config);
  for (const key of ['inputEncodingType', 'outputEncodingType']) {
    if (typeof audio[key] === 'string') audio[key] = ENCODINGS[audio[key].toUpperCase()] || Number(audio[key]);
  }
  return audio;
}

function normaliseTransport(value) {
  if (value === undefined || value === null || value === '') return WEBRTC;
  if (/^websocket$/i.test(value)) return WEBSOCKET;
  return Number(value) === WEBSOCKET ? WEBSOCKET : WEBRTC;
}

function normaliseOptions(options) {
  const o = Object.assign({
    middlewareUrl: scriptOrigin, formFields: [], headers: {}, dynamicVariables: {}, metadata: {},
    audioConstraints: {}, iceTransportPolicy: 'all', autoRender: true, theme: 'auto', labels: {}
  }, options);
  o.middlewareUrl = String(o.middlewareUrl).replace(/\/+$/, '');
  o.transportType = normaliseTransport(o.transportType);
  o.audioConfig = normaliseAudio(o.audioConfig);
  o.formFields = (o.formFields || []).map((field) => Object.assign({ type: 'text', target: 'dynamicVariable' }, field));
  return o;
}

// ---- microphone

const MIC_ERRORS = {
  NotFoundError: 'MIC_NOT_FOUND', OverconstrainedError: 'MIC_NOT_FOUND', DevicesNotFoundError: 'MIC_NOT_FOUND',
  NotAllowedError: 'MIC_DENIED', SecurityError: 'MIC_DENIED', PermissionDeniedError: 'MIC_DENIED',
  NotReadableError: 'MIC_BUSY', TrackStartError: 'MIC_BUSY', AbortError: 'MIC_BUSY'
};

async function openMicrophone(options, deviceId) {
  if (!root.isSecureContext) throw new CallError('INSECURE');
  if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) throw new CallError('UNSUPPORTED');
  const audio = Object.assign(
    { echoCancellation: true, noiseSuppression: true, autoGainControl: true }, options.audioConstraints);
  if (deviceId) audio.deviceId = { exact: deviceId };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (err) {
    throw new CallError(MIC_ERRORS[err.name] || 'MIC_FAILED');
  }
}

// ---- session request

function duration(seconds) {
  if (seconds < 90) return `${seconds} second${seconds === 1 ? '' : 's'}`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} minutes` : `${Math.round(minutes / 60)} hours`;
}

function retryText(response) {
  const header = response.headers.get('Retry-After');
  if (!header) return '';
  const seconds = /^\d+$/.test(header) ? Number(header) : Math.ceil((Date.parse(header) - Date.now()) / 1000);
  return seconds > 0 ? ` Try again in ${duration(seconds)}.` : '';
}

const HTTP_ERRORS = { 400: 'BAD_REQUEST', 401: 'FORBIDDEN', 403: 'FORBIDDEN', 404: 'BAD_REQUEST', 413: 'BAD_REQUEST',
  429: 'RATE_LIMITED', 502: 'UNAVAILABLE', 503: 'UNAVAILABLE', 504: 'UNAVAILABLE' };

function httpError(response, body) {
  const code = HTTP_ERRORS[response.status] || (response.status >= 500 ? 'SERVER_ERROR' : 'BAD_REQUEST');
  let detail = body && body.message;
  if (!detail && body && body.errors) detail = Object.values(body.errors).flat().join(' ');
  if (!detail && body && body.title) detail = body.title;
  const base = ERROR_TEXT[code];
  const text = !detail ? base : code === 'FORBIDDEN' || code === 'UNAVAILABLE' ? `${base} ${detail}` : detail;
  return Object.assign(new CallError(code, text + retryText(response)), { status: response.status });
}

async function requestSession(options, body, signal) {
  let response;
  try {
    response = await fetch(`${options.middlewareUrl}/api/session/request`, {
      method: 'POST', signal, body: JSON.stringify(body),
      headers: Object.assign({}, options.headers, { 'Content-Type': 'application/json' })
    });
  } catch (err) {
    throw new CallError('NETWORK');
  }
  const data = parseJson(await response.text().catch(() => ''));
  if (response.status === 200 && data && data.webSocketUrl) return data;
  if (response.status === 202 && data && data.uniqueRequestId) return Object.assign({ queued: true }, data);
  throw response.ok ? new CallError('BAD_RESPONSE') : httpError(response, data);
}

// ---- queue: the JSON hub protocol of SignalR, enough

const RECORD_END = '\x1e';
const HUB_PING_MS = 15000;
const HUB_SILENCE_MS = 30000;
const HUB_GIVE_UP_MS = 120000;

// Waits in line for one request id. Reconnects by itself; onPosition(data) reports the place; wait() settles once.
class QueueHub {
  constructor(options, requestId, onPosition) {
    this.base = `${options.middlewareUrl}/sessionHub`;
    this.headers = options.headers;
    this.requestId = requestId;
    this.onPosition = onPosition;
    this.result = deferred();
    this.closed = false;
  }

  wait() {
    this._loop();
    return this.result.promise;
  }

  close() {
    this.closed = true;
    this.result.reject(ABORTED);   // without effect when settled
    clearInterval(this.timer);
    if (!this.ws) return;
    this._send({ type: 7 });
    this.ws.close();
  }

  async _loop() {
    let lostAt = Date.now();
    for (let tries = 0; !this.closed; tries++) {
      if (tries) await sleep(Math.min(10000, 500 * 2 ** Math.min(tries - 1, 5)) * (0.75 + Math.random() / 2));
      if (this.closed) return;
      const established = await this._connectOnce().catch(() => false);
      clearInterval(this.timer);
      if (established) { tries = 0; lostAt = Date.now(); }
      if (Date.now() - lostAt > HUB_GIVE_UP_MS) this._finish(new CallError('QUEUE_LOST'));
    }
  }

  // One connection from negotiate to close; resolves to whether the handshake succeeded.
  async _connectOnce() {
    const response = await fetch(`${this.base}/negotiate?negotiateVersion=1`,
      { method: 'POST', headers: this.headers });
    if (response.status >= 400 && response.status < 500 && response.status !== 429) {
      return this._finish(new CallError('QUEUE_LOST'));   // asking again would not help
    }
    if (!response.ok) throw new CallError('QUEUE_LOST');
    const { connectionToken, connectionId } = await response.json();
    if (this.closed) return false;
    const ws = this.ws = new WebSocket(
      `${socketUrl(this.base)}?id=${encodeURIComponent(connectionToken || connectionId)}`);
    this.ready = false;
    this.pending = '';
    return new Promise((resolve) => {
      ws.onopen = () => { this._send({ protocol: 'json', version: 1 }); this._keepAlive(ws); };
      ws.onmessage = (event) => this._receive(String(event.data));
      ws.onclose = () => resolve(this.ready);
    });
  }

  _keepAlive(ws) {
    let lastPing = Date.now();
    this.heardAt = lastPing;
    clearInterval(this.timer);
    this.timer = setInterval(() => {
      const now = Date.now();
      if (now - this.heardAt > HUB_SILENCE_MS) return ws.close();
      if (now - lastPing >= HUB_PING_MS) { lastPing = now; this._send({ type: 6 }); }
    }, 1000);
  }

  _send(record) {
    if (this.ws.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(record) + RECORD_END);
  }

  _receive(text) {
    this.heardAt = Date.now();
    const records = (this.pending + text).split(RECORD_END);
    this.pending = records.pop();
    for (const record of records) {
      const message = parseJson(record);
      if (message) this.ready ? this._dispatch(message) : this._handshake(message);
    }
  }

  _handshake(message) {
    if (message.error) return this.ws.close();
    this.ready = true;
    this._send({ type: 1, invocationId: '0', target: 'Register', arguments: [this.requestId] });
  }

  _dispatch(message) {
    const data = (message.arguments && message.arguments[0]) || {};
    if (message.type === 3 && message.error) return this._finish(new CallError('QUEUE_FAILED', message.error));
    if (message.type === 7) {
      if (message.allowReconnect === false && message.error) this._finish(new CallError('QUEUE_LOST'));
      return this.ws.close();
    }
    if (message.type !== 1) return;
    if (message.target === 'SessionReady') this._finish(null, data);
    else if (message.target === 'SessionFailed') this._finish(new CallError('QUEUE_FAILED', data.message));
    else if (message.target === 'QueuePosition') this.onPosition(data);
  }

  _finish(err, grant) {
    err ? this.result.reject(err) : this.result.resolve(grant);
    this.close();
  }
}

// ---- audio

// Owns the AudioContext, the element that plays the agent, and the two meters of a call.
class AudioDesk {
  constructor(sinkId) {
    const Context = root.AudioContext || root.webkitAudioContext;
    if (!Context) throw new CallError('UNSUPPORTED');
    this.ctx = new Context({ latencyHint: 'interactive' });
    this.sinkId = sinkId;
    this.mic = this._analyser();
    this.agent = this._analyser();
    this.window = new Float32Array(this.mic.fftSize);
    this.unlock();
  }

  _analyser() {
    const node = this.ctx.createAnalyser();
    node.fftSize = 2048;
    return node;
  }

  attachMic(stream) {
    if (this.micSource) this.micSource.disconnect();
    this.micSource = this.ctx.createMediaStreamSource(stream);
    this.micSource.connect(this.mic);
    if (this.micSink) this.micSource.connect(this.micSink);
  }

  // Chromium gives an analyser silence unless the remote stream also plays in an element.
  attachRemote(stream, onBlocked) {
    this.element = new Audio();
    this.element.autoplay = true;
    this.element.srcObject = stream;
    this.onBlocked = onBlocked;
    this.ctx.createMediaStreamSource(stream).connect(this.agent);
    this.setSink(this.sinkId);
    this.unlock();
  }

  // Browsers may hold sound back until the user touches the page; call again from such a touch.
  unlock() {
    if (this.ctx.state === 'suspended') this.ctx.resume().catch(noop);
    if (!this.element) return;
    this.element.play().then(() => this.onBlocked(false), (err) => {
      if (err.name === 'NotAllowedError') this.onBlocked(true);
    });
  }

  async setSink(sinkId) {
    this.sinkId = sinkId;
    if (sinkId === undefined) return;
    const target = this.element || this.ctx;
    if (target.setSinkId) await target.setSinkId(sinkId).catch(noop);
  }

  // 0..1 over 60 dB, which is how loudness feels; a linear meter hardly moves for speech.
  _level(analyser) {
    analyser.getFloatTimeDomainData(this.window);
    let sum = 0;
    for (const sample of this.window) sum += sample * sample;
    const rms = Math.sqrt(sum / this.window.length);
    return rms > 0 ? clamp((20 * Math.log10(rms) + 60) / 54, 0, 1) : 0;
  }

  levels() { return { mic: this._level(this.mic), agent: this._level(this.agent) }; }

  close() {
    if (this.element) { this.element.pause(); this.element.srcObject = null; this.element = null; }
    if (this.micSource) this.micSource.disconnect();
    if (this.ctx.state !== 'closed') this.ctx.close().catch(noop);
  }
}

// ---- signalling socket

function dial(url, timeoutMs) {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(url);
    const timer = setTimeout(() => { ws.onclose = null; ws.close(); reject(new CallError('SIGNALLING')); }, timeoutMs);
    ws.onopen = () => { clearTimeout(timer); resolve(ws); };
    ws.onclose = () => { clearTimeout(timer); reject(new CallError('SIGNALLING')); };
  });
}

// One signalling conversation over as many sockets as the network needs. `events`: onMessage(object),
// onLost(), onResumed(), onHangup(), onFail(CallError).
class Signalling {
  constructor(events) {
    this.events = events;
    this.outbox = [];
    this.stale = [];
    this.closed = false;
  }

  async open(url) { this._adopt(await dial(url, 10000)); }

  send(message) {
    if (this.ws && this.ws.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(message));
    else if (message.type === 'candidate' && this.outbox.length < 200) this.outbox.push(message);
  }

  close() {
    this.closed = true;
    clearTimeout(this.errorTimer);
    for (const ws of [this.ws, ...this.stale]) if (ws) { ws.onclose = ws.onmessage = null; ws.close(1000); }
  }

  // The socket looks open but nothing comes back: leave it, since a close frame arriving late would end the
  // call, and resume on a new one.
  suspect() {
    if (this.closed || this.resuming || !this.resumeUrl) return;
    this.ws.onclose = this.ws.onmessage = null;
    this.stale.push(this.ws);
    this._resume();
  }

  _adopt(ws) {
    if (this.closed) return ws.close(1000);
    this.ws = ws;
    ws.onmessage = (event) => this._receive(event.data);
    ws.onclose = (event) => this._dropped(event);
    this.stale.splice(0).forEach((old) => old.close());
  }

  _receive(data) {
    const message = typeof data === 'string' ? parseJson(data) : null;
    if (!message) return;
    if (message.type === 'session' && message.resumeUrl) this.resumeUrl = message.resumeUrl;
    if (message.type === 'error') return this._noteError(message);
    this.events.onMessage(message);
  }

  // An error normally explains the close that follows; one that is not followed by a close is a warning.
  _noteError(message) {
    this.lastError = message;
    clearTimeout(this.errorTimer);
    this.errorTimer = setTimeout(() => {
      this.lastError = null;
      this.events.onMessage(message);
    }, 1000);
  }

  _dropped(event) {
    if (this.closed) return;
    clearTimeout(this.errorTimer);
    const { code, reason } = event;
    if (code >= 4000 || code === 1008 || this.lastError) {
      const error = this.lastError || {};
      return this.events.onFail(new CallError(error.code || `CLOSE_${code}`, error.message || reason || ERROR_TEXT.SIGNALLING_LOST));
    }
    if (code === 1000 || code === 1005) return this.events.onHangup();
    if (!this.resumeUrl) return this.events.onFail(new CallError('SIGNALLING_LOST'));
    this._resume();
  }

  async _resume() {
    const deadline = Date.now() + RESUME_WINDOW_MS;
    this.resuming = true;
    this.events.onLost();
    for (let waitMs = 250; !this.closed; waitMs = Math.min(waitMs * 2, 2000)) {
      await sleep(waitMs);
      if (this.closed) return;
      if (Date.now() >= deadline) return this.events.onFail(new CallError('SIGNALLING_LOST'));
      const ws = await dial(this.resumeUrl, 4000).catch(() => null);
      if (!ws) continue;
      this.resuming = false;
      this._adopt(ws);
      if (this.closed) return;
      this.events.onResumed();
      this.outbox.splice(0).forEach((message) => this.send(message));
      return;
    }
  }
}

// ---- WebRTC

function codecOrder(preference) {
  const capabilities = RTCRtpReceiver.getCapabilities && RTCRtpReceiver.getCapabilities('audio');
  if (!capabilities) return null;
  const wanted = [].concat(preference).map((name) => `audio/${name}`.toLowerCase());
  const rank = (codec) => {
    const index = wanted.indexOf(codec.mimeType.toLowerCase());
    return index < 0 ? wanted.length : index;
  };
  return capabilities.codecs.slice().sort((a, b) => rank(a) - rank(b));
}

const candidateType = (candidate) => (candidate ? candidate.candidateType : null);

function selectedPair(report) {
  let pair = null;
  report.forEach((entry) => {
    if (entry.type === 'transport' && entry.selectedCandidatePairId) pair = report.get(entry.selectedCandidatePairId);
  });
  if (pair) return pair;
  report.forEach((entry) => {
    if (entry.type === 'candidate-pair' && (entry.selected || (entry.nominated && entry.state === 'succeeded'))) pair = entry;
  });
  return pair;
}

function collectRtp(report) {
  const found = {};
  report.forEach((entry) => {
    if ((entry.kind || entry.mediaType) !== 'audio') return;
    const best = found[entry.type];   // with two audio lines one of them is idle
    const packets = (e) => e.packetsReceived || e.packetsSent || 0;
    if (!best || packets(entry) > packets(best)) found[entry.type] = entry;
  });
  return found;
}

function quality(stats) {
  const { rttMs, jitterMs, lossPercent } = stats;
  if (rttMs === null && jitterMs === null) return 'unknown';
  if (lossPercent > 6 || rttMs > 450 || jitterMs > 70) return 'poor';
  return lossPercent > 2 || rttMs > 220 || jitterMs > 35 ? 'fair' : 'good';
}

const toMs = (seconds) => (typeof seconds === 'number' ? Math.round(seconds * 10000) / 10 : null);

// Loss over the last few seconds, in either direction, whichever is worse.
function recentLoss(history, inbound, remote) {
  history.push({ received: inbound.packetsReceived || 0, lost: inbound.packetsLost || 0 });
  if (history.length > 6) history.shift();
  const first = history[0];
  const last = history[history.length - 1];
  const lost = Math.max(0, last.lost - first.lost);
  const total = lost + Math.max(0, last.received - first.received);
  const inLoss = total ? (100 * lost) / total : 0;
  return Math.round(Math.max(inLoss, 100 * (remote.fractionLost || 0)) * 10) / 10;
}

function summarise(report, history) {
  const rtp = collectRtp(report);
  const inbound = rtp['inbound-rtp'] || {};
  const outbound = rtp['outbound-rtp'] || {};
  const remote = rtp['remote-inbound-rtp'] || {};
  const pair = selectedPair(report) || {};
  const codec = report.get(inbound.codecId || outbound.codecId) || {};
  const rtt = remote.roundTripTime > 0 ? remote.roundTripTime : pair.currentRoundTripTime;
  const stats = {
    rttMs: toMs(rtt), jitterMs: toMs(inbound.jitter), lossPercent: recentLoss(history, inbound, remote),
    packetsReceived: inbound.packetsReceived || 0, packetsLost: inbound.packetsLost || 0,
    packetsSent: outbound.packetsSent || 0, bytesReceived: inbound.bytesReceived || 0, bytesSent: outbound.bytesSent || 0,
    codec: codec.mimeType ? codec.mimeType.split('/')[1] : null,
    localCandidateType: candidateType(report.get(pair.localCandidateId)),
    remoteCandidateType: candidateType(report.get(pair.remoteCandidateId)), report
  };
  stats.quality = quality(stats);
  return stats;
}

// One call by WebRTC. `link` is what the widget lends: options, stream, audio, grant and the on* callbacks
// onConnected, onReconnecting(bool), onSession(message), onMessage(text), onHangup, onFail(err), onWarning(err), onBlocked(bool).
class RtcCall {
  constructor(link) {
    this.link = link;
    this.iceServers = link.grant.iceServers || [];
    this.early = [];            // remote candidates that came before the answer
    this.texts = [];            // texts written before the channel opened
    this.history = [];
    this.round = null;          // the offer in flight; only the browser offers, so there is no glare
    this.next = null;           // an offer asked for while one is in flight
    this.restart = false;
    this.failures = 0;
    this.ever = false;
    this.greeted = deferred();
    this.signalling = new Signalling({
      onMessage: (message) => this._onSignal(message),
      onLost: () => this._trouble(true),
      onResumed: () => this._onResumed(),
      onHangup: () => link.onHangup(),
      onFail: (err) => link.onFail(err)
    });
  }

  async open() {
    if (!root.RTCPeerConnection) throw new CallError('UNSUPPORTED');
    await this.signalling.open(this.link.grant.webSocketUrl);
    // The gateway speaks first and names the ICE servers; the platform's own socket says nothing.
    await Promise.race([this.greeted.promise, sleep(400)]);
    if (this.signalling.closed) return;
    this._createPeer();
    this.timer = setTimeout(() => this.link.onFail(new CallError('CONNECT_TIMEOUT')), CONNECT_TIMEOUT_MS);
    this.negotiate().catch((err) => this.link.onFail(err));
  }

  _configuration() {
    const { options } = this.link;
    return {
      iceServers: options.iceServers || this.iceServers, iceTransportPolicy: options.iceTransportPolicy,
      bundlePolicy: options.twoAudioLines ? 'balanced' : 'max-bundle'
    };
  }

  _createPeer() {
    const { stream, options } = this.link;
    const pc = this.pc = new RTCPeerConnection(this._configuration());
    const line = pc.addTransceiver(stream.getAudioTracks()[0], { direction: 'sendrecv', streams: [stream] });
    this.sender = line.sender;
    if (options.twoAudioLines) pc.addTransceiver('audio');
    const order = options.codecPreference ? codecOrder(options.codecPreference) : null;
    if (order) pc.getTransceivers().forEach((t) => t.setCodecPreferences && t.setCodecPreferences(order));
    pc.onicecandidate = (event) => this._onCandidate(event.candidate);
    pc.onconnectionstatechange = () => this._onConnection(pc.connectionState);
    pc.ontrack = (event) => this._onTrack(event);
    this._openChannel(pc.createDataChannel('chat'));
  }

  _openChannel(channel) {
    this.channel = channel;
    channel.onopen = () => this.texts.splice(0).forEach((text) => channel.send(text));
    channel.onmessage = (event) => { if (typeof event.data === 'string') this.link.onMessage(event.data); };
  }

  _onTrack(event) {
    if (this.remote) return;
    this.remote = event.streams[0] || new MediaStream([event.track]);
    this.link.audio.attachRemote(this.remote, this.link.onBlocked);
  }

  _onCandidate(candidate) {
    if (!candidate) return this.signalling.send({ type: 'candidate', candidate: null });
    if (!candidate.candidate) return;   // "no more of this generation"; the null that follows says it for all
    const { sdpMid, sdpMLineIndex, usernameFragment } = candidate;
    this.signalling.send({
      type: 'candidate', candidate: { candidate: candidate.candidate, sdpMid, sdpMLineIndex, usernameFragment }
    });
  }

  // -- offers

  // Offers once, or once more after the offer in flight. Resolves when the answer is applied.
  negotiate(iceRestart) {
    if (!this.pc) return Promise.reject(new CallError('SIGNALLING'));
    this.restart = this.restart || Boolean(iceRestart);
    if (this.round) return (this.next = this.next || deferred()).promise;
    this.round = deferred();
    this._offer();
    return this.round.promise;
  }

  async _offer() {
    const round = this.round;
    const iceRestart = this.restart;
    this.restart = false;
    try {
      await this.pc.setLocalDescription(await this.pc.createOffer({ iceRestart }));
    } catch (err) {
      if (!this.signalling.closed) this._endRound(round, new CallError('SIGNALLING', err.message));
      return;
    }
    this._sendOffer();
  }

  _sendOffer() {
    this.signalling.send({ type: 'offer', sdp: this.pc.localDescription.sdp });
    clearTimeout(this.answerTimer);
    if (this.ever) this.answerTimer = setTimeout(() => this.signalling.suspect(), 4000);
  }

  _endRound(round, err) {
    clearTimeout(this.answerTimer);
    this.round = this.next;
    this.next = null;
    if (this.round) this._offer();
    err ? round.reject(err) : round.resolve();
  }

  async _onAnswer(message) {
    const round = this.round;
    if (!round || this.pc.signalingState !== 'have-local-offer') return;
    try {
      await this.pc.setRemoteDescription({ type: 'answer', sdp: message.sdp });
      this.early.splice(0).forEach((candidate) => this._addCandidate(candidate));
    } catch (err) {
      return this.link.onFail(new CallError('SIGNALLING', `The server\u2019s answer was not usable: ${err.message}`));
    }
    this._endRound(round);
  }

  // A candidate of an older ICE generation is refused by the browser; that is harmless.
  _addCandidate(candidate) {
    if (candidate && !candidate.candidate) candidate = null;
    this.pc.addIceCandidate(candidate || undefined).catch(noop);
  }

  _onSignal(message) {
    if (message.type === 'session') return this._onSession(message);
    if (message.type === 'error') return this.link.onWarning(new CallError(message.code || 'SERVER', message.message));
    if (message.type === 'answer') return this._onAnswer(message);
    if (message.type !== 'candidate') return;
    if (this.pc && this.pc.remoteDescription && !this.round) this._addCandidate(message.candidate);
    else if (this.early.length < 300) this.early.push(message.candidate);
  }

  _onSession(message) {
    if (Array.isArray(message.iceServers)) this.iceServers = message.iceServers;
    if (this.pc) this.pc.setConfiguration(this._configuration());   // fresh TURN credentials for a restart
    this.link.onSession(message);
    this.greeted.resolve();
  }

  // -- trouble

  _trouble(on) {
    if (!this.ever || this.signalling.closed) return;   // before that, the connect timeout watches
    if (!on) {
      clearTimeout(this.troubleTimer);
      this.troubleTimer = null;
    } else if (!this.troubleTimer) {
      this.troubleTimer = setTimeout(() => this.link.onFail(new CallError('MEDIA_LOST')), RECONNECT_TIMEOUT_MS);
    }
    this.link.onReconnecting(on);
  }

  _onResumed() {
    if (!this.pc) return;
    if (this.round) { if (this.pc.signalingState === 'have-local-offer') this._sendOffer(); }
    else if (/disconnected|failed/.test(this.pc.connectionState)) this.negotiate(true).catch(noop);
    else this._trouble(false);
  }

  _onConnection(state) {
    clearTimeout(this.lossTimer);
    if (state === 'connected') return this._onUp();
    if (state === 'disconnected') {
      this._trouble(true);
      this.lossTimer = setTimeout(() => this.negotiate(true).catch(noop), 2000);
    }
    if (state !== 'failed') return;
    if (this.failures++ > 0) return this.link.onFail(new CallError(this.ever ? 'MEDIA_LOST' : 'MEDIA_FAILED'));
    this._trouble(true);
    this.negotiate(true).catch(noop);
  }

  _onUp() {
    clearTimeout(this.timer);
    this.failures = 0;
    if (this.ever) return this._trouble(false);
    this.ever = true;
    this.link.onConnected();
  }

  // -- used by the widget

  sendText(text) {
    if (this.channel && this.channel.readyState === 'open') this.channel.send(text);
    else if (this.texts.length < 50) this.texts.push(text);
    else return false;
    return true;
  }

  async replaceStream(stream) { if (this.sender) await this.sender.replaceTrack(stream.getAudioTracks()[0]); }

  async stats() { return this.pc ? summarise(await this.pc.getStats(), this.history) : null; }

  close() {
    [this.timer, this.answerTimer, this.lossTimer, this.troubleTimer].forEach((timer) => clearTimeout(timer));
    this.signalling.close();
    if (!this.pc) return;
    this.pc.onicecandidate = this.pc.onconnectionstatechange = this.pc.ontrack = null;
    this.channel.onopen = this.channel.onmessage = null;
    this.pc.close();
  }
}

// ---- WebSocket

// Runs in the audio thread: microphone to s16le frames of 20 ms, received samples to the speaker. Both ways
// by linear interpolation; the filters around the node keep the aliases out.
const WORKLET = `
  registerProcessor('iqra-pcm', class extends AudioWorkletProcessor {
    constructor(options) {
      super();
      const o = options.processorOptions;
      this.upStep = sampleRate / o.inRate; this.upPos = 0; this.upLast = 0;
      this.frame = new Int16Array(Math.round(o.inRate / 50)); this.fill = 0;
      this.downStep = o.outRate / sampleRate; this.downPos = 0; this.a = 0; this.b = 0;
      this.queue = []; this.head = 0; this.ready = 0; this.need = Math.round(o.outRate * o.bufferMs / 1000);
      this.max = o.outRate * 60; this.playing = false; this.underruns = 0; this.ticks = 0; this.open = true;
      this.port.onmessage = (e) => {
        if (e.data === 'close') this.open = false;
        else if (this.ready < this.max) { this.queue.push(e.data); this.ready += e.data.length; }
      };
    }
    capture(x) {
      for (let i = 0; i < x.length; i++) {
        while (this.upPos < 1) {
          const s = this.upLast + (x[i] - this.upLast) * this.upPos;
          this.frame[this.fill++] = Math.max(-32768, Math.min(32767, Math.round(s * 32767)));
          if (this.fill === this.frame.length) { this.port.postMessage(this.frame.slice()); this.fill = 0; }
          this.upPos += this.upStep;
        }
        this.upPos -= 1; this.upLast = x[i];
      }
    }
    next() {
      if (!this.queue.length) return null;
      const s = this.queue[0][this.head++] / 32768;
      this.ready--;
      if (this.head === this.queue[0].length) { this.queue.shift(); this.head = 0; }
      return s;
    }
    play(y) {
      if (!this.playing && this.ready >= Math.max(1, this.need)) this.playing = true;
      if (!this.playing) { this.a = this.b = 0; return; }
      for (let i = 0; i < y.length; i++) {
        while (this.downPos >= 1) {
          const s = this.next();
          if (s === null) { this.playing = false; this.underruns++; this.a = this.b = this.downPos = 0; return; }
          this.a = this.b; this.b = s; this.downPos -= 1;
        }
        y[i] = this.a + (this.b - this.a) * this.downPos;
        this.downPos += this.downStep;
      }
    }
    process(inputs, outputs) {
      if (inputs[0][0]) this.capture(inputs[0][0]);
      this.play(outputs[0][0]);
      if (++this.ticks % 128 === 0) this.port.postMessage({ ready: this.ready, underruns: this.underruns });
      return this.open;
    }
  });`;

// Fourth-order low-pass just under half of the slower rate; none when nothing is slower than the context.
function antiAlias(ctx, rate) {
  if (rate >= ctx.sampleRate) return null;
  const [first, second] = [0.54, 1.31].map((q) => {
    const filter = ctx.createBiquadFilter();
    filter.frequency.value = rate * 0.44;
    filter.Q.value = 20 * Math.log10(q);
    return filter;
  });
  first.connect(second);
  return { input: first, output: second };
}

// One call over a plain WebSocket: binary frames are PCM16, text frames are chat. Same face as RtcCall.
class WsCall {
  constructor(link) {
    this.link = link;
    this.counts = { bytesSent: 0, bytesReceived: 0, packetsSent: 0, packetsReceived: 0 };
    this.player = { ready: 0, underruns: 0 };
    this.closed = false;
  }

  async open() {
    const { audioConfig } = this.link.options;
    const pcm16 = (side) => audioConfig[`${side}EncodingType`] === ENCODINGS.PCM && audioConfig[`${side}BitsPerSample`] === 16;
    if (!pcm16('input') || !pcm16('output')) throw new CallError('AUDIO_FORMAT');
    if (!root.AudioWorkletNode) throw new CallError('UNSUPPORTED');
    await this._createNode(audioConfig);
    const ws = await dial(this.link.grant.webSocketUrl, 10000);
    if (this.closed) return ws.close(1000);
    this.ws = ws;
    ws.binaryType = 'arraybuffer';
    ws.onmessage = (event) => (typeof event.data === 'string' ? this.link.onMessage(event.data) : this._onAudio(event.data));
    ws.onclose = (event) => this._onClose(event);
    this.link.onConnected();
  }

  async _createNode(config) {
    const { audio } = this.link;
    const { ctx } = audio;
    const module = URL.createObjectURL(new Blob([WORKLET], { type: 'text/javascript' }));
    try { await ctx.audioWorklet.addModule(module); } finally { URL.revokeObjectURL(module); }
    if (this.closed) return;
    const node = this.node = new AudioWorkletNode(ctx, 'iqra-pcm', {
      numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [1], channelCount: 1, channelCountMode: 'explicit',
      processorOptions: { inRate: config.inputSampleRate, outRate: config.outputSampleRate, bufferMs: config.bufferThresholdMs }
    });
    node.port.onmessage = (event) => this._onWorklet(event.data);
    const before = antiAlias(ctx, config.inputSampleRate);
    const after = antiAlias(ctx, config.outputSampleRate);
    if (before) before.output.connect(node);
    audio.micSink = before ? before.input : node;
    audio.micSource.connect(audio.micSink);
    if (after) node.connect(after.input);
    (after ? after.output : node).connect(ctx.destination);
    (after ? after.output : node).connect(audio.agent);
    audio.setSink(audio.sinkId);
    ctx.onstatechange = () => this.link.onBlocked(ctx.state === 'suspended');
    audio.unlock();
  }

  _onWorklet(data) {
    if (!(data instanceof Int16Array)) { this.player = data; return; }
    // A socket this far behind will not catch up; old speech is worth less than new.
    if (!this.ws || this.ws.readyState !== WebSocket.OPEN || this.ws.bufferedAmount > 262144) return;
    this.ws.send(data.buffer);
    this.counts.packetsSent++;
    this.counts.bytesSent += data.byteLength;
  }

  // Frames may have any length: an odd byte waits for its other half.
  _onAudio(buffer) {
    this.counts.packetsReceived++;
    this.counts.bytesReceived += buffer.byteLength;
    let bytes = new Uint8Array(buffer);
    if (this.odd) {
      const joined = new Uint8Array(bytes.length + 1);
      joined.set(this.odd);
      joined.set(bytes, 1);
      bytes = joined;
    }
    const even = bytes.length & ~1;
    this.odd = even < bytes.length ? bytes.slice(even) : null;
    if (even) this.node.port.postMessage(new Int16Array(bytes.slice(0, even).buffer));
  }

  _onClose(event) {
    if (this.closed) return;
    if (event.code === 1000 || event.code === 1005) return this.link.onHangup();
    this.link.onFail(new CallError(event.code === 1006 ? 'SIGNALLING_LOST' : `CLOSE_${event.code}`,
      event.reason || ERROR_TEXT.SIGNALLING_LOST));
  }

  sendText(text) {
    if (!this.ws || this.ws.readyState !== WebSocket.OPEN) return false;
    this.ws.send(text);
    return true;
  }

  async replaceStream() { /* the audio desk has already moved the microphone source */ }

  negotiate() { return Promise.resolve(); }

  async stats() {
    const rate = this.link.options.audioConfig.outputSampleRate;
    const behind = this.ws ? this.ws.bufferedAmount : 0;
    return Object.assign({
      rttMs: null, jitterMs: null, lossPercent: 0, packetsLost: 0, codec: 'PCM16', underruns: this.player.underruns,
      bufferedMs: Math.round((1000 * this.player.ready) / rate),
      quality: behind > 64000 ? 'poor' : behind > 16000 ? 'fair' : 'good'
    }, this.counts);
  }

  close() {
    this.closed = true;
    if (this.ws) { this.ws.onclose = this.ws.onmessage = null; this.ws.close(1000); }
    if (this.node) { this.node.port.postMessage('close'); this.node.port.onmessage = null; this.node.disconnect(); }
  }
}

// ---- the widget

// Everything one attempt owns; dispose() gives all of it back, also half-way through starting.
class Attempt {
  constructor() {
    this.abort = new AbortController();
    this.closed = false;
  }

  guard() { if (this.closed) throw ABORTED; }

  dispose() {
    this.closed = true;
    this.abort.abort();
    clearInterval(this.levelTimer);
    clearInterval(this.statsTimer);
    if (this.hub) this.hub.close();
    if (this.call) this.call.close();
    stopTracks(this.stream);
    if (this.audio) this.audio.close();
    if (this.connected) this.connected.reject(ABORTED);
  }
}

class IqraWidget extends Emitter {
  constructor(options) {
    super();
    this.options = normaliseOptions(options || {});
    this.muted = false;
    this._status = { state: 'IDLE' };
    this._attempt = null;
    this._onPageHide = () => this.stop();
    if (this.options.container && this.options.autoRender) this.render();
  }

  get state() { return this._status.state; }
  get status() { return Object.assign({}, this._status); }
  get connectedAt() { return this._attempt ? this._attempt.connectedAt || null : null; }
  get localStream() { return this._attempt ? this._attempt.stream || null : null; }
  get remoteStream() { return this._call ? this._call.remote || null : null; }
  get peerConnection() { return this._call ? this._call.pc || null : null; }
  get _call() { return this._attempt ? this._attempt.call : null; }

  // -- life of a call

  // Resolves to true when connected, to false when the call failed or was stopped meanwhile.
  async start(formValues) {
    if (this.state !== 'IDLE' && this.state !== 'ERROR') return false;
    const attempt = this._attempt = new Attempt();
    root.addEventListener('pagehide', this._onPageHide);
    try {
      this._setState('VALIDATING');
      const body = this._buildRequest(formValues === undefined && this.view ? this.view.values() : formValues);
      await this._openAudio(attempt);
      this._setState('CONNECTING');
      const grant = await this._requestGrant(attempt, body);
      await this._connect(attempt, grant);
      return true;
    } catch (err) {
      if (!attempt.closed) this._fail(attempt, err);
      return false;
    }
  }

  stop() { this._end(this._attempt, 'local'); }

  _buildRequest(formValues) {
    const { options } = this;
    const values = Object.assign({}, formValues);
    const body = {
      campaignId: options.campaignId, regionId: options.regionId, transportType: options.transportType,
      dynamicVariables: Object.assign({}, options.dynamicVariables, values.dynamicVariables),
      metadata: Object.assign({}, options.metadata, values.metadata), audioConfiguration: Object.assign({}, options.audioConfig)
    };
    const identifier = values.clientIdentifier || options.clientIdentifier;
    if (identifier) body.clientIdentifier = String(identifier);
    delete body.audioConfiguration.bufferThresholdMs;
    ['dynamicVariables', 'metadata', 'clientIdentifier'].forEach((key) => delete values[key]);
    this._sortFields(values, body);
    body.dynamicVariables = stringMap(body.dynamicVariables);
    body.metadata = stringMap(body.metadata);
    return body;
  }

  // A value whose name is no form field is a dynamic variable: headless pages need no field list.
  _sortFields(values, body) {
    const missing = [];
    for (const field of this.options.formFields) {
      const target = field.target === 'metadata' ? body.metadata : body.dynamicVariables;
      const value = values[field.name] === undefined ? target[field.name] : values[field.name];
      delete values[field.name];
      if (value !== undefined && String(value).trim() !== '') target[field.name] = value;
      else if (field.required) missing.push(field);
    }
    Object.assign(body.dynamicVariables, values);
    if (!missing.length) return;
    const names = missing.map((field) => field.label || field.name).join(', ');
    throw Object.assign(new CallError('VALIDATION', `Please fill in: ${names}.`), { fields: missing.map((f) => f.name) });
  }

  // The microphone comes first: a refused one must not cost a place in a call or in the line.
  async _openAudio(attempt) {
    attempt.audio = new AudioDesk(this._sinkId);   // before any await, while the click still counts as a gesture
    const stream = await openMicrophone(this.options, this._micId);
    if (attempt.closed) { stopTracks(stream); throw ABORTED; }
    this._useStream(attempt, stream);
    attempt.levelTimer = setInterval(() => this.emit('level', attempt.audio.levels()), 50);
  }

  _useStream(attempt, stream) {
    attempt.stream = stream;
    attempt.audio.attachMic(stream);
    const [track] = stream.getAudioTracks();
    track.enabled = !this.muted && this.state !== 'QUEUED';
    track.onended = () => this._warn(new CallError('MIC_LOST'));
    this.emit('devices');
  }

  async _requestGrant(attempt, body) {
    const answer = await requestSession(this.options, body, attempt.abort.signal);
    attempt.guard();
    if (!answer.queued) return answer;
    attempt.stream.getAudioTracks()[0].enabled = false;   // nobody listens to a person in line
    this._setQueue({ queuePosition: answer.queuePosition });
    attempt.hub = new QueueHub(this.options, answer.uniqueRequestId, (data) => {
      this._setQueue({ queuePosition: data.position, etaSeconds: data.etaSeconds, ahead: data.ahead });
    });
    const grant = await attempt.hub.wait();
    attempt.guard();
    if (!grant.webSocketUrl) throw new CallError('BAD_RESPONSE');
    this._setState('CONNECTING');
    attempt.stream.getAudioTracks()[0].enabled = !this.muted;
    return grant;
  }

  _setQueue(place) {
    this._setState('QUEUED', place);
    this.emit('queue', place);
  }

  async _connect(attempt, grant) {
    const Call = this.options.transportType === WEBSOCKET ? WsCall : RtcCall;
    attempt.connected = deferred();
    const alive = (fn) => (value) => { if (!attempt.closed) fn(value); };
    attempt.call = new Call({
      options: this.options, stream: attempt.stream, audio: attempt.audio, grant,
      onConnected: alive(() => this._onConnected(attempt)),
      onReconnecting: alive((on) => this._onReconnecting(on)),
      onSession: alive((message) => { this.sessionId = message.sessionId; this.emit('session', message); }),
      onMessage: alive((data) => this.emit('message', { type: 'text', data })),
      onHangup: alive(() => this._end(attempt, 'remote')),
      onFail: alive((err) => this._fail(attempt, err)),
      onWarning: alive((err) => this._warn(err)),
      onBlocked: alive((blocked) => this.emit('blocked', blocked))
    });
    await attempt.call.open();
    attempt.guard();
    await attempt.connected.promise;
  }

  _onConnected(attempt) {
    attempt.connectedAt = Date.now();
    attempt.statsTimer = setInterval(() => this._emitStats(attempt), 1000);
    this._setState('CONNECTED');
    attempt.connected.resolve();
  }

  _onReconnecting(on) {
    if (this.state !== 'CONNECTED' || Boolean(this._status.reconnecting) === on) return;
    this._setState('CONNECTED', on ? { reconnecting: true } : undefined);
  }

  async _emitStats(attempt) {
    const stats = await attempt.call.stats().catch(() => null);
    if (stats && !attempt.closed) this.emit('stats', attempt.lastStats = stats);
  }

  _end(attempt, reason) {
    if (!attempt) { if (this.state === 'ERROR') this._setState('IDLE'); return; }
    if (attempt.closed) return;
    const durationMs = attempt.connectedAt ? Date.now() - attempt.connectedAt : 0;
    this._release(attempt);
    this._setState('IDLE', { reason, durationMs });
    this.emit('ended', { reason, durationMs });
  }

  _fail(attempt, err) {
    const error = err instanceof CallError ? err : new CallError('INTERNAL', err.message);
    this._release(attempt);
    const data = { code: error.code, message: error.message };
    if (error.fields) data.fields = error.fields;
    this._setState('ERROR', data);
    this.emit('error', Object.assign({ fatal: true }, data));
  }

  _release(attempt) {
    attempt.dispose();
    if (this._attempt === attempt) this._attempt = null;
    root.removeEventListener('pagehide', this._onPageHide);
    this.emit('level', { mic: 0, agent: 0 });
    this.emit('blocked', false);
  }

  _warn(err) { this.emit('error', { code: err.code, message: err.message, fatal: false }); }

  // 'state' tells every change; 'stateChange' has the shape and the sparseness of the official widget.
  _setState(state, data) {
    const changed = state !== this.state;
    this._status = Object.assign({ state }, data);
    this.emit('state', this.status);
    if (changed) this.emit('stateChange', { state, data });
  }

  // -- during a call

  sendText(text) {
    const value = String(text);
    if (!this._call || this.state !== 'CONNECTED' || !value) return false;
    if (new TextEncoder().encode(value).length > TEXT_LIMIT_BYTES) {
      this._warn(new CallError('TEXT_TOO_LONG'));
      return false;
    }
    return this._call.sendText(value);
  }

  setMuted(muted) {
    this.muted = Boolean(muted);
    if (this.localStream && this.state !== 'QUEUED') {
      this.localStream.getAudioTracks().forEach((track) => { track.enabled = !this.muted; });
    }
    this.emit('muted', this.muted);
  }

  // Lets sound start after a browser held it back ('blocked' event); call from a click.
  unlockAudio() { if (this._attempt && this._attempt.audio) this._attempt.audio.unlock(); }

  restartIce() { return this._negotiate(true); }

  renegotiate() { return this._negotiate(false); }

  _negotiate(iceRestart) {
    if (this.state !== 'CONNECTED') return Promise.reject(new CallError('SIGNALLING', 'There is no call to renegotiate.'));
    return this._call.negotiate(iceRestart);
  }

  async getStats() { return this._call ? this._call.stats() : null; }

  // -- devices

  async listDevices() {
    if (!navigator.mediaDevices || !navigator.mediaDevices.enumerateDevices) return [];
    const all = await navigator.mediaDevices.enumerateDevices();
    return all.filter((device) => device.kind !== 'videoinput' && device.deviceId)
      .map(({ deviceId, kind, label }) => ({ deviceId, kind, label }));
  }

  // Takes a microphone or a speaker; also before a call, for the next one.
  async setDevice(deviceId, kind) {
    const device = (await this.listDevices()).find((d) => d.deviceId === deviceId && (!kind || d.kind === kind));
    if ((kind || (device && device.kind)) === 'audiooutput') return this._setSpeaker(deviceId);
    const attempt = this._attempt;
    if (!attempt || !attempt.stream) { this._micId = deviceId; return; }
    const stream = await openMicrophone(this.options, deviceId);
    if (attempt.closed) return stopTracks(stream);
    const old = attempt.stream;
    this._micId = deviceId;
    this._useStream(attempt, stream);
    if (attempt.call) { attempt.call.link.stream = stream; await attempt.call.replaceStream(stream); }
    stopTracks(old);
  }

  async _setSpeaker(deviceId) {
    this._sinkId = deviceId;
    if (this._attempt && this._attempt.audio) await this._attempt.audio.setSink(deviceId);
  }

  // -- view

  render() {
    if (this.view) return;
    const { container } = this.options;
    const host = typeof container === 'string' ? document.querySelector(container) : container;
    if (!host) throw new Error(`IqraWidget: no element matches ${container}`);
    this.view = new View(this, host);
  }

  destroy() {
    this.stop();
    if (this.view) this.view.remove();
    this.view = null;
    this._listeners.clear();
  }

  // -- names of the official widget

  startSession(payload) { return this.start(payload || {}); }

  hangUp() { this.stop(); }
}

IqraWidget.TransportType = { WebSocket: WEBSOCKET, WebRTC: WEBRTC };
IqraWidget.AudioEncodingType = ENCODINGS;

// ---- the view

const LABELS = {
  title: 'Voice assistant', call: 'Start call', cancel: 'Cancel', leave: 'Leave the line', end: 'End call', retry: 'Try again',
  idle: 'Ready when you are', validating: 'Opening the microphone\u2026', connecting: 'Connecting\u2026', queued: 'Waiting in line',
  connected: 'Connected', reconnecting: 'Reconnecting\u2026', error: 'Call not connected', ended: 'Call ended',
  hungUp: 'The agent ended the call', you: 'You', agent: 'Agent', mute: 'Mute', unmute: 'Unmute', devices: 'Devices',
  microphone: 'Microphone', speaker: 'Speaker', systemDefault: 'System default', position: 'Your place in line',
  next: 'You are next', eta: 'About {time} to wait', chat: 'Messages', chatHint: 'Write a message', send: 'Send',
  chatEmpty: 'You can also write to the agent here.',
  unlock: 'Turn on sound', quality: 'Connection', good: 'Good', fair: 'Fair', poor: 'Poor', unknown: 'Measuring\u2026',
  rtt: 'Round trip', loss: 'Loss', jitter: 'Jitter', codec: 'Codec', path: 'Path', relay: 'Relayed', direct: 'Direct', optional: '(optional)'
};

const ICONS = {
  phone: 'M5 4h4l2 5-2.5 1.5a11 11 0 0 0 5 5L15 13l5 2v4a2 2 0 0 1-2 2A16 16 0 0 1 3 6a2 2 0 0 1 2-2Z',
  mic: 'M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM6 11a6 6 0 0 0 12 0M12 17v4',
  micOff: 'M4 4l16 16M9 9v2a3 3 0 0 0 4.5 2.6M15 11V6a3 3 0 0 0-5.8-1M6 11a6 6 0 0 0 9.3 5M18 11a6 6 0 0 1-.4 2.2M12 17v4',
  sliders: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4',
  send: 'M5 12h13M12 5l7 7-7 7',
  alert: 'M12 8v5M12 16.5v.01M12 3l9.5 17h-19Z'
};

const DARK = `--bg:#121917;--raise:#1a2320;--ink:#eef4f1;--muted:#9cafa7;--line:#2b3733;--field:#66776f;--accent:#45d6a2;
  --on-accent:#04241a;--glow:#45d6a233;--you:#f2b45c;--danger:#cd3d34;--alert-bg:#34191a;--alert-ink:#ffb9b3;--warn:#f2b45c;--shadow:0 18px 50px #0009;color-scheme:dark`;
const LIGHT = `--bg:#fffefb;--raise:#f3f5f0;--ink:#15211d;--muted:#586761;--line:#e2e4dc;--field:#7d8b84;--accent:#08704f;
  --on-accent:#ffffff;--glow:#08704f26;--you:#b45f06;--danger:#b8322a;--alert-bg:#fdeceb;--alert-ink:#8c1d18;--warn:#8f5600;--shadow:0 18px 50px #15211d1f;color-scheme:light`;

const CSS = `
  :host{display:block;${LIGHT}}
  @media (prefers-color-scheme:dark){:host{${DARK}}}
  :host([data-theme=light]){${LIGHT}} :host([data-theme=dark]){${DARK}}
  *{box-sizing:border-box} [hidden]{display:none!important}
  .card{font:400 16px/1.45 var(--iqra-font,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif);
    width:100%;max-width:var(--iqra-width,420px);margin:0 auto;padding:20px;color:var(--ink);background:var(--iqra-background,var(--bg));
    border:1px solid var(--line);border-radius:var(--iqra-radius,22px);box-shadow:var(--shadow);text-align:start;
    --accent-now:var(--iqra-accent,var(--accent));--on-now:var(--iqra-on-accent,var(--on-accent))}
  p,dl,dd{margin:0} button,input,select,textarea{font:inherit;color:inherit}
  .sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
  :focus-visible{outline:3px solid var(--accent-now);outline-offset:2px}
  svg{width:20px;height:20px;fill:none;stroke:currentColor;stroke-width:1.9;stroke-linecap:round;stroke-linejoin:round;flex:none}
  .stage{display:grid;justify-items:center;gap:2px;padding:14px 0 16px;text-align:center}
  .orb{position:relative;width:100px;height:100px;margin:14px 0 24px;display:grid;place-items:center}
  .orb i{position:absolute;inset:0;border-radius:50%;transition:transform .12s linear,opacity .3s}
  .orb .far{background:var(--glow)} .orb .near{border:2px solid var(--you);opacity:0}
  .orb .core{background:linear-gradient(150deg,color-mix(in srgb,var(--accent-now),#fff 16%),var(--accent-now) 60%)}
  .bars{position:relative;display:flex;gap:6px;height:44px;align-items:center}
  .bars b{width:6px;height:16%;border-radius:3px;background:var(--on-now);transition:height .09s linear}
  [data-state=CONNECTED] .orb .near{opacity:.75}
  [data-state=IDLE] .orb .far{transform:scale(1.1)}
  [data-state=ERROR] .orb .core{background:var(--field)} [data-state=ERROR] .orb .far{opacity:0}
  .title{font-size:20px;font-weight:650;letter-spacing:-.01em}
  .status{display:flex;align-items:center;justify-content:center;gap:8px;min-height:24px;color:var(--muted)}
  .dot{width:9px;height:9px;border-radius:50%;background:var(--field);flex:none}
  [data-state=CONNECTED] .dot{background:var(--accent-now)}
  .busy .dot,[data-state=QUEUED] .dot{background:var(--warn);animation:pulse 1.2s ease-in-out infinite}
  [data-state=ERROR] .dot{background:var(--danger)}
  .busy .orb .far,[data-state=QUEUED] .orb .far{animation:breathe 1.8s ease-in-out infinite}
  @keyframes pulse{50%{opacity:.3}} @keyframes breathe{50%{transform:scale(1.28)}}
  .time{font-variant-numeric:tabular-nums;color:var(--ink);font-weight:600}
  .alert{display:flex;gap:10px;align-items:flex-start;margin:0 0 14px;padding:11px 13px;border-radius:13px;background:var(--alert-bg);color:var(--alert-ink);font-size:15px}
  .alert svg{margin-top:1px}
  .fields{display:grid;gap:12px;margin:0 0 16px}
  .field{display:grid;gap:5px} .field label{font-size:14px;font-weight:550}
  .field label em{font-style:normal;font-weight:400;color:var(--muted)}
  input,select,textarea{width:100%;min-width:0;min-height:46px;padding:10px 13px;border:1px solid var(--field);border-radius:12px;background:var(--bg)}
  input::placeholder,textarea::placeholder{color:var(--muted);opacity:1}
  [aria-invalid=true]{border-color:var(--danger);box-shadow:0 0 0 1px var(--danger)}
  .queue{margin:0 0 16px;padding:16px;border-radius:16px;background:var(--raise);text-align:center}
  .queue strong{display:block;font-size:46px;line-height:1.1;font-weight:680;letter-spacing:-.03em;font-variant-numeric:tabular-nums}
  .queue span{color:var(--muted);font-size:15px}
  .meters{display:grid;gap:10px;margin:0 0 16px}
  .meter{display:grid;grid-template-columns:64px 1fr;gap:10px;align-items:center;font-size:14px;color:var(--muted)}
  .track{height:8px;border-radius:4px;background:var(--line);overflow:hidden}
  .track div{height:100%;border-radius:4px;background:var(--accent-now);transform:scaleX(0);transform-origin:0 50%;transition:transform .08s linear}
  .mine .track div{background:var(--you)} .muted .mine .track div{background:var(--field)}
  :host(:dir(rtl)) .track div{transform-origin:100% 50%}
  .actions{display:flex;gap:10px}
  .actions button{min-height:52px;border-radius:16px;border:1px solid transparent;cursor:pointer;display:inline-flex;align-items:center;justify-content:center;gap:9px;font-weight:600}
  .main{flex:1;background:var(--accent-now);color:var(--on-now)} .main:hover{filter:brightness(1.07)}
  .main.stop{background:var(--danger);color:#fff} .main.stop svg{transform:rotate(135deg)}
  .side{width:52px;flex:none;background:var(--raise);color:var(--ink);border-color:var(--line)!important}
  .side:hover{border-color:var(--field)!important} .side[aria-pressed=true],.side[aria-expanded=true]{background:var(--ink);color:var(--bg)}
  .plain{width:100%;min-height:46px;margin:0 0 14px;border:1px solid var(--accent-now);border-radius:13px;background:none;color:var(--accent-now);font-weight:600;cursor:pointer}
  .panel{display:grid;gap:12px;margin-top:14px;padding:14px;border-radius:16px;background:var(--raise)}
  .chat{margin:0 0 16px;border:1px solid var(--line);border-radius:16px;overflow:hidden}
  .log{height:148px;overflow-y:auto;overscroll-behavior:contain;padding:12px;display:flex;flex-direction:column;gap:7px;font-size:15px}
  .log p{max-width:86%;padding:7px 12px;border-radius:14px;background:var(--raise);overflow-wrap:anywhere;white-space:pre-wrap;align-self:flex-start;border-end-start-radius:4px}
  .log .me{align-self:flex-end;background:var(--accent-now);color:var(--on-now);border-radius:14px;border-end-end-radius:4px}
  .log .note{align-self:center;background:none;color:var(--muted);font-size:13px;padding:2px 8px;text-align:center}
  .write{display:flex;border-top:1px solid var(--line)}
  .write input{border:0;border-radius:0;min-height:48px} .write input:focus-visible,.log:focus-visible{outline-offset:-3px;border-radius:13px}
  .write button{width:52px;flex:none;border:0;background:none;color:var(--accent-now);cursor:pointer;border-radius:0 0 15px 0}
  .write button:focus-visible{outline-offset:-4px} .write button:disabled{color:var(--field);cursor:default}
  .net{margin-top:14px;font-size:14px;color:var(--muted)}
  .net summary{display:flex;align-items:center;gap:9px;cursor:pointer;list-style:none;border-radius:8px;min-height:28px}
  .net summary::-webkit-details-marker{display:none} .net summary b{font-weight:600;color:var(--ink)}
  .net summary::after{content:"";width:7px;height:7px;margin-inline-start:auto;margin-inline-end:4px;border:solid;border-width:0 2px 2px 0;transform:rotate(45deg) translate(-2px,-2px)}
  .net[open] summary::after{transform:rotate(-135deg) translate(-2px,-2px)}
  .wave{display:flex;align-items:flex-end;gap:3px;height:16px} .wave i{width:4px;border-radius:2px;background:var(--line)}
  .wave i:nth-child(1){height:6px}.wave i:nth-child(2){height:11px}.wave i:nth-child(3){height:16px}
  [data-q=good] i,[data-q=fair] i:nth-child(-n+2){background:var(--accent-now)} [data-q=fair] i:nth-child(-n+2){background:var(--warn)} [data-q=poor] i:first-child{background:var(--danger)}
  .net dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(88px,1fr));gap:10px;padding:10px 0 2px}
  .net dt{font-size:12px} .net dd{color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}
  @media (prefers-reduced-motion:reduce){*{animation:none!important;transition:none!important}}
  @media (forced-colors:active){.track div,.bars b,.dot,.wave i{background:CanvasText}.track{border:1px solid}.main,.side{border:1px solid!important}}
  @media (max-width:480px){.card{padding:16px} .stage{padding:6px 0 14px} .orb{width:84px;height:84px;margin-bottom:20px} .bars{height:36px}}
`;

// el('p.status', {attributes}, ...children). Text only, never markup.
function el(spec, attributes, ...children) {
  const [tag, ...classes] = spec.split('.');
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(' ');
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith('on')) node[key] = value;
    else if (value === true) node.setAttribute(key, '');
    else if (value !== false && value !== undefined && value !== null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

// Constructed style sheets pass a Content-Security-Policy without 'unsafe-inline'.
function addStyles(shadow) {
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    shadow.adoptedStyleSheets = [sheet];
  } catch (err) {
    shadow.append(el('style', null, CSS));
  }
}

function clock(ms) {
  const total = Math.floor(ms / 1000);
  const parts = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return (parts[0] ? parts : parts.slice(1)).map((n) => String(n).padStart(2, '0')).join(':');
}

const show = (node, visible) => { node.hidden = !visible; };
const BUSY = ['VALIDATING', 'CONNECTING'];

class View {
  constructor(widget, container) {
    this.widget = widget;
    this.text = Object.assign({}, LABELS, { title: widget.options.title || LABELS.title }, widget.options.labels);
    this.host = el('div', { 'data-theme': widget.options.theme });
    this.shadow = this.host.attachShadow({ mode: 'open' });
    addStyles(this.shadow);
    this.shadow.append(this._build());
    container.append(this.host);
    this._listen();
    this._onState(widget.status);
    this._onMuted(widget.muted);
  }

  remove() {
    clearInterval(this.clockTimer);
    for (const [name, fn] of this.bound) this.widget.off(name, fn);
    if (this.onDeviceChange) navigator.mediaDevices.removeEventListener('devicechange', this.onDeviceChange);
    this.host.remove();
  }

  values() {
    const values = {};
    for (const { field, input } of this.inputs) values[field.name] = input.type === 'checkbox' ? String(input.checked) : input.value;
    return values;
  }

  // -- construction

  _build() {
    const { text } = this;
    this.card = el('section.card', { role: 'region', 'aria-label': text.title, part: 'card' },
      this._buildStage(),
      this.alert = el('div.alert', { role: 'alert', hidden: true }),
      this._buildFields(),
      this.queue = el('div.queue', { hidden: true }, el('span', null, text.position),
        this.place = el('strong'), this.eta = el('span')),
      this.unlock = el('button.plain', { type: 'button', hidden: true, onclick: () => this.widget.unlockAudio() }, text.unlock),
      this._buildMeters(), this._buildChat(), this._buildActions(), this._buildDevices(), this._buildQuality());
    return this.card;
  }

  _buildStage() {
    this.barNodes = [0, 1, 2, 3, 4].map(() => el('b'));
    return el('div.stage', null,
      el('div.orb', { 'aria-hidden': 'true' }, this.far = el('i.far'), this.near = el('i.near'), el('i.core'),
        el('div.bars', null, ...this.barNodes)),
      el('p.title', null, this.text.title),
      el('p.status', null, el('span.dot', { 'aria-hidden': 'true' }),
        this.status = el('span', { role: 'status', 'aria-live': 'polite' }),
        this.time = el('span.time', { role: 'timer', 'aria-live': 'off', hidden: true })));
  }

  _buildFields() {
    this.inputs = this.widget.options.formFields.map((field) => ({ field, input: this._input(field) }));
    const rows = this.inputs.map(({ field, input }) => (field.type === 'hidden' ? input : el('div.field', null,
      el('label', { for: input.id }, field.label || field.name, field.required ? null : el('em', null, ` ${this.text.optional}`)), input)));
    this.form = el('form.fields', { novalidate: true, onsubmit: (event) => { event.preventDefault(); this._start(); } }, ...rows);
    return this.form;
  }

  _input(field) {
    const shared = { id: `iqra-${field.name}`, name: field.name, required: field.required, 'aria-required': field.required ? 'true' : null };
    const tag = field.type === 'select' || field.type === 'textarea' ? field.type : 'input';
    const input = el(tag, Object.assign(shared, tag === 'input' ? { type: field.type } : null,
      { placeholder: field.placeholder, autocomplete: field.autocomplete }));
    for (const option of field.options || []) {
      const { value, label } = typeof option === 'object' ? option : { value: option, label: option };
      input.append(el('option', { value }, label));
    }
    if (field.value !== undefined) input.value = field.value;
    input.oninput = () => input.removeAttribute('aria-invalid');
    input.onkeydown = (event) => {
      if (event.key === 'Enter' && tag === 'input' && !event.isComposing) { event.preventDefault(); this._start(); }
    };
    return input;
  }

  _meter(label, kind) {
    const bar = el('div');
    const node = el('div.meter' + kind, null, el('span', { 'aria-hidden': 'true' }, label),
      el('div.track', { role: 'meter', 'aria-label': `${label}: level`, 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': 0 }, bar));
    return { node, bar, track: bar.parentNode };
  }

  _buildMeters() {
    this.mine = this._meter(this.text.you, '.mine');
    this.theirs = this._meter(this.text.agent, '');
    return (this.meters = el('div.meters', { hidden: true }, this.mine.node, this.theirs.node));
  }

  _buildChat() {
    const { text } = this;
    this.log = el('div.log', { role: 'log', 'aria-label': text.chat, 'aria-live': 'polite', tabindex: '0' });
    this.write = el('input', { type: 'text', 'aria-label': text.chatHint, placeholder: text.chatHint, autocomplete: 'off', maxlength: 16000, enterkeyhint: 'send' });
    this.sendButton = el('button', { type: 'submit', 'aria-label': text.send }, icon('send'));
    return (this.chat = el('div.chat', { hidden: true }, this.log,
      el('form.write', { onsubmit: (event) => { event.preventDefault(); this._send(); } }, this.write, this.sendButton)));
  }

  _buildActions() {
    this.mute = el('button.side', { type: 'button', onclick: () => this.widget.setMuted(!this.widget.muted) });
    this.main = el('button.main', { type: 'button', onclick: () => this._toggle() });
    this.more = el('button.side', {
      type: 'button', 'aria-label': this.text.devices, title: this.text.devices, 'aria-expanded': 'false', 'aria-controls': 'iqra-devices',
      onclick: () => this._toggleDevices()
    }, icon('sliders'));
    return el('div.actions', null, this.mute, this.main, this.more);
  }

  _buildDevices() {
    const { text, widget } = this;
    const failed = (err) => this._alert(err.message);
    this.micSelect = el('select', { id: 'iqra-mic', onchange: (e) => widget.setDevice(e.target.value, 'audioinput').catch(failed) });
    this.speakerSelect = el('select', { id: 'iqra-speaker', onchange: (e) => widget.setDevice(e.target.value, 'audiooutput').catch(failed) });
    this.speakerRow = el('div.field', null, el('label', { for: 'iqra-speaker' }, text.speaker), this.speakerSelect);
    return (this.panel = el('div.panel', { id: 'iqra-devices', hidden: true, role: 'group', 'aria-label': text.devices },
      el('div.field', null, el('label', { for: 'iqra-mic' }, text.microphone), this.micSelect), this.speakerRow));
  }

  _buildQuality() {
    this.numbers = {};
    const list = el('dl', null, ...['rtt', 'loss', 'jitter', 'codec', 'path'].map((key) =>
      el('div', null, el('dt', null, this.text[key]), this.numbers[key] = el('dd', null, '\u2013'))));
    this.signal = el('span.wave', { 'aria-hidden': 'true' }, el('i'), el('i'), el('i'));
    return (this.net = el('details.net', { hidden: true },
      el('summary', null, this.signal, el('span', null, `${this.text.quality}: `, this.grade = el('b'))), list));
  }

  // -- events

  _listen() {
    this.bound = Object.entries({
      state: (status) => this._onState(status), queue: () => this._onQueue(), message: (message) => this._onMessage(message),
      level: (levels) => this._onLevel(levels), stats: (stats) => this._onStats(stats), muted: (muted) => this._onMuted(muted),
      error: (error) => { if (!error.fatal) this._alert(error.message); },
      blocked: (blocked) => show(this.unlock, blocked), devices: () => this._fillDevices()
    });
    for (const [name, fn] of this.bound) this.widget.on(name, fn);
    if (!navigator.mediaDevices || !navigator.mediaDevices.addEventListener) return;
    this.onDeviceChange = () => this._fillDevices();
    navigator.mediaDevices.addEventListener('devicechange', this.onDeviceChange);
  }

  _onState(status) {
    const { state } = status;
    const entered = state !== this.shown;
    if (entered) this.said = null;
    this.shown = state;
    this.card.dataset.state = state;
    this.card.classList.toggle('busy', BUSY.includes(state) || Boolean(status.reconnecting));
    const words = this._words(status);
    if (entered || state === 'CONNECTED') this.status.textContent = words;
    const live = state === 'CONNECTED';
    const rest = state === 'IDLE' || state === 'ERROR';
    show(this.form, rest && this.inputs.length > 0);
    show(this.queue, state === 'QUEUED');
    [this.meters, this.net, this.time, this.mute].forEach((node) => show(node, live));
    show(this.chat, live || (rest && this.log.childElementCount > 1));
    this.write.disabled = this.sendButton.disabled = !live;
    this._label(state);
    if (state === 'ERROR') this._failed(status);
    else if (entered) this._alert('');
    if (entered && state === 'VALIDATING') this.log.replaceChildren(el('p.note', null, this.text.chatEmpty));
    if (entered && live) this._enterCall();
    if (!live) clearInterval(this.clockTimer);
    if (rest) this._onLevel({ mic: 0, agent: 0 });
  }

  _words(status) {
    if (status.reconnecting) return this.text.reconnecting;
    if (status.state !== 'IDLE' || !status.reason) return this.text[status.state.toLowerCase()];
    const words = status.reason === 'remote' ? this.text.hungUp : this.text.ended;
    return status.durationMs ? `${words} \u00b7 ${clock(status.durationMs)}` : words;
  }

  // One button for start, cancel and end, so that the keyboard focus stays where it was.
  _label(state) {
    const { text } = this;
    const rest = state === 'IDLE' || state === 'ERROR';
    const words = { IDLE: text.call, ERROR: text.retry, QUEUED: text.leave, CONNECTED: text.end }[state] || text.cancel;
    if (this.main.textContent === words) return;
    this.main.replaceChildren(icon('phone'), words);
    this.main.classList.toggle('stop', !rest);
  }

  _toggle() {
    if (this.shown === 'IDLE' || this.shown === 'ERROR') this._start();
    else this.widget.stop();
  }

  _start() {
    const wrong = this.inputs.find(({ input }) => !input.checkValidity());
    this.inputs.forEach(({ input }) => input.setAttribute('aria-invalid', String(!input.checkValidity())));
    if (wrong) {
      this._alert(`${wrong.field.label || wrong.field.name}: ${wrong.input.validationMessage}`);
      return wrong.input.focus();
    }
    this._alert('');
    this.widget.start(this.values());
  }

  _failed(status) {
    this._alert(status.message);
    for (const { field, input } of this.inputs) {
      if (status.fields && status.fields.includes(field.name)) input.setAttribute('aria-invalid', 'true');
    }
  }

  _enterCall() {
    this._onStats(null);
    const tick = () => { this.time.textContent = clock(Date.now() - this.widget.connectedAt); };
    tick();
    clearInterval(this.clockTimer);
    this.clockTimer = setInterval(tick, 500);
  }

  _alert(message) {
    show(this.alert, Boolean(message));
    if (message) this.alert.replaceChildren(icon('alert'), el('span', null, message));
  }

  _onQueue() {
    const { queuePosition, etaSeconds } = this.widget.status;
    const first = queuePosition === 1;
    this.place.textContent = queuePosition || '\u2013';
    this.eta.textContent = etaSeconds > 0 ? this.text.eta.replace('{time}', duration(Math.round(etaSeconds))) : first ? this.text.next : '';
    // Said once per move, not per second of the estimate; the number itself is on the screen already.
    if (this.said !== queuePosition) this.status.replaceChildren(this.text.queued, el('span.sr', null, `: ${queuePosition}`));
    this.said = queuePosition;
  }

  _onMuted(muted) {
    const { text } = this;
    this.card.classList.toggle('muted', muted);
    this.mute.setAttribute('aria-pressed', String(muted));
    this.mute.setAttribute('aria-label', text.mute);
    this.mute.title = muted ? text.unmute : text.mute;
    this.mute.replaceChildren(icon(muted ? 'micOff' : 'mic'));
  }

  _onLevel({ mic, agent }) {
    this.mine.bar.style.transform = `scaleX(${mic.toFixed(3)})`;
    this.theirs.bar.style.transform = `scaleX(${agent.toFixed(3)})`;
    this.far.style.transform = this.shown === 'CONNECTED' ? `scale(${(1.08 + agent * 0.24).toFixed(3)})` : '';
    this.near.style.transform = `scale(${(1.02 + mic * 0.2).toFixed(3)})`;
    [0.55, 0.85, 1, 0.8, 0.5].forEach((weight, index) => {
      this.barNodes[index].style.height = `${Math.round(16 + 84 * agent * weight * (0.72 + 0.28 * Math.random()))}%`;
    });
    const now = Date.now();
    if (now - (this.meterAt || 0) < 1000) return;
    this.meterAt = now;
    this.mine.track.setAttribute('aria-valuenow', Math.round(mic * 100));
    this.theirs.track.setAttribute('aria-valuenow', Math.round(agent * 100));
  }

  _onStats(stats) {
    const s = stats || { quality: 'unknown', rttMs: null, jitterMs: null };
    const ms = (value) => (value === null || value === undefined ? '\u2013' : `${Math.round(value)} ms`);
    this.signal.dataset.q = s.quality;
    this.grade.textContent = this.text[s.quality] + (s.rttMs ? ` \u00b7 ${ms(s.rttMs)}` : '');
    this.numbers.rtt.textContent = ms(s.rttMs);
    this.numbers.jitter.textContent = ms(s.jitterMs);
    this.numbers.loss.textContent = s.lossPercent === undefined ? '\u2013' : `${s.lossPercent} %`;
    this.numbers.codec.textContent = s.codec || '\u2013';
    const relayed = s.localCandidateType === 'relay' || s.remoteCandidateType === 'relay';
    this.numbers.path.textContent = s.localCandidateType ? (relayed ? this.text.relay : this.text.direct) : '\u2013';
  }

  // -- chat

  _send() {
    const value = this.write.value.trim();
    if (!value || !this.widget.sendText(value)) return;
    this._say(value, 'me', this.text.you);
    this.write.value = '';
  }

  // The gateway's greeting on the data channel is for programs.
  _onMessage({ data }) {
    if (!/backend connected\s*$/i.test(data)) this._say(data, 'them', this.text.agent);
  }

  _say(words, kind, who) {
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 40;
    this.log.append(el(`p.${kind}`, null, who ? el('span.sr', null, `${who}: `) : null, words));
    while (this.log.childElementCount > 200) this.log.firstChild.remove();
    if (atEnd || kind === 'me') this.log.scrollTop = this.log.scrollHeight;
  }

  // -- devices

  _toggleDevices() {
    const open = this.panel.hidden;
    show(this.panel, open);
    this.more.setAttribute('aria-expanded', String(open));
    if (open) this._fillDevices();
  }

  async _fillDevices() {
    if (this.panel.hidden) return;
    const devices = await this.widget.listDevices().catch(() => []);
    const fill = (select, kind, chosen) => {
      const found = devices.filter((device) => device.kind === kind && device.deviceId !== 'default');
      select.replaceChildren(el('option', { value: '' }, this.text.systemDefault),
        ...found.map((device, index) => el('option', { value: device.deviceId }, device.label || `${select.labels[0].textContent} ${index + 1}`)));
      select.value = found.some((device) => device.deviceId === chosen) ? chosen : '';
      return found.length;
    };
    fill(this.micSelect, 'audioinput', this.widget._micId);
    const speakers = fill(this.speakerSelect, 'audiooutput', this.widget._sinkId);
    show(this.speakerRow, speakers > 0 && 'setSinkId' in HTMLMediaElement.prototype);
  }
}

// ---- the script tag

const ATTRIBUTES = {
  middlewareUrl: 'text', campaignId: 'text', regionId: 'text', transportType: 'text', clientIdentifier: 'text', title: 'text',
  theme: 'text', codecPreference: 'list', iceTransportPolicy: 'text', formFields: 'json', dynamicVariables: 'json',
  metadata: 'json', audioConfig: 'json', audioConstraints: 'json', headers: 'json', iceServers: 'json', labels: 'json'
};

function tagOptions(data) {
  const options = {};
  for (const [name, kind] of Object.entries(ATTRIBUTES)) {
    if (data[name] === undefined) continue;
    if (kind === 'text') options[name] = data[name];
    else if (kind === 'list') options[name] = data[name].split(',').map((item) => item.trim());
    else options[name] = parseJson(data[name]);
    if (options[name] === null) console.error(`IqraWidget: data-${name} is not valid JSON`);
  }
  return options;
}

// data-container names the place; without it the widget stands where the tag stands.
function fromTag(tag) {
  const data = tag.dataset;
  const options = tagOptions(data);
  options.container = data.container && document.querySelector(data.container);
  if (!options.container) {
    if (data.container) console.error(`IqraWidget: no element matches ${data.container}`);
    options.container = el('div');
    tag.parentNode === document.head ? document.body.append(options.container) : tag.after(options.container);
  }
  root[data.name || 'iqraWidget'] = new IqraWidget(options);
}

const tag = root.document && document.currentScript;
const scriptOrigin = tag && tag.src ? new URL(tag.src, location.href).origin : root.location ? location.origin : '';

root.IqraWidget = IqraWidget;
// The official widget's entry point and its default transport, so that a page changes only its script tag.
root.VoiceAiWidget = { init: (options) => new IqraWidget(Object.assign({ transportType: WEBSOCKET }, options)) };
if (typeof module === 'object' && module.exports) module.exports = IqraWidget;
if (!tag || !tag.dataset.campaignId) return;
if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', () => fromTag(tag));
else fromTag(tag);
}(globalThis));
