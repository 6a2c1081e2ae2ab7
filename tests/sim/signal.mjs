// SPDX-License-Identifier: Apache-2.0
// Tones in and out of 16-bit PCM, for the fakes and the checks on what they heard.

// s16le samples of a sine, the same on each channel.
export function tone(rateHz, freqHz, ms, amplitude = 8000, channels = 1) {
  const n = Math.round((rateHz * ms) / 1000) * channels;
  const out = Buffer.alloc(n * 2);
  for (let i = 0; i < n; i++) out.writeInt16LE(Math.round(amplitude * Math.sin((2 * Math.PI * freqHz * Math.floor(i / channels)) / rateHz)), i * 2);
  return out;
}

// The share of a signal's energy at one frequency, 0 to 1 (Goertzel over the whole buffer).
export function toneShare(samples, rateHz, freqHz) {
  const w = (2 * Math.PI * freqHz) / rateHz;
  const c = 2 * Math.cos(w);
  let s1 = 0;
  let s2 = 0;
  let energy = 0;
  for (const x of samples) {
    const s0 = x + c * s1 - s2;
    s2 = s1;
    s1 = s0;
    energy += x * x;
  }
  if (energy === 0) return 0;
  const power = s1 * s1 + s2 * s2 - c * s1 * s2;
  return (2 * power) / (samples.length * energy);
}

export function rms(samples) {
  let energy = 0;
  for (const x of samples) energy += x * x;
  return samples.length ? Math.sqrt(energy / samples.length) : 0;
}

export function pcmSamples(buffer) {
  const out = new Int16Array(Math.floor(buffer.length / 2));
  for (let i = 0; i < out.length; i++) out[i] = buffer.readInt16LE(i * 2);
  return out;
}

// A 16-bit WAV file, as Chromium's fake microphone reads it.
export function wav(rateHz, pcm, channels = 1) {
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + pcm.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(channels, 22);
  head.writeUInt32LE(rateHz, 24);
  head.writeUInt32LE(rateHz * channels * 2, 28);
  head.writeUInt16LE(channels * 2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(pcm.length, 40);
  return Buffer.concat([head, pcm]);
}

// ITU-T G.711, expansion and compression, for agents that speak it.
function mulawSample(byte) {
  const u = ~byte & 0xff;
  const t = ((((u & 0x0f) << 3) + 0x84) << ((u & 0x70) >> 4)) - 0x84;
  return u & 0x80 ? -t : t;
}

function alawSample(byte) {
  const a = byte ^ 0x55;
  const segment = (a & 0x70) >> 4;
  const low = ((a & 0x0f) << 4) + 8;
  const t = segment ? (low + 0x100) << (segment - 1) : low;
  return a & 0x80 ? t : -t;
}

// The code whose expansion is nearest: slow, short, and right by construction.
function nearestCodes(expand) {
  const byValue = Array.from({ length: 256 }, (_, code) => [expand(code), code]).sort((a, b) => a[0] - b[0]);
  return (sample) => {
    let low = 0;
    let high = 255;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (byValue[middle][0] < sample) low = middle + 1;
      else high = middle;
    }
    const under = byValue[Math.max(0, low - 1)];
    return sample - under[0] < byValue[low][0] - sample ? under[1] : byValue[low][1];
  };
}

function g711(expand) {
  const compress = nearestCodes(expand);
  return {
    decode: (bytes) => Int16Array.from(bytes, expand),
    encode: (pcm) => Buffer.from(pcmSamples(pcm).map(compress)),
  };
}

// What an agent's bytes are: decode(bytes) -> samples, encode(s16le) -> bytes. The other encodings are echoed, not made.
export const ENCODINGS = {
  PCM: { decode: pcmSamples, encode: (pcm) => pcm, bytesPerSample: 2 },
  MULAW: { ...g711(mulawSample), bytesPerSample: 1 },
  ALAW: { ...g711(alawSample), bytesPerSample: 1 },
};
