// SPDX-License-Identifier: Apache-2.0
// A crowd that waits before several gateways on one Redis, a platform whose sessions end, and somebody who looks all the
// time whether everything is as it must be.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { WebSocket } from 'ws';
import { RoundRobin } from '../../sim/roundrobin.mjs';
import { startPlatform } from '../../sim/platform.mjs';
import { Gateway, merge, TOP, until } from './gateway.mjs';
import { EventSource, makeClient, TRANSPORTS, WEBHOOK_TOKEN } from './hub.mjs';
import { Redis } from './redis.mjs';

const END = '\x1e';
const OUTCOMES = ['SessionReady', 'SessionFailed'];
const RECONNECT = [0, 100, 200, 400, 800, 800, 800, 800, 800, 800, 800, 800];
export const sessionOf = ({ webSocketUrl }) => webSocketUrl.split('/').pop();
const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const INVARIANTS = fs.readFileSync(`${TOP}/tests/unit/middleware/invariants.lua`, 'utf8');

// ---- clients

// Somebody who waits for `id`: what he heard that ends his waiting is in `outcomes`, and once there is one, `onOutcome`
// is called. A connection that is lost is made again, wherever the balancer leads.
class Waiter {
  constructor(id, base, onOutcome) {
    Object.assign(this, { id, base, onOutcome, outcomes: [], position: 0, connections: 0, stopped: false });
  }

  hear(target, argument) {
    if (target === 'QueuePosition') this.position = argument.position;
    if (!OUTCOMES.includes(target)) return;
    this.outcomes.push([target, argument]);
    if (this.outcomes.length === 1) this.onOutcome(this);
  }

  // Register was refused. Of somebody who had registered before that is an end, too.
  refuse(error) {
    this.refused = error;
    if (this.position && /The request is not known/.test(error)) this.hear('SessionFailed', { message: error });
  }

  get done() {
    return this.outcomes.length > 0;
  }
}

// The official client's steps over a bare WebSocket: cheap enough for hundreds.
export class LightWaiter extends Waiter {
  async start() {
    while (!this.stopped && !this.done) {
      await this.connect().catch(() => rest(100 + 200 * Math.random()));
    }
  }

  // Until the connection is over.
  async connect() {
    const response = await fetch(`${this.base}/sessionHub/negotiate?negotiateVersion=1`, { method: 'POST' });
    if (!response.ok) throw new Error(`negotiate: ${response.status}`);
    const { connectionToken } = await response.json();
    this.ws = new WebSocket(`${this.base.replace('http', 'ws')}/sessionHub?id=${connectionToken}`);
    const send = (record) => this.ws.readyState === WebSocket.OPEN && this.ws.send(JSON.stringify(record) + END);
    const ping = setInterval(() => send({ type: 6 }), 10000);
    await new Promise((resolve, reject) => {
      this.ws.on('error', reject).on('close', () => resolve());
      this.ws.on('open', () => {
        this.connections++;
        send({ protocol: 'json', version: 1 });
        send({ type: 1, invocationId: '0', target: 'Register', arguments: [this.id] });
      });
      this.ws.on('message', (data) => {
        for (const text of data.toString().split(END).filter(Boolean)) this.take(JSON.parse(text), send);
      });
    }).finally(() => clearInterval(ping));
    await rest(50);
  }

  take(record, send) {
    if (record.type === 1) this.hear(record.target, record.arguments[0]);
    if (record.type !== 3 || !record.error || this.done) return;
    this.refuse(record.error);
    if (!this.stopped && !this.done) setTimeout(() => send({ type: 1, invocationId: '0', target: 'Register', arguments: [this.id] }), 300);
  }

  async stop() {
    this.stopped = true;
    this.ws?.terminate();
  }
}

// The official client itself.
export class RealWaiter extends Waiter {
  constructor(id, base, onOutcome, options) {
    super(id, base, onOutcome);
    this.transport = options.transport;
    const { connection } = makeClient(base, { reconnect: RECONNECT, quiet: true, options: { EventSource }, ...options });
    this.connection = connection;
    for (const target of [...OUTCOMES, 'QueuePosition']) connection.on(target, (argument) => this.hear(target, argument));
    connection.onreconnected(() => this.register());
    connection.onclose(() => this.start());
  }

  async start() {
    while (!this.stopped && !this.done && this.connection.state === 'Disconnected') {
      await this.connection.start().then(() => this.register(), () => rest(300));
    }
  }

  async register() {
    this.connections++;
    while (!this.stopped && !this.done && this.connection.state === 'Connected') {
      const told = await this.connection.invoke('Register', this.id).then(() => true, (error) => this.refuse(error.message));
      if (told) return;
      await rest(300);
    }
  }

  async stop() {
    this.stopped = true;
    await this.connection.stop().catch(() => {});
  }
}

// ---- the place

export class Crowd {
  // `nodes` gateways behind a balancer without stickiness, on one Redis, asking a platform that allows `max` calls.
  static async start({ nodes, max, keeps = true, config = {} }) {
    const crowd = new Crowd();
    Object.assign(crowd, { max, waiters: [], told: new Map(), webhooks: new Set(), unheard: new Set(), asked: [], faults: new Map(), orphans: new Set(), admitted: new Set(), violations: [], looks: 0, looking: true });
    crowd.redis = new Redis({ keeps });
    crowd.platform = await startPlatform({ agentUrl: (id) => `wss://platform.example/ws/${id}`, plan: { max, others: 0, enforce: true }, latencyMs: 50 });
    crowd.platform.faultOf = (body) => crowd.onAsked(body);
    const common = {
      RedisConnectionString: crowd.redis.target,
      Agent: { Builtin: '' },
      ForwardedHeaders: { KnownNetworks: ['127.0.0.0/8'] },
      VoiceAiPlatform: {
        BaseUrl: crowd.platform.baseUrl,
        ApiSecretToken: 'platform-secret',
        Campaigns: { other: { BusinessId: '2', WebCampaignId: 'other', AllowedRegionIds: ['local'], Weight: 3 } },
      },
      Security: { WebhookApiToken: WEBHOOK_TOKEN, RateLimitConcurrency: 1 },
      Queue: { WebSocketLeaseSeconds: 60 },
      Hub: { MaxConnectionsPerAddress: 5000 },
      Gateway: { SessionTokenSecret: 'the same on every node' },
    };
    const names = Array.from({ length: nodes }, (_, i) => `node${i}`);
    crowd.gateways = await Promise.all(names.map((NodeId) => Gateway.start(merge(merge(common, { Gateway: { NodeId } }), config), { host: '127.0.0.1' })));
    crowd.balancer = await new RoundRobin(crowd.gateways.map(({ port }) => port)).start();
    for (const gateway of crowd.gateways) await until(async () => (await crowd.desk(gateway)).plan?.max === max, 'the plan');
    return crowd;
  }

  get living() {
    return this.gateways.filter(({ end }) => !end);
  }

  async desk(gateway = this.living[0]) {
    return (await gateway.admin('GET', 'desk')).json();
  }

  // Asks for a session as somebody with an address of his own, at whatever node is next (or at `base`).
  async ask(name, { campaignId = 'demo', transportType = 0, from, base = this.balancer.url } = {}) {
    const n = this.names = (this.names ?? 0) + 1;
    const response = await fetch(`${base}/api/session/request`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-forwarded-for': from ?? `198.18.${n >> 8}.${n & 255}` },
      body: JSON.stringify({ campaignId, regionId: 'local', transportType, clientIdentifier: name, dynamicVariables: {}, metadata: {} }),
    });
    return { name, status: response.status, retryAfter: Number(response.headers.get('retry-after')), ...(await response.json()) };
  }

  // `ids` wait from now on, every tenth by the official client, over each transport in turn.
  async wait(ids) {
    const onOutcome = (waiter) => this.onOutcome(waiter);
    const added = ids.map((id, i) => {
      if (i % 10) return new LightWaiter(id, this.balancer.url, onOutcome);
      return new RealWaiter(id, this.balancer.url, onOutcome, { client: i % 20 ? 9 : 10, transport: TRANSPORTS[(i / 10) % 3] });
    });
    this.waiters.push(...added);
    for (let i = 0; i < added.length; i += 20) {
      for (const waiter of added.slice(i, i + 20)) waiter.start();
      await until(() => added.slice(i, i + 20).every(({ position }) => position), 'their positions', 30000);
    }
    return added;
  }

  // The platform is asked for a session of somebody: what shall become of it?
  onAsked(body) {
    const name = body.ClientIdentifier.split('_')[0];
    const fault = this.faultNow?.(name, this.asked.filter((asked) => asked === name).length);
    this.asked.push(name);
    if (fault && fault !== 'full') this.faults.set(name, fault);
    return fault;
  }

  onOutcome(waiter) {
    const [target, argument] = waiter.outcomes[0];
    if (target !== 'SessionReady') return;
    this.told.set(sessionOf(argument), waiter);
    this.onSession?.(argument.webSocketUrl, waiter);
  }

  // Redis dies, with whatever is going on, and comes back. Meanwhile the nodes say so, and nobody new is taken.
  async restartRedis() {
    const readyIs = (status) =>
      until(async () => {
        const answers = await Promise.all(this.living.map(({ url }) => fetch(`${url}/readyz`)));
        return answers.every((answer) => answer.status === status);
      }, `every node to answer ${status}`, 30000);
    await this.redis.kill();
    await readyIs(503);
    for (const { url } of this.living) {
      const refused = await this.ask('nobody', { base: url });
      assert.deepEqual([refused.status, refused.message], [503, 'The session desk is not available right now. Please try again.']);
      assert.ok(refused.retryAfter > 0);
    }
    this.redis.run();
    await readyIs(200);
  }

  // ---- how sessions end

  // `webhooks`: after how many ms each comes; [] = the platform never says so.
  async end(url, webhooks = [0]) {
    const id = url.split('/').pop();
    this.unheard.add(id);
    this.platform.end(id);
    const sent = Promise.all(webhooks.map(async (ms) => {
      await rest(ms);
      await this.webhook(id);
      this.unheard.delete(id);
    }));
    this.webhooks.add(sent);
    await sent;
  }

  // Each session ends soon after its client has heard of it, and the webhook comes once, twice at once, late, or again later.
  endSessions() {
    const webhooks = [[0], [0, 0], [1500], [0], [0, 700]];
    this.onSession = (url) => {
      const kind = webhooks[this.told.size % webhooks.length];
      this.webhooks.add(rest(50 + 200 * Math.random()).then(() => this.end(url, kind)));
    };
  }

  // Until a node takes it, as the platform's tool would. `status`: what it may answer besides 200.
  async webhook(id, status = 200) {
    const init = { method: 'POST', headers: { 'content-type': 'application/json', 'x-api-token': WEBHOOK_TOKEN }, body: JSON.stringify({ ConversationSessionId: id }) };
    await until(async () => {
      const response = await fetch(`${this.balancer.url}/api/webhook/session-ended`, init).catch(() => ({ status: 502 }));
      assert.ok([200, 502, 503, status].includes(response.status), `a webhook got ${response.status}`);
      return response.status < 500;
    }, 'a webhook to be taken', 30000);
  }

  // Sessions that a node made for somebody and could not tell of, since it died: the platform ends them after a while.
  reap() {
    const seen = new Map();
    this.reaper = setInterval(() => {
      for (const id of this.platform.live.keys()) {
        if (this.told.has(id) || this.admitted.has(id)) continue;
        if (!seen.has(id)) seen.set(id, performance.now());
        if (performance.now() - seen.get(id) < 6000) continue;
        this.unheard.add(id);
        this.orphans.add(id);
        this.platform.end(id);
        this.webhooks.add(this.webhook(id, 400).then(() => this.unheard.delete(id)));
      }
    }, 500);
  }

  // ---- what must hold

  async look({ newcomers = false } = {}) {
    const certain = [...this.told.keys()].filter((id) => this.platform.live.has(id));
    const [slots, waiting, serving, leases, ...sessions] = await this.redis.query('EVAL', INVARIANTS, 0, '', this.max, 20000, newcomers ? 1 : '');
    for (const id of certain) {
      if (this.platform.live.has(id) && !sessions.includes(id)) this.violations.push(`a session without a slot: ${id}`);
    }
    for (const id of sessions) {
      if (!this.platform.live.has(id) && !this.unheard.has(id) && !(await this.hasEnded(id))) this.violations.push(`a slot without a session: ${id}`);
    }
    this.looks++;
    return { slots, waiting, serving, leases, sessions };
  }

  // Its webhook may have come while Redis was looked at.
  async hasEnded(id) {
    const slot = await this.redis.query('GET', `slots:session:${id}`);
    return (await this.redis.query('EXISTS', `slots:slot:${slot}`)) === 0;
  }

  // From now on, until `close` or `rest`.
  watch() {
    this.watching = (async () => {
      while (this.looking) {
        await this.look().catch((error) => {
          if (/INVARIANT|ERR/.test(error.message)) this.violations.push(error.message);
        });
        for (const gateway of this.living) await this.lookAt(gateway).catch(() => {});
        await rest(200);
      }
    })();
  }

  async lookAt(gateway) {
    const response = await gateway.admin('GET', 'desk');
    if (!response.ok) return;
    const { slots, leases } = await response.json();
    if (slots > this.max) this.violations.push(`${slots} slots`);
    const sessions = Object.values(leases).map(({ session }) => session).filter(Boolean);
    if (new Set(sessions).size !== sessions.length) this.violations.push('two slots of one session');
  }

  // Until each waiter has heard how his waiting ends; who has not, and whatever may hold him up, is in the error.
  async everybodyIsDone(what, ms) {
    await until(() => this.waiters.every(({ done }) => done), what, ms).catch(async ({ message }) => {
      const missing = this.waiters.filter(({ done }) => !done).slice(0, 10);
      const state = {
        missing: missing.map(({ id, transport, position, connections, refused, connection }) => ({ id, transport, position, connections, refused, state: connection?.state })),
        told: this.told.size,
        live: this.platform.live.size,
        look: await this.look().catch(String),
      };
      assert.fail(`${message}: ${JSON.stringify(state)}`);
    });
  }

  // Everybody has come to one end, nothing is left, and nothing was ever wrong.
  async assertOver() {
    await Promise.all(this.webhooks);
    const nothing = { slots: 0, waiting: 0, serving: 0, leases: 0, sessions: [] };
    let last;
    await until(async () => {
      last = await this.look().catch((error) => error);
      return JSON.stringify(last) === JSON.stringify(nothing);
    }, 'slots, leases and queue to be empty', 75000).catch((error) => assert.fail(`${error.message}: ${JSON.stringify(last)}`));
    this.looking = false;
    await this.watching;
    await until(() => this.platform.live.size === 0, 'the sessions of nobody to be ended');
    clearInterval(this.reaper);
    await Promise.all(this.webhooks); // the second ones
    assert.deepEqual(this.violations, []);
    for (const waiter of this.waiters) assert.equal(waiter.outcomes.length, 1, `${waiter.id}: ${JSON.stringify(waiter.outcomes)}`);
    for (const { outcomes } of this.waiters) if (outcomes[0][0] === 'SessionFailed') assert.ok(outcomes[0][1].message);
    const urls = this.waiters.map(({ outcomes }) => outcomes[0][1].webSocketUrl).filter(Boolean);
    assert.equal(new Set(urls).size, urls.length, 'nobody has the session of another');
  }

  async close() {
    this.looking = false;
    clearInterval(this.reaper);
    await this.watching;
    await Promise.all(this.waiters.map((waiter) => waiter.stop()));
    await this.balancer.close();
    for (const gateway of this.gateways) if (gateway.end?.signal !== 'SIGKILL') await gateway.stop();
      else fs.rmSync(gateway.dir, { recursive: true, force: true });
    await this.platform.close();
    await this.redis.stop();
  }
}

// ---- a whole crowd

// Many ask: `first` get a session at once, the others wait. `nameOf` their ids, and how they stand in each campaign's line.
export async function gather(crowd, count) {
  const first = await Promise.all(Array.from({ length: crowd.max }, (_, i) => crowd.ask(`a${i}`)));
  assert.deepEqual(first.map(({ status }) => status), first.map(() => 200));
  for (const one of first) crowd.admitted.add(sessionOf(one));
  const queued = [];
  for (let i = 0; i < count; i += 25) {
    queued.push(...await Promise.all(Array.from({ length: 25 }, (_, k) => crowd.ask(`w${i + k}`, { campaignId: k % 2 ? 'other' : 'demo' }))));
  }
  assert.ok(queued.every(({ status }) => status === 'queued'), JSON.stringify(queued.find(({ status }) => status !== 'queued')));
  const nameOf = new Map(queued.map(({ uniqueRequestId, name }) => [uniqueRequestId, name]));
  await crowd.wait([...nameOf.keys()]);
  await until(() => new Set(crowd.waiters.map(({ position }) => position)).size === count, 'a place for each', 30000);
  const line = async (campaign) => (await crowd.redis.query('ZRANGE', `queue:of:${campaign}`, 0, -1)).map((id) => nameOf.get(id));
  return { first, nameOf, lines: { demo: await line('demo'), other: await line('other') } };
}

// Whoever stands before somebody is asked for before him, or has a slot already: of those there are at most crowd.max.
export function assertInOrder(crowd, line) {
  const asked = [...new Set(crowd.asked)];
  const when = line.map((name) => asked.indexOf(name));
  assert.ok(!when.includes(-1), `never tried: ${line[when.indexOf(-1)]}`);
  for (const [i, mine] of when.entries()) {
    const passed = when.slice(0, i).filter((before) => before > mine).length;
    assert.ok(passed < crowd.max, `${line[i]} overtook ${passed}`);
  }
}
