// SPDX-License-Identifier: Apache-2.0
// A node that has no more room, and one whose media runs late: what callers, pages, other nodes and the operator are told,
// and that it ends. Lateness is made by stopping the whole process again and again.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from './lib/gateway.mjs';
import { agentHears } from './lib/scenario.mjs';
import { admin, callUp, noCalls, NUMBER, RtpPeer, SipPeer, startSipHouse } from './lib/sip.mjs';

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Most of its time the process stands still. Returns what ends that.
function stutter(gateway) {
  let going = true;
  const done = (async () => {
    while (going) {
      gateway.signal('SIGSTOP');
      await pause(300);
      gateway.signal('SIGCONT');
      await pause(100);
    }
  })();
  return async () => {
    going = false;
    await done;
  };
}

const readyz = async (gateway) => {
  const answer = await fetch(`${gateway.url}/readyz`);
  return { http: answer.status, ...(await answer.json()) };
};

async function start(t, gateway) {
  const house = await startSipHouse({ config: { Gateway: { Workers: 1, ...gateway }, Sip: { AcceptDirect: true } } });
  t.after(() => house.stop());
  const peer = await SipPeer.start({ t, host: house.sip.host });
  return { house, gateway: house.gateway, peer };
}

// A call that knows no proxy; its final answer.
async function refusedAtListener(t, house, peer) {
  const rtp = await RtpPeer.start({ t, host: peer.host });
  const call = peer.newCall(`sip:${NUMBER}@${house.sip.host}:${house.sip.mediaPort}`, house.sip.mediaPort);
  peer.invite(call, { body: rtp.sdp() });
  const answer = await peer.final(call, 'INVITE', 30000);
  peer.ack(call, answer);
  return answer;
}

async function refusedAtProxy(house, peer) {
  const call = peer.newCall(house.sip.proxyUri(), house.sip.proxyPort);
  peer.invite(call);
  const answer = await peer.final(call, 'INVITE', 30000);
  peer.ack(call, answer);
  return answer;
}

async function hangUp(house, peer, { call, rtp }) {
  rtp.quiet();
  peer.bye(call);
  await noCalls(house.gateway);
}

const nodeState = async (gateway, state) => until(async () => (await admin(gateway, 'nodes'))[0].state === state, `the node to be ${state}`);

describe('load', () => {
  test('a node whose media runs late takes no new calls, keeps those it has, and recovers', async (t) => {
    const { house, gateway, peer } = await start(t, { OverloadLateMs: 40 });
    const up = await callUp(t, house, peer);
    await agentHears(up.agent, 600);
    assert.equal((await readyz(gateway)).http, 200);
    await nodeState(gateway, 'running');

    const end = stutter(gateway);
    try {
      await until(() => gateway.logged(/overloaded, new calls are refused: media runs late/), 'the gateway to refuse', 30000);
      assert.deepEqual(await readyz(gateway), { http: 503, status: 'overloaded', reason: 'no new calls: media runs late' });
      const atListener = await refusedAtListener(t, house, peer);
      assert.equal(`${atListener.status} ${atListener.reason}`, '503 Overloaded');
      assert.ok(Number(atListener.header('retry-after')) > 0);
      await nodeState(gateway, 'full');
      const atProxy = await refusedAtProxy(house, peer);
      assert.equal(`${atProxy.status} ${atProxy.reason}`, '503 No Available Servers');
      const page = await gateway.request();
      assert.equal(page.status, 202, await page.clone().text()); // it waits, and another node may serve it
      assert.equal(await gateway.metric('iqra_overloaded'), 1);
      assert.equal(await gateway.metric('iqra_opus_complexity{worker="0"}'), 0);
    } finally {
      await end();
    }

    await until(() => gateway.logged(/at ease again, new calls are taken/), 'the gateway to recover', 30000);
    assert.equal((await readyz(gateway)).status, 'ready');
    await nodeState(gateway, 'running');
    // The call that was up has been there all the time, and is heard.
    assert.equal(up.agent.closed, false);
    const heard = up.agent.frames.length;
    await until(() => up.agent.frames.length > heard + 50, 'the call to go on');
    await agentHears(up.agent, 600);
    const another = await callUp(t, house, peer, { options: { caller: '+49301111' } });
    await agentHears(another.agent, 600);
    another.rtp.quiet();
    peer.bye(another.call);
    await hangUp(house, peer, up);
  });

  test('a full node says 486, is ready, and is no target of the proxy', async (t) => {
    const { house, gateway, peer } = await start(t, { MaxCalls: 1 });
    assert.equal(await gateway.metric('iqra_calls_capacity'), 1);
    const up = await callUp(t, house, peer);
    const atListener = await refusedAtListener(t, house, peer);
    assert.equal(atListener.status, 486);
    assert.equal((await readyz(gateway)).status, 'ready');
    await until(async () => (await admin(gateway, 'nodes'))[0].calls === 1, 'the heartbeat');
    assert.equal((await refusedAtProxy(house, peer)).status, 503);
    const page = await gateway.request();
    assert.equal(page.status, 202, await page.clone().text());
    await hangUp(house, peer, up);
  });

  test('what a call did shows in the histograms', async (t) => {
    const { house, gateway, peer } = await start(t, { MaxCalls: 0 });
    assert.ok((await gateway.metric('iqra_calls_capacity')) > 1);
    const up = await callUp(t, house, peer);
    for (const name of ['iqra_tick_late_seconds_count', 'iqra_loop_lag_seconds_count{loop="worker"}', 'iqra_loop_lag_seconds_count{loop="ctl"}',
      'iqra_stage_seconds_count{stage="decode"}', 'iqra_stage_seconds_count{stage="encode"}', 'iqra_stage_seconds_count{stage="resample"}',
      'iqra_stage_seconds_count{stage="send"}', 'iqra_jitter_buffer_seconds_count', 'iqra_platform_seconds_count'])
      await until(async () => (await gateway.metric(name)) > 0, name, 20000);
    assert.equal(await gateway.metric('iqra_call_setup_seconds_count{kind="sip"}'), 1);
    assert.equal(await gateway.metric('iqra_call_setup_seconds_count{kind="browser"}'), 0);
    assert.equal(await gateway.metric('iqra_stage_seconds_count{stage="protect"}'), 0); // no keys, no protection
    await until(async () => (await gateway.metric('iqra_worker_calls{worker="0"}')) === 1, 'the worker to tell of its call');
    await hangUp(house, peer, up);
  });
});
