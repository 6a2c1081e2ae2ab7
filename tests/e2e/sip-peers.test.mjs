// SPDX-License-Identifier: Apache-2.0
// baresip as the trunk, several at once: every transport, codec and kind of SRTP. Each follows the redirect, carries
// speech both ways that is compared with what was sent, presses digits, holds and resumes, and is hung up.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { rms, wav } from '../sim/signal.mjs';
import { compareSpeech, pcmBytes, shareAbove4k, speech } from '../sim/speech.mjs';
import { until } from './lib/gateway.mjs';
import { admin, agentOf, Baresip, BUSINESS_ID, noCalls, startSipHouse } from './lib/sip.mjs';
import { makeAuthority } from './lib/tls.mjs';

const CALLER_SAYS = 'Good morning. I would like to know whether my six parcels have been sent, please.';
const AGENT_SAYS = 'Certainly. She sells sea shells by the sea shore, and fifty foxes jump over the lazy dog.';

const LOOK_MS = 1500; // between judgements

const PHONES = [
  { name: 'PCMU by UDP', codecs: ['PCMU/8000/1'] },
  { name: 'PCMA by TCP', codecs: ['PCMA/8000/1'], transport: 'tcp' },
  { name: 'G.722 by TLS with SRTP', codecs: ['G722/16000/1'], transport: 'tls', account: ';mediaenc=srtp-mand', number: 'safe' },
  { name: 'Opus by UDP with SRTP', codecs: ['opus/48000/2'], account: ';mediaenc=srtp' },
  { name: 'Opus by TLS', codecs: ['opus/48000/2'], transport: 'tls' },
];

// What the caller says, again and again for a minute.
function speechFile(dir, codec) {
  const [name, rateHz, channels] = codec.split('/').map((part, i) => (i ? Number(part) : part));
  const file = path.join(dir, `${name}.wav`);
  const { samples } = speech(rateHz, CALLER_SAYS);
  const wide = Int16Array.from({ length: samples.length * channels }, (_, i) => samples[Math.floor(i / channels)]);
  const times = Math.ceil(60 / (samples.length / rateHz));
  fs.writeFileSync(file, wav(rateHz, Buffer.concat(Array(times).fill(pcmBytes(wide))), channels));
  return file;
}

// Fulfils once it is heard well; else, at last, tells what is wrong.
async function arrivesWhole(sent, hear, what) {
  let told = 'nothing is recognised';
  let looked = 0;
  await until(() => {
    // The judgement takes its time, in which the agent of this process can neither speak nor hear.
    if (performance.now() - looked < LOOK_MS) return false;
    const result = compareSpeech(sent, hear());
    looked = performance.now();
    if (result) told = JSON.stringify(result);
    return result && Math.abs(result.levelDb) < 3 && result.alike > 0.9 && result.spreadMs < 60 && result.holes < 0.03;
  }, what, 30000).catch((error) => assert.fail(`${error.message}: ${told}`));
}


describe('baresip', () => {
  let house;
  let dir;
  const authority = makeAuthority();
  before(async () => {
    dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-speech-'));
    const safe = { Number: '+49302000002', RouteId: 'route-1', RegionId: 'local', CampaignId: 'demo', RequireSrtp: true };
    house = await startSipHouse({
      tls: authority.issue('sip', ['IP:127.0.0.1', 'IP:10.77.0.1']),
      config: { Businesses: { [BUSINESS_ID]: { Numbers: { safe } } } },
    });
  });
  after(async () => {
    await house?.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  });

  function dial(phone, { transport = 'udp', number = 'num1' }) {
    const port = transport === 'tls' ? house.sip.proxyTlsPort : house.sip.proxyPort;
    const params = `;X-Business-Id=${BUSINESS_ID};X-Phone-Id=${number}`;
    phone.dial(`${house.sip.proxyUri(params, port)}${transport === 'udp' ? '' : `;transport=${transport}`}`);
  }

  // A telephone in a call: {phone, agent, caller}.
  async function phoneUp(t, options, caller) {
    const source = speechFile(dir, options.codecs[0]);
    const phone = await Baresip.start({ t, ...options, caller, source, config: `sip_cafile ${authority.caFile}\n` });
    dial(phone, options);
    await phone.until('CALL_ESTABLISHED', 30000);
    return { phone, agent: await agentOf(house, caller) };
  }

  async function speaksBothWays({ phone, agent }, options) {
    const wideband = !/^PCM/.test(options.codecs[0]);
    const said = speech(agent.rateHz, AGENT_SAYS);
    agent.say(Buffer.concat(Array(3).fill(pcmBytes(said.samples))));
    await until(() => agent.ws.bufferedAmount === 0, 'the agent to have said it all');
    await arrivesWhole(said, () => phone.heard(15000), 'what the agent says, at the telephone');
    const callers = speech(agent.rateHz, CALLER_SAYS);
    const hear = () => ({ samples: agent.lastSamples(15000), rateHz: agent.rateHz });
    await arrivesWhole(callers, hear, 'what the caller says, at the agent');
    const share = shareAbove4k(hear()) / shareAbove4k(callers);
    assert.ok(wideband ? share > 0.5 : share < 0.2, `above 4 kHz the agent hears ${share.toFixed(2)} of what was said`);
  }

  async function pressesDigits({ phone, agent }) {
    phone.press('0*#');
    await until(() => agent.texts.length >= 3, 'three digits');
    assert.deepEqual(agent.texts.map((t) => JSON.parse(t)), [...'0*#'].map((digit) => ({ type: 'dtmf', digit })));
  }

  // baresip 1.0 writes down no more of what it hears after a hold, so a digit shows that it is sent RTP again.
  async function holdsAndResumes({ phone, agent }) {
    const loud = () => rms(agent.lastSamples(2000)) > 300;
    await until(loud, 'the caller to be heard');
    phone.command('hold');
    await until(() => !loud() && rms(agent.lastSamples(500)) < 5, 'silence on hold');
    const held = agent.frames.length;
    await until(() => agent.frames.length > held + 50, 'frames on hold, too');
    phone.command('resume');
    await until(loud, 'the caller to be heard again');
    agent.sendText(JSON.stringify({ type: 'send_dtmf', digits: '7' }));
    assert.equal((await phone.until('CALL_DTMF_START')).param, '7');
  }

  async function hangsUp({ phone, agent }, byAgent) {
    if (byAgent) agent.hangUp();
    else phone.hangUp();
    await phone.until('CALL_CLOSED');
    await until(() => agent.closed, 'the agent to be let go');
  }

  test('calls as a trunk', { concurrency: true }, async (t) => {
    const calls = PHONES.map((options, i) =>
      t.test(options.name, async (t) => {
        const caller = `+4930999${i}`;
        const call = await phoneUp(t, options, caller);
        await speaksBothWays(call, options);
        await pressesDigits(call);
        await holdsAndResumes(call);
        const live = (await admin(house.gateway, 'calls')).find((c) => c.caller === caller);
        assert.equal(live.transport, options.transport ?? 'udp');
        const line = house.gateway.logs.find((l) => l.call === live.sessionId && l.mod === 'trunk' && / ms, S?RTP, /.test(l.msg));
        assert.match(line.msg, new RegExp(`^${options.codecs[0].split('/')[0]}, 20 ms, ${options.account ? 'SRTP' : 'RTP'}`, 'i'));
        await hangsUp(call, i % 2 === 1);
      }),
    );
    await Promise.all(calls);
    await noCalls(house.gateway);
  });

  test('a number that wants SRTP refuses plain RTP', async (t) => {
    const phone = await Baresip.start({ t, caller: '+49309998' });
    dial(phone, { number: 'safe' });
    const closed = await phone.until('CALL_CLOSED');
    assert.match(closed.param, /488/);
    await noCalls(house.gateway);
  });
});
