// SPDX-License-Identifier: Apache-2.0
// The widget: the public face, and the life of an attempt.

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
