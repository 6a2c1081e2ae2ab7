// SPDX-License-Identifier: Apache-2.0
// A call by WebSocket, without a peer connection.

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
