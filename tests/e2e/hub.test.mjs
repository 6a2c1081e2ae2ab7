// SPDX-License-Identifier: Apache-2.0
// Waiting in line over /sessionHub, by the real SignalR clients 9 and 10 on each transport: directly, through nginx with
// TLS, and with two gateways behind a load balancer that knows no stickiness.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { RoundRobin } from '../sim/roundrobin.mjs';
import { Wire } from '../sim/wire.mjs';
import { until } from './lib/gateway.mjs';
import { CLIENTS, endSession, makeClient, startGateway, startPlace, TRANSPORTS, waitAndBeServed, waitInLine } from './lib/hub.mjs';
import { startNginx } from './lib/nginx.mjs';
import { Redis } from './lib/redis.mjs';
import { HOST } from './lib/scenario.mjs';
import { makeAuthority } from './lib/tls.mjs';

process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
const END = '\x1e';
const HELLO = `{"protocol":"json","version":1}${END}`;
const ORIGIN = 'https://shop.example';
let place;
before(async () => { place = await startPlace(); });
after(() => place?.platform.close());
const each = Object.keys(CLIENTS).flatMap((client) => TRANSPORTS.map((transport) => ({ client, transport })));

const negotiate = async (base, init = {}) => {
  const response = await fetch(`${base}/sessionHub/negotiate?negotiateVersion=1`, { method: 'POST', ...init });
  return { status: response.status, ...(response.ok ? await response.json() : {}) };
};

// A WebSocket without a SignalR client: {ws, records}; records as they come, parsed.
async function openRaw(base, query = '', options = {}) {
  const ws = new WebSocket(`${base.replace('http', 'ws')}/sessionHub${query}`, options);
  const raw = { ws, records: [], text: '', closed: once(ws, 'close') };
  ws.on('message', (data) => {
    const parts = (raw.text + data).split(END);
    raw.text = parts.pop();
    raw.records.push(...parts.map((part) => JSON.parse(part)));
  });
  await once(ws, 'open');
  return raw;
}

const refusedWith = (base, query, options) => new Promise((resolve, reject) => {
  const ws = new WebSocket(`${base.replace('http', 'ws')}/sessionHub${query}`, options);
  ws.on('unexpected-response', (request, response) => { resolve(response.statusCode); request.destroy(); });
  ws.on('open', () => { resolve(101); ws.close(); });
  ws.on('error', (error) => (/Unexpected server response/.test(error.message) ? undefined : reject(error)));
});

describe('one gateway', () => {
  let gateway;
  before(async () => {
    gateway = await startGateway(place, { AllowedOrigins: [ORIGIN], ForwardedHeaders: { KnownProxies: ['127.0.0.2'] } });
  });
  after(() => gateway?.stop());

  for (const { client, transport } of each) {
    test(`client ${client}, ${transport}: waits and is served`, () => waitAndBeServed(gateway, gateway.url, { client, transport }));

    test(`client ${client}, ${transport}: what goes wrong is said`, async () => {
      const { connection } = makeClient(gateway.url, { client, transport });
      await connection.start();
      await assert.rejects(connection.invoke('Unregister', 'x'), /Unknown hub method 'Unregister'/);
      await assert.rejects(connection.invoke('Register', '00000000-0000-0000-0000-000000000000'), /The request is not known/);
      await assert.rejects(connection.invoke('Register', 1, 2), /Register takes one argument/);
      const streamed = new Promise((resolve, reject) => { connection.stream('Register', 'x').subscribe({ error: reject, complete: resolve }); });
      await assert.rejects(streamed, /Unknown hub method 'Register'/);
      await connection.stop();
    });
  }

  test('a client that skips negotiation', () =>
    waitAndBeServed(gateway, gateway.url, { transport: 'WebSockets', options: { skipNegotiation: true } }));

  test('a client that may choose takes WebSockets, and server-sent events where those do not pass', async () => {
    const seen = [];
    for (const WebSocketImpl of [WebSocket, class { constructor() { throw new Error('blocked'); } }]) {
      const { connection } = makeClient(gateway.url, { options: { WebSocket: WebSocketImpl } });
      await connection.start();
      seen.push(connection.connection.transport.constructor.name);
      await connection.stop();
    }
    assert.deepEqual(seen, ['WebSocketTransport', 'ServerSentEventsTransport']);
  });

  test('a connection lost and made again: what was missed comes after Register', async (t) => {
    const wire = new Wire({ toPort: gateway.port });
    const base = `http://127.0.0.1:${await wire.start()}`;
    t.after(() => wire.close());
    for (const transport of TRANSPORTS) {
      const waiting = await waitInLine(gateway);
      const { connection, heard } = makeClient(base, { transport, reconnect: [0, 50, 100, 200, 400, 800] });
      const lost = new Promise((resolve) => { connection.onreconnecting(resolve); });
      const back = new Promise((resolve) => { connection.onreconnected(resolve); });
      await connection.start();
      await connection.invoke('Register', waiting.id);
      wire.cut({ forever: true });
      await lost;
      await waiting.release();
      wire.dead = false;
      await back;
      assert.equal(heard('SessionReady').length, 0);
      await connection.invoke('Register', waiting.id);
      await until(() => heard('SessionReady').length, `SessionReady over ${transport}`);
      await connection.stop();
      await endSession(gateway, heard('SessionReady')[0].webSocketUrl);
    }
  });

  test('registered twice, from two connections: both are told, each once', async () => {
    const waiting = await waitInLine(gateway);
    const both = [makeClient(gateway.url, { transport: 'WebSockets' }), makeClient(gateway.url, { transport: 'LongPolling' })];
    for (const { connection } of both) {
      await connection.start();
      await connection.invoke('Register', waiting.id);
      await connection.invoke('Register', waiting.id);
    }
    await waiting.release();
    for (const { heard } of both) await until(() => heard('SessionReady').length, 'SessionReady');
    for (const { connection, heard } of both) {
      await connection.stop();
      assert.equal(heard('SessionReady').length, 1);
    }
    await endSession(gateway, both[0].heard('SessionReady')[0].webSocketUrl);
  });

  test('records split and merged at will', async () => {
    const { ws, records, closed } = await openRaw(gateway.url);
    const text = `${HELLO}{"type":6}${END}{"type":1,"invocationId":"ü","target":"Nope","arguments":[]}${END}{"type":1,"target":"Nope","arguments":[]}${END}`;
    for (const byte of Buffer.from(text)) ws.send(Buffer.from([byte]));
    await until(() => records.length === 2, 'the answers to single bytes');
    assert.deepEqual(records, [{}, { type: 3, invocationId: 'ü', error: "Unknown hub method 'Nope'." }]);
    ws.send(Array.from({ length: 5 }, (_, i) => `{"type":1,"invocationId":"${i}","target":"Nope","arguments":[]}${END}`).join(''));
    await until(() => records.length === 7, 'the answers to one frame of five');
    assert.deepEqual(records.slice(2).map((record) => record.invocationId), ['0', '1', '2', '3', '4']);
    ws.send(`{"type":7}${END}`);
    const [code] = await closed;
    assert.equal(code, 1000);
  });

  test('what is no protocol of ours ends a connection, with the reason', async () => {
    const cases = [
      ['{"protocol":"messagepack","version":1}', { error: "The protocol 'messagepack' is not supported." }],
      ['GET / HTTP/1.1', { error: 'The first message must be a handshake request.' }],
      [`${HELLO}not JSON`, { type: 7, error: 'A message is a JSON object, nested at most 16 deep.', allowReconnect: false }],
      [`${HELLO}{"type":1,"arguments":${'['.repeat(2000)}`, { type: 7, error: 'A message is a JSON object, nested at most 16 deep.', allowReconnect: false }],
      [`${HELLO}${'x'.repeat(5000)}`, { type: 7, error: 'The message is too long.', allowReconnect: false }],
    ];
    for (const [text, last] of cases) {
      const { ws, records, closed } = await openRaw(gateway.url);
      ws.send(text + END);
      await closed;
      assert.deepEqual(records.at(-1), last, text.slice(0, 80));
    }
  });

  test('forged, foreign and missing ids', async () => {
    const { connectionToken } = await negotiate(gateway.url);
    const [name, expires, mac] = connectionToken.split('.');
    const forged = [`${name}.${Number(expires) + 999}.${mac}`, `${name}x.${expires}.${mac}`, `${name}.${expires}.${'A'.repeat(43)}`, 'nonsense', '..', 'x'.repeat(2000), '%01', '../../admin'];
    for (const id of forged) {
      for (const method of ['GET', 'POST', 'DELETE']) {
        const response = await fetch(`${gateway.url}/sessionHub?id=${id}`, { method });
        assert.equal(response.status, 401, `${method} ${id.slice(0, 80)}`);
      }
      assert.equal(await refusedWith(gateway.url, `?id=${id}`), 401, id.slice(0, 80));
    }
    // Ours, but without a connection.
    for (const method of ['POST', 'DELETE']) {
      assert.equal((await fetch(`${gateway.url}/sessionHub?id=${connectionToken}`, { method })).status, 404);
      assert.equal((await fetch(`${gateway.url}/sessionHub`, { method })).status, 400);
    }
    assert.equal((await fetch(`${gateway.url}/sessionHub`)).status, 400);
    assert.equal((await fetch(`${gateway.url}/sessionHub/negotiate?negotiateVersion=x`, { method: 'POST' })).status, 400);
    assert.equal((await fetch(`${gateway.url}/sessionHub`, { method: 'PUT' })).status, 405);
  });

  test('other pages: CORS with credentials for allowed origins, nothing for others', async () => {
    const preflight = (origin, path, method) => fetch(gateway.url + path, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': 'x-requested-with,x-signalr-user-agent,x-custom' },
    });
    for (const [path, method] of [['/sessionHub/negotiate', 'POST'], ['/sessionHub', 'GET'], ['/sessionHub', 'POST'], ['/sessionHub', 'DELETE']]) {
      const { status, headers } = await preflight(ORIGIN, path, method);
      assert.equal(status, 204);
      assert.equal(headers.get('access-control-allow-origin'), ORIGIN);
      assert.equal(headers.get('access-control-allow-credentials'), 'true');
      assert.match(headers.get('access-control-allow-methods'), new RegExp(method));
      assert.match(headers.get('access-control-allow-headers'), /x-signalr-user-agent/);
      assert.equal((await preflight('https://evil.example', path, method)).headers.get('access-control-allow-origin'), null);
    }
    const headers = { origin: ORIGIN, 'x-requested-with': 'XMLHttpRequest', 'x-signalr-user-agent': 'Microsoft SignalR/9.0' };
    const response = await fetch(`${gateway.url}/sessionHub/negotiate?negotiateVersion=1`, { method: 'POST', headers });
    assert.equal(response.headers.get('access-control-allow-origin'), ORIGIN);
    const { connectionToken } = await response.json();
    assert.equal(await refusedWith(gateway.url, `?id=${connectionToken}`, { origin: 'https://evil.example' }), 403);
    assert.equal(await refusedWith(gateway.url, `?id=${connectionToken}`, { origin: ORIGIN }), 101);
  });
});

test('2,000 idle connections cost little; half a minute of silence ends them, and none that pings', async (t) => {
  const COUNT = 2000;
  const gateway = await startGateway(place, { Hub: { MaxConnectionsPerAddress: 5000 } });
  t.after(() => gateway.stop());
  const mute = await openRaw(gateway.url);
  const polite = TRANSPORTS.map((transport) => makeClient(gateway.url, { transport }).connection);
  for (const connection of polite) await connection.start();
  const empty = await gateway.holds();
  const sockets = [];
  for (let i = 0; i < COUNT; i += 100) sockets.push(...await Promise.all(Array.from({ length: 100 }, () => openRaw(gateway.url))));
  for (const { ws } of sockets) ws.send(HELLO);
  await until(() => sockets.every(({ records }) => records.length), 'every handshake', 30000);
  assert.equal(await gateway.metric('iqra_hub_connections'), COUNT + 1 + TRANSPORTS.length);
  const kilobytes = ((await gateway.holds()).rssKb - empty.rssKb) / COUNT;
  assert.ok(kilobytes < 64, `${kilobytes} KiB for each`); // with the sanitizer's own share
  await waitAndBeServed(gateway, gateway.url, { transport: 'LongPolling' });

  await mute.closed;
  assert.deepEqual(mute.records, [{ error: 'No handshake came in time.' }]);
  await Promise.all(sockets.map(({ closed }) => closed));
  for (const { records } of sockets) {
    assert.deepEqual(records, [{}, { type: 6 }, { type: 7, error: 'Nothing was heard of the client.', allowReconnect: true }]);
  }
  await until(async () => (await gateway.metric('iqra_hub_connections')) === TRANSPORTS.length, 'all to be gone');
  for (const connection of polite) {
    await assert.rejects(connection.invoke('Nope'), /Unknown hub method/);
    await connection.stop();
  }
});

test('limits of connections: of one address, and of all', async (t) => {
  const gateway = await startGateway(place, { Hub: { MaxConnections: 5, MaxConnectionsPerAddress: 3 } }, { host: '127.0.0.1' });
  t.after(() => gateway.stop());
  const from = (localAddress) => ({ localAddress });
  const sockets = [];
  for (let i = 0; i < 3; i++) sockets.push(await openRaw(gateway.url, '', from('127.0.0.5')));
  assert.equal(await refusedWith(gateway.url, '', from('127.0.0.5')), 429);
  for (let i = 0; i < 2; i++) sockets.push(await openRaw(gateway.url, '', from('127.0.0.6')));
  assert.equal(await refusedWith(gateway.url, '', from('127.0.0.7')), 503);
  const { connectionToken } = await negotiate(gateway.url);
  const response = await fetch(`${gateway.url}/sessionHub?id=${connectionToken}`);
  assert.equal(response.status, 503);
  assert.ok(Number(response.headers.get('retry-after')) > 0);
  sockets[0].ws.close();
  await sockets[0].closed;
  sockets[0] = await openRaw(gateway.url, '', from('127.0.0.7'));
  for (const { ws } of sockets) ws.close();
});

describe('nginx with TLS in front', () => {
  let gateway;
  let nginx;
  let endNginx;
  let here;
  before(async () => {
    here = makeAuthority().issue('here', [`IP:${HOST}`, 'DNS:localhost']);
    gateway = await startGateway(place, { ForwardedHeaders: { KnownProxies: ['127.0.0.2'] } });
    nginx = await startNginx({ after: (end) => { endNginx = end; } }, 'middleware.md', [gateway.port], here);
  });
  after(async () => {
    await endNginx?.();
    await gateway?.stop();
  });

  for (const { client, transport } of each) {
    test(`client ${client}, ${transport}: waits and is served`, () => waitAndBeServed(gateway, nginx.url, { client, transport }));
  }

  test('what a node that shuts down refuses is asked of another', async (t) => {
    let refused = 0;
    const leaving = http.createServer((request, response) => {
      refused++;
      request.resume().on('end', () => response.writeHead(503).end());
    }).listen(0, '127.0.0.1');
    await once(leaving, 'listening');
    t.after(() => leaving.close());
    const both = await startNginx(t, 'middleware.md', [leaving.address().port, gateway.port], here);
    const negotiate = () => fetch(`${both.url}/sessionHub/negotiate?negotiateVersion=1`, { method: 'POST', body: 'x' });
    for (let i = 0; i < 4; i++) assert.equal((await negotiate()).status, 200);
    assert.ok(refused > 0, 'it was asked');
  });
});

describe('two gateways on one Redis', () => {
  let redis;
  let gateways;
  let balancer;
  before(async () => {
    redis = new Redis();
    const config = (node) => ({ RedisConnectionString: redis.target, Gateway: { NodeId: node } });
    gateways = await Promise.all(['one', 'two'].map((node) => startGateway(place, config(node), { host: '127.0.0.1' })));
    balancer = await new RoundRobin(gateways.map(({ port }) => port)).start();
  });
  after(async () => {
    await balancer?.close();
    await Promise.all(gateways?.map((gateway) => gateway.stop()) ?? []);
    await redis?.stop();
  });

  for (const { client, transport } of each) {
    test(`client ${client}, ${transport}: every request comes to another node`, async () => {
      const seen = balancer.seen.length;
      await waitAndBeServed(gateways[0], balancer.url, { client, transport });
      const requests = balancer.seen.slice(seen).filter(([, path]) => path.startsWith('/sessionHub'));
      assert.equal(new Set(requests.map(([, , port]) => port)).size, 2, JSON.stringify(requests));
    });
  }

  // The upstream of docs/middleware.md has two servers and nothing that binds a client to one.
  test('behind nginx with TLS, which takes each request to the next one', async (t) => {
    const nginx = await startNginx(t, 'middleware.md', gateways.map(({ port }) => port), makeAuthority().issue('here', [`IP:${HOST}`]));
    const relayed = async () => (await Promise.all(gateways.map((gateway) => gateway.metric('iqra_hub_relayed_total')))).reduce((a, b) => a + b);
    for (const { client, transport } of each) {
      const before = await relayed();
      await waitAndBeServed(gateways[0], nginx.url, { client, transport });
      if (transport !== 'WebSockets') assert.ok((await relayed()) > before, `${transport}: some of it came to the other node`);
    }
  });

  test('a Redis that restarts: who waits is told what happened meanwhile', async () => {
    const waiting = await waitInLine(gateways[0]);
    const clients = TRANSPORTS.map((transport) => makeClient(balancer.url, { transport, reconnect: [0, 100, 500, 1000, 1000] }));
    let again = 0;
    for (const { connection } of clients) {
      // A poll that another node relays may find its connection lost; the client then comes back and says who it is.
      connection.onreconnected(() => {
        again++;
        return connection.invoke('Register', waiting.id);
      });
      await connection.start();
      await connection.invoke('Register', waiting.id);
    }
    await redis.kill();
    redis.run();
    const back = ({ logs }) => ['messages', 'commands'].every((kind) => logs.filter(({ msg }) => msg.startsWith(`${kind}: connected`)).length === 2);
    await until(() => gateways.every(back), 'Redis to be back', 30000);
    await waiting.release();
    for (const [i, { heard }] of clients.entries()) await until(() => heard('SessionReady').length, `SessionReady by ${TRANSPORTS[i]}`, 30000);
    for (const { connection, heard } of clients) {
      await connection.stop();
      assert.ok(heard('SessionReady').length <= 1 + again, 'each connection is told once');
    }
    await endSession(gateways[0], clients[0].heard('SessionReady')[0].webSocketUrl);
  });

  test('a node that drains sends its clients to the other one', async () => {
    const [leaving, staying] = gateways;
    const waiting = await waitInLine(staying);
    const clients = TRANSPORTS.map((transport) => makeClient(balancer.url, { transport, reconnect: [0, 50, 50, 100, 100, 200, 400, 800, 1600, 3200] }));
    for (const { connection } of clients) {
      connection.onreconnected(() => connection.invoke('Register', waiting.id));
      // Until it has come to the node that will leave.
      for (let port = 0; port !== leaving.port; balancer.next += Math.round(Math.random())) {
        await connection.stop();
        const seen = balancer.seen.length;
        await connection.start();
        [, , port] = balancer.seen.slice(seen).find(([method, path]) => method === 'GET' && path === '/sessionHub');
      }
      await connection.invoke('Register', waiting.id);
    }
    leaving.signal('SIGTERM');
    await until(async () => (await staying.metric('iqra_hub_connections')) === clients.length, 'all to be at the other node', 30000);
    await until(() => clients.every(({ connection }) => connection.state === 'Connected'), 'all to be connected');
    await waiting.release();
    for (const { heard } of clients) await until(() => heard('SessionReady').length, 'SessionReady', 30000);
    for (const { connection } of clients) await connection.stop();
    assert.deepEqual(await leaving.exited, { code: 0, signal: null });
  });
});
