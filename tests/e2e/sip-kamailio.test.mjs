// SPDX-License-Identifier: Apache-2.0
// Kamailio in front, as a carrier's border element, and baresip behind it: whole calls held through its Record-Route,
// whoever follows the redirect. What both ends say within the call goes through it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { toneShare } from '../sim/signal.mjs';
import { until } from './lib/gateway.mjs';
import { Kamailio } from './lib/kamailio.mjs';
import { agentHears, HOST } from './lib/scenario.mjs';
import { admin, agentOf, Baresip, noCalls, SipPeer, startSipHouse } from './lib/sip.mjs';

const SERVERS = [
  { name: 'follows the redirect', options: {} },
  { name: 'follows the redirect and hides the caller', options: { hides: true } },
  { name: 'passes the redirect on, and the call that follows', options: { follows: false } },
];

describe('behind Kamailio', () => {
  let house;
  before(async () => {
    house = await startSipHouse();
  });
  after(() => house?.stop());

  async function kamailioUp(t, options) {
    const kamailio = await Kamailio.start(HOST, house.sip.proxyPort, options);
    t.after(() => kamailio.stop());
    const peer = await SipPeer.start({ t });
    const ping = peer.newCall(`sip:${HOST}:${kamailio.port}`, kamailio.port);
    await kamailio.ready(() => {
      peer.send(peer.request(ping, 'OPTIONS'), kamailio.port);
      return peer.of(ping).some((m) => m.status === 200);
    });
    return kamailio;
  }

  // A call up: {phone, agent}. The telephone sends all that it says to Kamailio.
  async function phoneUp(t, kamailio, caller) {
    const outbound = `;outbound="sip:${HOST}:${kamailio.port};transport=udp;lr"`;
    const phone = await Baresip.start({ t, caller, account: outbound });
    phone.dial(house.sip.proxyUri());
    await phone.until('CALL_ESTABLISHED');
    return { phone, agent: await agentOf(house, caller) };
  }

  async function heldThrough({ phone, agent }) {
    await agentHears(agent, 600);
    agent.sayTone(1000, 4000);
    await until(() => {
      const { rateHz, samples } = phone.heard(300);
      return samples.length > rateHz / 5 && toneShare(samples, rateHz, 1000) > 0.9;
    }, 'the tone at the telephone');
    const [live] = await admin(house.gateway, 'calls');
    assert.equal(live.source, HOST);
    for (const [command, direction] of [['hold', 'recvonly'], ['resume', 'sendrecv']]) {
      phone.command(command);
      await until(() => house.gateway.logs.some((l) => l.call === live.sessionId && l.mod === 'trunk' && l.msg.includes(`, ${direction};`)), command);
    }
    phone.press('5');
    await until(() => agent.texts.length > 0, 'a digit');
    return live;
  }

  for (const [i, { name, options }] of SERVERS.entries()) {
    test(`${name}: hold, digits, hang-up from both sides`, async (t) => {
      const kamailio = await kamailioUp(t, options);
      const first = await phoneUp(t, kamailio, `+493055${i}1`);
      const live = await heldThrough(first);
      assert.equal(/^!!:/.test(live.callId), Boolean(options.hides), live.callId);
      first.agent.hangUp();
      await first.phone.until('CALL_CLOSED');
      await noCalls(house.gateway);
      // The listener's BYE went the way of the Record-Route, and so did all of the telephone's.
      const passed = (method, port) => kamailio.log.split(`passes ${method} from ${HOST}:${port}`).length - 1;
      assert.ok(passed('BYE', house.sip.mediaPort) > 0);
      assert.ok(passed('INVITE', first.phone.port) >= (options.follows === false ? 4 : 3));
      const second = await phoneUp(t, kamailio, `+493055${i}2`);
      second.phone.hangUp();
      await until(() => second.agent.closed, 'the agent to be let go');
      await noCalls(house.gateway);
      await until(async () => (await house.gateway.metric('iqra_sip_dialogs')) === 0, 'all dialogs to be gone');
    });
  }
});
