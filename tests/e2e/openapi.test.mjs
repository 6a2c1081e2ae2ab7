// SPDX-License-Identifier: Apache-2.0
// The document at /api/openapi.json: whole, with examples that its schemas take, and answers that they take, too. That it
// has every route, and no other, is tests/unit/gateway/test_openapi.c's.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import Ajv from 'ajv/dist/2020.js';
import { TOP } from './lib/gateway.mjs';
import { endSession, startGateway, startPlace } from './lib/hub.mjs';

// A schema as ajv knows it: references are names.
const named = (schema) => JSON.parse(JSON.stringify(schema).replaceAll('"#/components/schemas/', '"'));

let place;
let gateway;
let document;
let ajv;
before(async () => {
  place = await startPlace();
  gateway = await startGateway(place);
  document = await (await fetch(`${gateway.url}/api/openapi.json`)).json();
  ajv = new Ajv({ strict: true, allowUnionTypes: true, formats: { uri: URL.canParse } });
  for (const [name, schema] of Object.entries(document.components.schemas)) ajv.addSchema(named(schema), name);
});
after(async () => {
  await gateway?.stop();
  await place?.platform.close();
});

function validate(schema, value, where) {
  const check = ajv.compile(named(schema));
  assert.ok(check(value), `${where}: ${JSON.stringify(value)?.slice(0, 200)}: ${ajv.errorsText(check.errors)}`);
}

// [where, media type, {schema, example(s)}] of every body in the document.
function* bodies() {
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const where = `${method} ${path}`;
      for (const [type, media] of Object.entries(operation.requestBody?.content ?? {})) yield [where, type, media];
      for (const [status, response] of Object.entries(operation.responses)) {
        for (const [type, media] of Object.entries(response.content ?? {})) yield [`${where} ${status}`, type, media];
      }
    }
  }
}

test('it is OpenAPI 3.1, and what its operations need is there', () => {
  assert.match(document.openapi, /^3\.1\.\d+$/);
  assert.ok(document.info.title && document.info.version);
  const tags = document.tags.map(({ name }) => name);
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const where = `${method} ${path}`;
      assert.ok(operation.summary && Object.keys(operation.responses).length, where);
      for (const tag of operation.tags) assert.ok(tags.includes(tag), where);
      for (const response of Object.values(operation.responses)) assert.ok(response.description, where);
      for (const scheme of (operation.security ?? []).flatMap(Object.keys)) assert.ok(document.components.securitySchemes[scheme], where);
      const inPath = (operation.parameters ?? []).filter((p) => p.in === 'path').map((p) => p.name);
      assert.deepEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name), inPath, where);
    }
  }
});

test('every body has an example, and every example is what its schema says', () => {
  let count = 0;
  for (const [where, type, media] of bodies()) {
    const examples = media.examples ? Object.values(media.examples).map(({ value }) => value) : [media.example];
    for (const example of examples) {
      assert.notEqual(example, undefined, `${where} ${type} has no example`);
      validate(media.schema, example, `${where} ${type}`);
      count++;
    }
  }
  assert.ok(count > 60, `${count} examples`);
});

test('a wrong example would be found', () => {
  assert.throws(() => validate({ $ref: '#/components/schemas/Queued' }, { status: 'queued', uniqueRequestId: 'x', queuePosition: 0 }, 'wrong'));
  assert.throws(() => validate({ $ref: '#/components/schemas/Nobody' }, {}, 'missing'));
});

test('docs/middleware.md, for who moves over, has every status of the desk and every key that is about it', () => {
  const page = (name) => fs.readFileSync(`${TOP}/docs/${name}.md`, 'utf8');
  const [moving, limits] = [page('middleware'), page('limits')];
  const part = (text, from, to) => text.slice(text.indexOf(from), text.indexOf(to, text.indexOf(from)));
  const statusesIn = (text) => new Set([...text.matchAll(/^\| (\d{3}(?:, \d{3})*) \|/gm)].flatMap(([, list]) => list.split(', ')));
  const session = statusesIn(part(moving, '## The order of checks', 'Those of the webhook'));
  const hub = statusesIn(part(moving, 'Those of the webhook', '## Every key'));
  const told = {
    '/api/session/request': session,
    '/api/websession/initiate': session,
    '/sessionHub': hub,
    '/sessionHub/negotiate': hub,
    '/api/webhook/session-ended': statusesIn(part(limits, '## The webhook', "## The platform's own count")),
  };
  for (const [path, statuses] of Object.entries(told)) {
    for (const { responses } of Object.values(document.paths[path])) for (const status of Object.keys(responses)) assert.ok(statuses.has(status), `${path} ${status}`);
  }
  const keys = part(moving, '## Every key', '## Slots');
  const sections = ['ForwardedHeaders', 'VoiceAiPlatform', 'IpApi', 'Security', 'Queue', 'Hub'].map((name) => part(page('configuration'), `## ${name}\n`, '\n## '));
  const wanted = [part(page('configuration'), '## Top level', '\n## '), ...sections].flatMap((text) => [...text.matchAll(/^\| `([^`]+)`/gm)].map(([, key]) => key));
  assert.ok(wanted.length > 30);
  for (const key of wanted) assert.match(keys, new RegExp(`\\b${key.split('.').at(-1)}\\b`), key);
});

test('answers of the running gateway are what the document says', async () => {
  const asked = async (method, path, init = {}, at = path) => {
    const response = await fetch(gateway.url + at, { method: method.toUpperCase(), ...init });
    const text = await response.text();
    const where = `${method} ${path} ${response.status}`;
    const documented = document.paths[path][method].responses[response.status];
    assert.ok(documented, `${where} is not documented`);
    const type = response.headers.get('content-type')?.split(';')[0];
    if (!type) return { status: response.status };
    assert.ok(documented.content?.[type], `${where} ${type} is not documented`);
    const body = /json/.test(type) ? JSON.parse(text) : text;
    validate(documented.content[type].schema, body, where);
    return { status: response.status, body };
  };
  const admin = { headers: { authorization: 'Bearer admin-secret' } };
  const json = (body) => ({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  const wanted = { campaignId: 'demo', regionId: 'local', transportType: 0, dynamicVariables: {}, metadata: {} };
  for (const path of ['/', '/widget.js', '/favicon.ico', '/healthz', '/readyz', '/metrics', '/api/openapi.json', '/sessionHub']) await asked('get', path);
  const first = await asked('post', '/api/session/request', json(wanted));
  assert.equal(first.status, 200);
  assert.equal((await asked('post', '/api/session/request', json(wanted))).status, 202);
  assert.equal((await asked('post', '/api/session/request', json({ ...wanted, campaignId: 'x' }))).status, 400);
  assert.equal((await asked('post', '/api/session/request', json([]))).status, 400);
  assert.equal((await asked('post', '/api/websession/initiate', json({ businessId: '1', campaignId: 'demo', transportType: 'WebSocket' }))).status, 202);
  assert.equal((await asked('post', '/api/webhook/session-ended', json({}))).status, 401);
  for (const path of ['calls', 'desk', 'queue', 'nodes']) {
    assert.equal((await asked('get', `/api/admin/${path}`, admin)).status, 200);
    assert.equal((await asked('get', `/api/admin/${path}`)).status, 401);
  }
  assert.equal((await asked('delete', '/api/admin/calls/{sessionId}', admin, '/api/admin/calls/none')).status, 404);
  const { body } = await asked('post', '/sessionHub/negotiate', {}, '/sessionHub/negotiate?negotiateVersion=1');
  await asked('post', '/sessionHub/negotiate');
  const at = `/sessionHub?id=${body.connectionToken}`;
  assert.equal((await asked('get', '/sessionHub', {}, at)).status, 200);
  assert.equal((await asked('post', '/sessionHub', { body: '{"protocol":"json","version":1}\x1e' }, at)).status, 200);
  assert.deepEqual(await asked('get', '/sessionHub', {}, at), { status: 200, body: '{}\x1e' });
  assert.equal((await asked('delete', '/sessionHub', {}, at)).status, 202);
  assert.equal((await asked('get', '/sessionHub', {}, '/sessionHub?id=forged')).status, 401);
  assert.equal((await asked('get', '/ws/session/{sessionId}/webrtc/{clientId}/{token}', {}, '/ws/session/a/webrtc/b/c')).status, 426);
  await endSession(gateway, first.body.webSocketUrl);
});
