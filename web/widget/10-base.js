// SPDX-License-Identifier: Apache-2.0
//
// The voice widget: one plain script, no framework, no build step, no request to anybody but the gateway.
//
//   start() -> microphone -> POST /api/session/request -> 200 grant ----------------------> RtcCall | WsCall
//                                                     \-> 202 queued -> QueueHub (SignalR) -/
//
// The files of this folder, in the order of their numbers, are served as one /widget.js inside
// (function (root) { 'use strict'; ... }(globalThis)). docs/embed.md is the manual.

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
