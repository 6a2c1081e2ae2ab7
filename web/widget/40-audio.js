// SPDX-License-Identifier: Apache-2.0
// What is heard and how loud.

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
