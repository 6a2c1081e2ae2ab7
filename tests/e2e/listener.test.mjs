// SPDX-License-Identifier: Apache-2.0
// The listener's SIP by sipp's book (tests/e2e/sipp), calls given up at every moment, and logins.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { until } from './lib/gateway.mjs';
import { admin, Baresip, noCalls, NUMBER, RtpPeer, runSipp, SipPeer, startSipHouse } from './lib/sip.mjs';

const scenario = (name) => fs.readFileSync(new URL(`sipp/${name}.xml`, import.meta.url), 'utf8');

async function sipp(house, name, options = {}) {
  const { args = [], ...rest } = options;
  const target = `${house.sip.host}:${house.sip.mediaPort}`;
  const end = await runSipp(scenario(name), target, { host: house.sip.host, args: ['-s', NUMBER, ...args], ...rest });
  assert.equal(end.code, 0, end.output);
}

async function allGone(house) {
  await noCalls(house.gateway);
  await until(async () => (await house.gateway.metric('iqra_sip_dialogs')) === 0, 'all dialogs to be gone');
}

describe('the listener', () => {
  let house;
  before(async () => {
    house = await startSipHouse({ config: { Sip: { AcceptDirect: true, InvitesPerSecond: 0 } }, business: { MaxConcurrentCalls: 0 } });
  });
  after(() => house?.stop());

  for (const name of ['hold', 'update', 'prack', 'offerless', 'timer', 'dialog']) {
    test(`sipp: ${name}`, async () => {
      await sipp(house, name, { calls: 5 });
      await allGone(house);
    });
  }

  test('sipp: hold by TCP', async () => {
    await sipp(house, 'hold', { args: ['-t', 't1'] });
    await allGone(house);
  });

  test('calls that are given up at every moment leave nothing behind', async () => {
    const peer = await SipPeer.start({ host: house.sip.host });
    const ends = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const call = peer.newCall(`sip:${NUMBER}@${house.sip.host}:${house.sip.mediaPort}`, house.sip.mediaPort);
        const rtp = await RtpPeer.start({ host: house.sip.host });
        peer.invite(call, { body: rtp.sdp() });
        await peer.until(call, (m) => m.status === 100, 'the 100');
        await new Promise((resolve) => { setTimeout(resolve, i * 5); });
        peer.cancel(call);
        const answer = await peer.final(call);
        const cancelled = await peer.final(call, 'CANCEL');
        peer.ack(call, answer);
        if (answer.status === 200) {
          assert.equal(cancelled.status, 481);
          peer.bye(call);
          assert.equal((await peer.final(call, 'BYE')).status, 200);
        } else {
          assert.equal(answer.status, 487);
          assert.equal(cancelled.status, 200);
        }
        rtp.close();
        return answer.status;
      }),
    );
    await allGone(house);
    assert.equal(ends.length, 40);
    assert.equal((await admin(house.gateway, 'calls')).length, 0);
    peer.close();
  });
});

describe('a number with a login', () => {
  let house;
  before(async () => {
    house = await startSipHouse({
      config: { Sip: { AcceptDirect: true } },
      number: { OverrideSipUsername: 'trunk', OverrideSipPassword: 'secret' },
    });
  });
  after(() => house?.stop());

  test('sipp: digest', async () => {
    await sipp(house, 'digest', { calls: 3 });
    await allGone(house);
  });

  test('baresip logs in behind the redirect, and cannot with a wrong password', async () => {
    for (const [password, event] of [['secret', 'CALL_ESTABLISHED'], ['wrong', 'CALL_CLOSED']]) {
      const phone = await Baresip.start({ host: house.sip.host, account: `;auth_user=trunk;auth_pass=${password}` });
      phone.dial(house.sip.proxyUri());
      await phone.until(event);
      assert.equal(Boolean(phone.saw('CALL_ESTABLISHED')), password === 'secret');
      phone.hangUp();
      await phone.stop();
    }
    await allGone(house);
    assert.equal(await house.gateway.metric('iqra_sip_logins_total{outcome="wrong"}') > 0, true);
  });
});
