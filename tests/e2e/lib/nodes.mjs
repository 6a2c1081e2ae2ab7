// SPDX-License-Identifier: Apache-2.0
// Several nodes with one Redis: each gateway in a network namespace of its own, on a bridge with this process. A media
// node that listens on every address announces that of its namespace.
import { execFileSync } from 'node:child_process';
import { startAgent } from '../../sim/agent.mjs';
import { Gateway, merge, until } from './gateway.mjs';
import { Redis } from './redis.mjs';
import { admin, NUMBER } from './sip.mjs';

const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });

// Where callers are: two of them, so that they are different sources.
export const CALLERS = ['10.78.0.1', '10.78.0.2'];
export const PROXY_PORT = 5060;
export const uriOf = (business, number) => `sip:${NUMBER}@proxy;X-Business-Id=${business};X-Phone-Id=${number}`;

class Net {
  constructor() {
    this.bridge = `iqb${process.pid}`;
    this.spaces = [];
    ip('link', 'add', this.bridge, 'type', 'bridge');
    for (const address of CALLERS) ip('addr', 'add', `${address}/24`, 'dev', this.bridge);
    ip('link', 'set', this.bridge, 'up');
  }

  // A namespace with one address on the bridge.
  add() {
    const n = this.spaces.length + 1;
    const name = `iqra-node-${process.pid}-${n}`;
    const [here, there] = [`iq${process.pid}h${n}`, `iq${process.pid}n${n}`];
    ip('netns', 'add', name);
    this.spaces.push(name);
    ip('link', 'add', here, 'type', 'veth', 'peer', 'name', there, 'netns', name);
    ip('link', 'set', here, 'master', this.bridge, 'up');
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'addr', 'add', `10.78.0.${10 + n}/24`, 'dev', there);
    ip('-n', name, 'link', 'set', there, 'up');
    // The program ends with this one, whatever this one ends of.
    return { address: `10.78.0.${10 + n}`, launcher: ['ip', 'netns', 'exec', name, 'setpriv', '--pdeathsig', 'KILL', '--'] };
  }

  remove() {
    for (const name of this.spaces) ip('netns', 'del', name);
    ip('link', 'del', this.bridge);
  }
}

export class Nodes {
  // `config` is that of every gateway.
  static async start(config) {
    const nodes = new Nodes();
    nodes.net = new Net();
    nodes.redis = new Redis();
    nodes.agent = await startAgent({ host: CALLERS[0] });
    nodes.gateways = new Set();
    nodes.config = merge(
      {
        RedisConnectionString: nodes.redis.target,
        VoiceAiPlatform: { BaseUrl: '' },
        Gateway: { OverloadCpuPercent: 0, OverloadLateMs: 0, DrainSeconds: 60 },
        Agent: { Builtin: '', Url: nodes.agent.url },
        Sip: { InvitesPerSecond: 0, RtpPorts: '30000-30999' },
      },
      config,
    );
    return nodes;
  }

  async run(place, config) {
    const gateway = await Gateway.start(merge(this.config, config), { launcher: place.launcher, host: place.address });
    gateway.place = place;
    gateway.address = place.address;
    this.gateways.add(gateway);
    return gateway;
  }

  proxy(id) {
    const listen = ['udp:0.0.0.0:5060', 'tcp:0.0.0.0:5060'];
    return this.run(this.net.add(), { Gateway: { NodeId: id, Roles: ['proxy'] }, Sip: { ProxyListen: listen } });
  }

  media(id, region, maxCalls, place = this.net.add()) {
    const listen = ['udp:0.0.0.0:5070', 'tcp:0.0.0.0:5070'];
    return this.run(place, { Gateway: { NodeId: id, RegionId: region, Roles: ['media'], MaxCalls: maxCalls }, Sip: { MediaListen: listen } });
  }

  async kill(gateway) {
    this.gateways.delete(gateway);
    await gateway.kill();
  }

  async stop(gateway) {
    this.gateways.delete(gateway);
    await gateway.stop();
  }

  async end() {
    try {
      await Promise.all([...this.gateways].map((gateway) => gateway.stop()));
    } finally {
      for (const gateway of this.gateways) if (!gateway.end) gateway.signal('SIGKILL');
      await this.agent.close();
      await this.redis.stop();
      this.net.remove();
    }
  }
}

// The states of nodes as this gateway sees them: {id: state}.
export const statesOf = async (gateway) => Object.fromEntries((await admin(gateway, 'nodes')).map((n) => [n.id, n.state]));

export const seesAll = (gateway, ids) =>
  until(async () => {
    const states = await statesOf(gateway);
    return ids.every((id) => states[id] === 'running');
  }, `${ids} to be running`, 30000);

// All entries of the call queue, newest first; `status` filters.
export async function queueOf(gateway, status = '') {
  const entries = [];
  for (;;) {
    const page = await admin(gateway, `queue?status=${status}&offset=${entries.length}&limit=100`);
    entries.push(...page.entries);
    if (page.entries.length < 100) return entries;
  }
}

// The entry of the call queue with this id, once `check` agrees.
export async function entryOf(gateway, id, check = () => true, timeoutMs = 15000) {
  let entry;
  try {
    return await until(async () => {
      entry = (await queueOf(gateway)).find((e) => e.id === id);
      return entry && check(entry) && entry;
    }, `the entry ${id}`, timeoutMs);
  } catch (error) {
    throw new Error(`${error.message}: ${JSON.stringify(entry)}`);
  }
}
