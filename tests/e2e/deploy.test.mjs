// SPDX-License-Identifier: Apache-2.0
// The ways people put a gateway on a network: TLS of its own or by nginx, a secured agent, IPv6, 1:1 NAT, STUN, another
// site's page. Each is shown by a browser's call.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { startAgent } from '../sim/agent.mjs';
import { launchChromium, openCallPage, openPage } from './lib/browser.mjs';
import { until } from './lib/gateway.mjs';
import { freePort, startNginx } from './lib/nginx.mjs';
import { agentHears, callStates, connectBoth, hears, HOST, startCall, startHouse, stats, stopCall, wholeCall } from './lib/scenario.mjs';
import { makeAuthority } from './lib/tls.mjs';

const MIC_HZ = 600;
const IPV6 = 'fd77::1';
// What node itself fetches here is vouched for by an authority made a moment ago.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';

const authority = makeAuthority();
const here = authority.issue('here', [`IP:${HOST}`, 'IP:127.0.0.1', 'DNS:localhost']);
let browser;
before(async () => {
  const origins = [];
  // Chromium takes only what it knows when it starts: one origin for all tests that need a real address in plain http.
  for (const host of [HOST, `[${IPV6}]`]) for (let port = 18080; port < 18084; port++) origins.push(`http://${host}:${port}`);
  browser = await launchChromium({ micHz: MIC_HZ, mdns: true, insecureOrigin: origins.join(','), args: ['--ignore-certificate-errors'] });
});
after(() => browser?.close());

// A house that ends with its test `t`, also when that fails.
async function houseFor(t, options) {
  const house = await startHouse(options);
  t.after(house.stop);
  return house;
}

const plainListen = (host, index) => ({ HttpListen: `${host}:${18080 + index}` });

// Pages whose signalling can be looked at (page.received, page.sent) and that run `script` before all else.
function watched(script, arg) {
  const newPage = async (context) => {
    const page = await browser.newPage(context);
    page.received = [];
    page.sent = [];
    page.sockets = [];
    const keep = (list) => (frame) => list.push(JSON.parse(frame.payload));
    page.on('websocket', (ws) => {
      page.sockets.push(ws.url());
      ws.on('framereceived', keep(page.received));
      ws.on('framesent', keep(page.sent));
    });
    if (script) await page.addInitScript(script, arg);
    return page;
  };
  return { newPage };
}

// Both ends hear each other; the call stays up.
async function talk(page, house) {
  const call = await connectBoth(page, house.agent);
  await agentHears(call, MIC_HZ);
  call.sayTone(1000, 3000);
  await hears(page, 1000);
  return call;
}

async function hangUp(page, call) {
  await stopCall(page);
  await until(() => call.closed, 'the agent to be hung up', 2000);
  assert.deepEqual(page.testErrors ?? [], []);
  await page.close();
}

const addressOf = (candidate) => candidate.split(' ')[4];
// All candidates in a list of signalling messages, trickled or in a description.
const candidatesIn = (messages) => messages.flatMap((m) => [
  ...[...(m.sdp ?? '').matchAll(/a=(candidate:[^\r\n]*)/g)].map((found) => found[1]),
  ...(m.candidate?.candidate ? [m.candidate.candidate] : []),
]);

describe('TLS', () => {
  test('the gateway serves https and wss itself', async (t) => {
    const house = await houseFor(t, { config: { Gateway: { TlsCertificate: here.certFile, TlsKey: here.keyFile } } });
    house.gateway.url = `https://${HOST}:${house.gateway.port}`;
    const session = await house.gateway.admit();
    assert.match(JSON.stringify(session), new RegExp(`"wss://${HOST}:${house.gateway.port}/ws/session/`));
    await wholeCall(browser, house, { micHz: MIC_HZ, base: house.gateway.url });
  });

  test('nginx in front: wss handed out, the browser and not the proxy is the client', async (t) => {
    const house = await houseFor(t, { config: { ForwardedHeaders: { KnownProxies: ['127.0.0.2'] } } });
    const nginx = await startNginx(t, 'operations.md', [house.gateway.port], here);
    const page = await openCallPage(watched(), house.gateway, { base: nginx.url });
    const call = await talk(page, house);
    assert.match(page.sockets[0], new RegExp(`^wss://${HOST}:${nginx.port}/ws/session/`));
    assert.match(house.gateway.logged(/admitted for client/).msg, new RegExp(`client ${HOST.replaceAll('.', '\\.')}$`));
    await hangUp(page, call);
  });

  test('X-Forwarded-For counts from a known proxy only', async (t) => {
    const house = await houseFor(t, { config: { ForwardedHeaders: { KnownProxies: ['127.0.0.2'] } } });
    const nginx = await startNginx(t, 'operations.md', [house.gateway.port], here);
    const lie = { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'evil.example' };
    const body = JSON.stringify({ campaignId: 'demo', regionId: 'local', transportType: 1, dynamicVariables: {}, metadata: {} });
    for (const url of [house.gateway.url, nginx.url]) {
      const seen = house.gateway.logs.length;
      const response = await fetch(`${url}/api/session/request`, { method: 'POST', headers: { 'content-type': 'application/json', ...lie }, body });
      assert.equal(response.status, 200);
      const text = await response.text();
      const from = house.gateway.logs.slice(seen).find((l) => /admitted for client/.test(l.msg));
      assert.match(from.msg, new RegExp(`client ${HOST.replaceAll('.', '\\.')}$`), url);
      assert.doesNotMatch(text, /evil\.example/);
      assert.match(text, new RegExp(url === nginx.url ? `wss://${HOST}:${nginx.port}/` : `ws://${HOST}:${house.gateway.port}/`));
    }
  });
});

describe('an agent on wss', () => {
  let agent;
  before(async () => {
    agent = await startAgent({ tls: { key: here.key, cert: here.cert } });
  });
  after(() => agent?.close());

  test('its authority in Agent.CaFile: a call, with Agent.Headers', async (t) => {
    const headers = { Authorization: 'Bearer for the agent', 'X-Tenant': 'a shop' };
    const house = await houseFor(t, { config: { Agent: { CaFile: authority.caFile, Headers: headers } }, platformOptions: { agentUrl: agent.url } });
    const { call } = await wholeCall(browser, { ...house, agent }, { micHz: MIC_HZ });
    assert.equal(call.headers.authorization, headers.Authorization);
    assert.equal(call.headers['x-tenant'], headers['X-Tenant']);
    assert.equal(house.gateway.text().includes('for the agent'), false, 'a secret is in the log');
  });

  const strangers = [
    { what: 'an authority nobody knows', host: '127.0.0.1', config: {} },
    { what: 'an address the certificate does not hold', host: '127.0.0.3', config: { Agent: { CaFile: authority.caFile } } },
  ];
  for (const { what, host, config } of strangers) {
    test(`${what}: the page gets agent_unavailable`, async (t) => {
      const stranger = await startAgent({ tls: { key: here.key, cert: here.cert }, host });
      t.after(() => stranger.close());
      const house = await houseFor(t, { config, platformOptions: { agentUrl: stranger.url } });
      const page = await openCallPage(watched(), house.gateway);
      await startCall(page);
      const error = await until(() => page.received.find((m) => m.type === 'error'), 'the error in the page');
      assert.equal(error.code, 'agent_unavailable');
      await until(async () => /error/i.test((await callStates(page)).join(' ')), 'the page to say so');
      assert.equal(stranger.calls.length, 0);
      assert.ok(house.gateway.logged(/certificate refused/), house.gateway.text());
      await page.close();
    });
  }
});

// Runs in the page: candidates that do not match `pattern` are lost on the way, in both directions; `rename` replaces the
// address of those the page sends.
function filterCandidates({ pattern, rename }) {
  const wanted = (candidate) => new RegExp(pattern).test(candidate.split(' ')[4]);
  const change = (candidate) => {
    if (!wanted(candidate)) return null;
    const fields = candidate.split(' ');
    if (rename) fields[4] = rename;
    return fields.join(' ');
  };
  const lines = /a=(candidate:[^\r\n]*)\r\n/g;
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function filtered(data) {
    const message = JSON.parse(data);
    if (message.sdp) message.sdp = message.sdp.replace(lines, (line, found) => (change(found) ? `a=${change(found)}\r\n` : ''));
    if (message.candidate?.candidate) message.candidate.candidate = change(message.candidate.candidate);
    if (!message.candidate || message.candidate.candidate !== null) send.call(this, JSON.stringify(message));
  };
  const peer = RTCPeerConnection.prototype;
  const { addIceCandidate, setRemoteDescription } = peer;
  peer.addIceCandidate = function filtered(candidate) {
    return candidate?.candidate && !wanted(candidate.candidate) ? Promise.resolve() : addIceCandidate.call(this, candidate);
  };
  peer.setRemoteDescription = function filtered(description) {
    return setRemoteDescription.call(this, { type: description.type, sdp: description.sdp.replace(lines, (line, found) => (wanted(found) ? line : '')) });
  };
}

// The addresses of the candidate pair in use, as the page sees them.
const usedPair = (page) => page.evaluate(async () => {
  const report = await window.testPeers.at(-1).getStats();
  const pair = [...report.values()].find((r) => r.type === 'candidate-pair' && r.nominated);
  return [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)].map(({ address, candidateType, port }) => ({ address, candidateType, port }));
});

describe('addresses', () => {
  test('IPv6 only: the page, signalling and media', async (t) => {
    const house = await houseFor(t, { config: { Gateway: plainListen('[::]', 0) }, gatewayOptions: { host: `[${IPV6}]` } });
    const page = await openCallPage(watched(filterCandidates, { pattern: ':' }), house.gateway, { base: house.gateway.url });
    const call = await talk(page, house);
    assert.match(page.sockets[0], /^ws:\/\/\[fd77::1\]:\d+\//);
    const [mine, its] = await usedPair(page);
    assert.equal(mine.address, IPV6);
    assert.equal(its.address, IPV6);
    assert.match(house.gateway.logged(/admitted for client/).msg, /client fd77::1$/);
    await hangUp(page, call);
  });

  test('behind 1:1 NAT: the public address is signalled in place of the private one', async (t) => {
    const house = await houseFor(t, { config: { Gateway: { ...plainListen('0.0.0.0', 1), PublicAddress: '203.0.113.77' } } });
    const page = await openCallPage(watched(), house.gateway, { base: house.gateway.url });
    const call = await talk(page, house);
    const addresses = candidatesIn(page.received).map(addressOf);
    assert.ok(addresses.includes('203.0.113.77'), addresses.join(' '));
    assert.deepEqual(addresses.filter((a) => a === HOST || a.startsWith('127.')), []);
    await hangUp(page, call);
  });

  test('a browser that hides its addresses behind names nobody can resolve', async (t) => {
    const house = await houseFor(t, { config: { Gateway: plainListen('0.0.0.0', 2) } });
    const rename = '3b9f3ad2-6f24-4a4c-9f6e-0c5b0f0a7a11.local';
    const page = await openCallPage(watched(filterCandidates, { pattern: '.', rename }), house.gateway, { base: house.gateway.url });
    const call = await talk(page, house);
    const addresses = candidatesIn(page.sent).map(addressOf);
    assert.ok(addresses.length > 0);
    assert.deepEqual(addresses.filter((a) => !a.endsWith('.local')), []);
    await hangUp(page, call);
  });

  test('a STUN server: the address that it saw is signalled, too', async (t) => {
    const stun = await startStun(t);
    const house = await houseFor(t, { config: { Gateway: plainListen('0.0.0.0', 3), WebRtc: { IceServers: [{ urls: `stun:${HOST}:${stun.port}` }] } } });
    const page = await openCallPage(watched(), house.gateway, { base: house.gateway.url });
    const call = await talk(page, house);
    const reflexive = await until(() => candidatesIn(page.received).find((c) => / typ srflx /.test(c)), 'our reflexive candidate');
    assert.equal(addressOf(reflexive), HOST);
    assert.ok(stun.seen.includes(Number(reflexive.split(' ')[5])), reflexive);
    await hangUp(page, call);
  });
});

// coturn, seen through a small NAT: what comes to `port` reaches coturn from a port of its own for each sender.
async function startStun(t) {
  const coturnPort = await freePort();
  const files = ['--log-file', 'stdout', '--pidfile', path.join(authority.dir, 'turn.pid'), '--userdb', path.join(authority.dir, 'turn.db')];
  const child = spawn('turnserver', ['-n', '-S', '-L', HOST, '-p', String(coturnPort), '--no-tls', '--no-dtls', '--no-cli', ...files], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const outsides = new Map();
  const seen = [];
  const inside = dgram.createSocket('udp4');
  const outsideFor = async (from) => {
    const outside = dgram.createSocket('udp4');
    outside.bind(0, HOST);
    await once(outside, 'listening');
    outside.on('message', (answer) => inside.send(answer, from.port, from.address));
    seen.push(outside.address().port);
    return outside;
  };
  inside.on('message', async (request, from) => {
    const key = `${from.address}:${from.port}`;
    if (!outsides.has(key)) outsides.set(key, outsideFor(from));
    (await outsides.get(key)).send(request, coturnPort, HOST);
  });
  inside.bind(0, HOST);
  await once(inside, 'listening');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
    inside.close();
    for (const outside of outsides.values()) (await outside).close();
  });
  return { port: inside.address().port, seen };
}

test('the network to the agent goes away: the call ends in a while, though no socket was closed', async (t) => {
  const agent = await startAgent({ host: HOST });
  t.after(() => agent.close());
  const house = await houseFor(t, { platformOptions: { agentUrl: agent.url } });
  const page = await openCallPage(watched(), house.gateway);
  await connectBoth(page, agent);
  const port = new URL(agent.url).port;
  for (const side of ['--sport', '--dport']) {
    const rule = ['INPUT', '-p', 'tcp', side, port, '-j', 'DROP'];
    execFileSync('iptables', ['-A', ...rule]);
    t.after(() => execFileSync('iptables', ['-D', ...rule]));
  }
  const error = await until(() => page.received.find((m) => m.type === 'error'), 'the error in the page', 25000);
  assert.equal(error.code, 'agent_lost');
  await page.close();
});

describe("another site's page", () => {
  let site;
  let house;
  const origins = () => ({ known: `http://localhost:${site.address().port}`, unknown: `http://127.0.0.1:${site.address().port}` });
  before(async () => {
    // One tag, as docs/embed.md shows it.
    site = http.createServer((request, response) => {
      const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      response.setHeader('content-type', 'text/html');
      response.end(`<!doctype html><title>A shop</title><p>Welcome</p>
        <script src="${house.gateway.localUrl}/widget.js" data-campaign-id="demo" data-region-id="local" data-audio-constraints='${JSON.stringify(audio)}'></script>`);
    });
    site.listen(0, '0.0.0.0');
    await once(site, 'listening');
    house = await startHouse({ config: { AllowedOrigins: [origins().known] } });
  });
  after(async () => {
    await house?.stop();
    site?.close();
  });

  const openSite = async (base) => {
    const page = await openPage(browser, house.gateway, { base, query: '' });
    await page.evaluate(() => {
      window.call = window.iqraWidget;
      window.callStates = [];
      window.callErrors = [];
      window.call.on('state', (state) => window.callStates.push(state));
      window.call.on('error', (error) => window.callErrors.push(error));
    });
    return page;
  };

  test('its origin in AllowedOrigins: one script tag makes a call', async () => {
    const page = await openSite(origins().known);
    const call = await talk(page, house);
    assert.ok((await stats(page)).in.packets > 0);
    await hangUp(page, call);
  });

  test('an origin that is not listed: a clear error, no CORS headers, no socket', async () => {
    const { known, unknown } = origins();
    const page = await openSite(unknown);
    await startCall(page);
    const error = await until(() => page.evaluate(() => window.callErrors[0] && { code: window.callErrors[0].code, message: window.callErrors[0].message }), 'the error');
    assert.match(error.message, /could not be reached/);
    await page.close();
    const allowed = (response) => [...response.headers.keys()].filter((name) => name.startsWith('access-control-'));
    for (const method of ['OPTIONS', 'POST']) {
      const ask = (origin) => fetch(`${house.gateway.localUrl}/api/session/request`, { method, headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' } });
      assert.deepEqual(allowed(await ask(unknown)), [], method);
      assert.ok(allowed(await ask(known)).includes('access-control-allow-origin'), method);
    }
    const session = JSON.stringify(await house.gateway.admit());
    const status = await new Promise((resolve) => {
      const ws = new WebSocket(/wss?:\/\/[^"]+/.exec(session)[0], { origin: unknown });
      ws.on('unexpected-response', (request, response) => { resolve(response.statusCode); request.destroy(); });
      ws.on('open', () => { resolve(101); ws.close(); });
      ws.on('error', () => {});
    });
    assert.equal(status, 403);
  });
});
