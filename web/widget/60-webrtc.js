// SPDX-License-Identifier: Apache-2.0
// A call by WebRTC.

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
