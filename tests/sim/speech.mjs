// SPDX-License-Identifier: Apache-2.0
// Speech to send through a call, and the judgement on what came out at the other end: the level, the delay piece by
// piece, and holes. espeak-ng speaks, sox converts.
import { execFileSync } from 'node:child_process';
import { pcmSamples, rms } from './signal.mjs';

const RATE = 8000; // at which signals are compared
const PIECE = RATE * 0.4;
const FRAME = RATE / 100; // 10 ms
const RANGE = RATE * 0.06; // how far a piece may lie from where the whole lies

const raw = (rateHz) => ['-t', 'raw', '-r', String(rateHz), '-e', 'signed', '-b', '16', '-c', '1'];

function sox(input, rateHz, toHz, effects = []) {
  const options = { input, maxBuffer: 2 ** 26, stdio: ['pipe', 'pipe', 'ignore'] };
  return pcmSamples(execFileSync('sox', ['-V1', ...raw(rateHz), '-', ...raw(toHz), '-', ...effects], options));
}

export const pcmBytes = (samples) => Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);

// A sentence that peaks at -4 dBFS, with a pause before and after: {samples, rateHz}, as everywhere here.
export function speech(rateHz, text, voice = 'en') {
  const spoken = execFileSync('espeak-ng', ['-v', voice, '--stdout', text], { maxBuffer: 2 ** 26 }).subarray(44);
  return { samples: sox(spoken, 22050, rateHz, ['norm', '-4', 'pad', '0.3', '0.3']), rateHz };
}

const narrow = ({ samples, rateHz }) => (rateHz === RATE ? samples : sox(pcmBytes(samples), rateHz, RATE));

// What is left of a signal above 4 kHz, as a share of its level: nothing after a narrowband codec.
export function shareAbove4k({ samples, rateHz }) {
  return rms(sox(pcmBytes(samples), rateHz, rateHz, ['sinc', '4200'])) / rms(samples);
}

function envelope(samples) {
  const out = new Float64Array(Math.floor(samples.length / FRAME));
  for (let i = 0; i < out.length; i++) out[i] = rms(samples.subarray(i * FRAME, (i + 1) * FRAME));
  return out;
}

// The likeness (normalized correlation, -1 to 1) of `n` values of a from `at`, and of b from `bAt`.
function likeness(a, at, b, bAt, n) {
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < n; i++) {
    const x = a[at + i];
    const y = b[bAt + i];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : 0;
}

function bestPlace(a, at, b, from, to, n) {
  let best = { at: from, likeness: -1 };
  for (let place = Math.max(0, from); place <= Math.min(to, b.length - n); place++) {
    const l = likeness(a, at, b, place, n);
    if (l > best.likeness) best = { at: place, likeness: l };
  }
  return best;
}

const median = (values) => [...values].sort((x, y) => x - y)[values.length >> 1];

// Looks for what was `sent` in what was `heard`; undefined while it is not all there.
// levelDb: of what was heard, over what was sent. alike: the share of pieces of 400 ms that can be recognised. spreadMs:
// how far apart the delays of those are, from the first to the last one. holes: the share of 10 ms with speech in which
// next to nothing was heard.
export function compareSpeech(sent, heard) {
  const a = narrow(sent);
  const b = narrow(heard);
  const [envelopeA, envelopeB] = [envelope(a), envelope(b)];
  if (envelopeB.length < envelopeA.length) return undefined;
  const whole = bestPlace(envelopeA, 0, envelopeB, 0, envelopeB.length, envelopeA.length);
  if (whole.likeness < 0.7) return undefined;
  const base = whole.at * FRAME;
  const loud = rms(a) / 2;
  const pieces = [];
  for (let at = 0; at + PIECE <= a.length; at += PIECE) {
    if (rms(a.subarray(at, at + PIECE)) < loud) continue;
    const place = bestPlace(a, at, b, base + at - RANGE, base + at + RANGE, PIECE);
    pieces.push({ at, offset: place.at - at, likeness: place.likeness });
  }
  const good = pieces.filter((piece) => piece.likeness > 0.75);
  if (good.length === 0) return undefined;
  const offsets = good.map((piece) => piece.offset);
  const offset = median(offsets);
  const spoken = [...envelopeA.keys()].filter((i) => envelopeA[i] > loud);
  const later = envelope(b.subarray(offset));
  return {
    levelDb: 20 * Math.log10(rms(b.subarray(offset, offset + a.length)) / rms(a)),
    alike: good.length / pieces.length,
    spreadMs: ((Math.max(...offsets) - Math.min(...offsets)) * 1000) / RATE,
    holes: spoken.filter((i) => later[i] < envelopeA[i] / 10).length / spoken.length,
  };
}
