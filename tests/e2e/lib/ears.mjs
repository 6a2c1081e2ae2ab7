// SPDX-License-Identifier: Apache-2.0
// Functions that run in the page, before anything else there: they keep what the page makes, and listen to what arrives.
// Each is sent as its text, so none may use a name from outside itself.

export function keepPeers() {
  const Native = window.RTCPeerConnection;
  window.testPeers = [];
  window.RTCPeerConnection = class extends Native {
    constructor(config, ...rest) {
      super({ ...config, ...(window.testRtcConfig ?? {}) }, ...rest);
      window.testPeers.push(this);
      this.addEventListener('track', (event) => {
        window.testStream = event.streams[0] ?? new MediaStream([event.track]);
      });
    }
  };
}

// Keeps the sockets. With window.testRelay, signalling is changed on its way so that all media goes through a relay:
// the gateway learns no candidate of the page, and the page learns the relay's address instead of the gateway's.
export function keepSockets() {
  const Native = window.WebSocket;
  window.testSockets = [];
  const candidates = /a=(candidate:.*)\r\n/g;
  const rewrite = async (candidate) => {
    const fields = candidate.split(' ');
    if (fields[2].toLowerCase() !== 'udp' || fields[4] !== window.testRelay.address || fields[7] !== 'host') return null;
    fields[5] = String(await window.testRelayPort(Number(fields[5])));
    return fields.join(' ');
  };
  const rewriteSdp = async (sdp) => {
    const found = await Promise.all([...sdp.matchAll(candidates)].map((match) => rewrite(match[1])));
    return sdp.replace(candidates, '').replace(/\r\n$/, '') + found.filter(Boolean).map((c) => `\r\na=${c}`).join('') + '\r\n';
  };
  const incoming = async (data) => {
    const message = JSON.parse(data);
    if (message.type === 'answer') message.sdp = await rewriteSdp(message.sdp);
    if (message.candidate?.candidate) message.candidate.candidate = await rewrite(message.candidate.candidate);
    return message.candidate && !message.candidate.candidate ? null : JSON.stringify(message);
  };
  window.WebSocket = class extends Native {
    constructor(...args) {
      super(...args);
      window.testSockets.push(this);
      this.testOrder = Promise.resolve();
    }

    send(data) {
      if (!window.testRelay) return super.send(data);
      const message = JSON.parse(data);
      if (message.candidate) return undefined;
      if (message.sdp) message.sdp = message.sdp.replace(candidates, '');
      return super.send(JSON.stringify(message));
    }

    set onmessage(listener) {
      if (!window.testRelay || !listener) {
        super.onmessage = listener;
        return;
      }
      super.onmessage = (event) => {
        const changed = incoming(event.data);
        this.testOrder = this.testOrder.then(() => changed).then((data) => data && listener({ data }));
      };
    }
  };
}

// window.testHear(): the loudest frequency of what is being heard, with its level.
// window.testRecord(ms): the level (RMS) of each 10 ms of what is heard from now on.
export function giveEars() {
  const listen = async () => {
    const audio = new Audio();
    audio.srcObject = window.testStream;
    audio.muted = true;
    audio.play().catch(() => {});
    const context = new AudioContext();
    await context.resume();
    const source = context.createMediaStreamSource(window.testStream);
    const analyser = context.createAnalyser();
    analyser.fftSize = 4096;
    source.connect(analyser);
    return { stream: window.testStream, source, analyser, context, audio };
  };
  const ears = () => {
    if (window.testEarsOf !== window.testStream) window.testEars = listen();
    window.testEarsOf = window.testStream;
    return window.testEars;
  };
  window.testHear = async () => {
    if (!window.testStream) return { hz: 0, db: -200 };
    const { analyser, context } = await ears();
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    let best = 1;
    for (let i = 2; i < bins.length; i++) if (bins[i] > bins[best]) best = i;
    return { hz: (best * context.sampleRate) / analyser.fftSize, db: bins[best] };
  };
  const recorder = `registerProcessor('test-recorder', class extends AudioWorkletProcessor {
    constructor() { super(); this.levels = []; this.n = 0; this.sum = 0; }
    process([[x]]) {
      for (let i = 0; i < 128; i++) {
        this.sum += x ? x[i] * x[i] : 0;
        if (++this.n < sampleRate / 100) continue;
        this.levels.push(Math.sqrt(this.sum / this.n)); this.n = this.sum = 0;
        if (this.levels.length === 10) { this.port.postMessage(this.levels); this.levels = []; }
      }
      return true;
    }
  })`;
  window.testRecord = async (ms) => {
    const { source, context } = await ears();
    const module = URL.createObjectURL(new Blob([recorder], { type: 'text/javascript' }));
    if (!context.testModule) context.testModule = context.audioWorklet.addModule(module);
    await context.testModule;
    const node = new AudioWorkletNode(context, 'test-recorder', { channelCount: 1, channelCountMode: 'explicit' });
    const levels = [];
    source.connect(node);
    await new Promise((resolve) => {
      node.port.onmessage = (event) => { if (levels.push(...event.data) * 10 >= ms) resolve(); };
    });
    node.port.onmessage = null;
    source.disconnect(node);
    return levels;
  };
}

// window.testStats(): the newest call's figures.
export function giveStats() {
  const take = {
    'inbound-rtp': (out, r) => Object.assign(out.in, { packets: r.packetsReceived, lost: r.packetsLost, jitter: r.jitter, energy: r.totalAudioEnergy, samples: r.totalSamplesReceived, concealed: r.concealedSamples, codecId: r.codecId }),
    'outbound-rtp': (out, r) => Object.assign(out.out, { packets: r.packetsSent, bytes: r.bytesSent }),
    'remote-inbound-rtp': (out, r) => { out.rttMs = r.roundTripTime * 1000; },
    'candidate-pair': (out, r) => { if (r.nominated) out.pair = { local: r.localCandidateId, remote: r.remoteCandidateId }; },
  };
  window.testStats = async () => {
    const out = { in: {}, out: {}, pair: {}, codec: '', at: performance.now() };
    const stats = await window.testPeers[window.testPeers.length - 1].getStats();
    stats.forEach((report) => take[report.type]?.(out, report));
    out.codec = stats.get?.(out.in.codecId)?.mimeType ?? '';
    out.localType = stats.get?.(out.pair.local)?.candidateType;
    return out;
  };
}
