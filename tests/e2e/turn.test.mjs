// SPDX-License-Identifier: Apache-2.0
// A page that may only use a relay, and a real coturn as the relay.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launchChromium } from './lib/browser.mjs';
import { until } from './lib/gateway.mjs';
import { assertSteady, HOST, startHouse, wholeCall } from './lib/scenario.mjs';

// Whether a STUN binding request is answered.
async function answersStun(port) {
  const socket = dgram.createSocket('udp4');
  const answered = once(socket, 'message').then(() => true);
  socket.send(Buffer.from('000100002112a442000000000000000000000000', 'hex'), port, HOST);
  const timer = new Promise((resolve) => setTimeout(resolve, 200, false));
  const result = await Promise.race([answered, timer]);
  socket.close();
  return result;
}

async function startCoturn(port, credentials) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-turn-'));
  const files = ['--log-file', path.join(dir, 'log'), '--simple-log', '--pidfile', path.join(dir, 'pid'), '--userdb', path.join(dir, 'db')];
  const network = ['-L', HOST, '-E', HOST, '-p', String(port), '--min-port', '30000', '--max-port', '30999', '--no-tls', '--no-dtls', '--no-cli'];
  const child = spawn('turnserver', ['-n', ...files, ...network, '--realm', 'r', ...credentials], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const log = () => (fs.existsSync(path.join(dir, 'log')) ? fs.readFileSync(path.join(dir, 'log'), 'utf8') : '');
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
    fs.rmSync(dir, { recursive: true, force: true });
  };
  try {
    await until(() => child.exitCode !== null || answersStun(port), 'coturn to answer', 60000);
    assert.equal(child.exitCode, null, log());
  } catch (err) {
    await stop(); // a child left behind would keep this file from ending
    throw err;
  }
  return { log, stop };
}

const kinds = [
  {
    name: 'a fixed user', port: 34780, credentials: ['--lt-cred-mech', '--user', 'u:p'],
    webRtc: { IceServers: [{ urls: `turn:${HOST}:34780`, username: 'u', credential: 'p' }] },
  },
  {
    name: 'minted credentials', port: 34790, credentials: ['--use-auth-secret', '--static-auth-secret', 'turn-secret'],
    webRtc: { IceServers: [{ urls: `turn:${HOST}:34790` }], TurnSecret: 'turn-secret' },
  },
];

for (const { name, port, credentials, webRtc } of kinds) {
  describe(`a relay-only call, ${name}`, () => {
    let coturn;
    let house;
    let browser;
    before(async () => {
      coturn = await startCoturn(port, credentials);
      house = await startHouse({ config: { WebRtc: webRtc } });
      browser = await launchChromium({ micHz: 600 });
    });
    after(async () => {
      await browser?.close();
      await house?.stop();
      await coturn?.stop();
    });

    test('is whole', async () => {
      const { call, seen } = await wholeCall(browser, house, { micHz: 600, widget: { iceTransportPolicy: 'relay' } });
      assert.equal(seen.localType, 'relay');
      assertSteady(call, { bytes: 640, frameMs: 20 });
      assert.ok(!house.gateway.text().includes('turn-secret'), 'no secret in the log');
    });
  });
}
