// SPDX-License-Identifier: Apache-2.0
// The program under test, as a child process with a configuration of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

export const TOP = fileURLToPath(new URL('../../..', import.meta.url));
export const BINARY = process.env.IQRA_GATEWAY ?? path.join(TOP, 'build/asan/iqra-gateway');

// Polls `check` until it gives something truthy; the only way a test waits.
export async function until(check, what, timeoutMs = 15000) {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`timed out after ${timeoutMs} ms waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export function merge(base, extra) {
  const out = { ...base };
  for (const [key, value] of Object.entries(extra ?? {})) {
    const plain = value && typeof value === 'object' && !Array.isArray(value);
    out[key] = plain ? merge(base[key] ?? {}, value) : value;
  }
  return out;
}

const DEFAULTS = {
  AllowedOrigins: [],
  VoiceAiPlatform: { Campaigns: { demo: { BusinessId: '1', WebCampaignId: 'demo', AllowedRegionIds: ['local'] } } },
  Gateway: { NodeId: 'test', RegionId: 'local', Roles: ['middleware', 'media'], HttpListen: '0.0.0.0:0', DrainSeconds: 10, AdminToken: 'admin-secret',
    OverloadCpuPercent: 0, OverloadLateMs: 0 }, // a busy machine, or a sanitizer, refuses no call of a test
  Agent: { Builtin: 'echo', Encoding: 'PCM', SampleRate: 16000, FrameMs: 20 },
  WebRtc: { UdpPorts: '20000-20999' },
  Sip: { ProxyListen: [], MediaListen: [] }, // those who want telephones say so
};

export class Gateway {
  // `config` is laid over a working default. `launcher`: the command that becomes the program.
  static async start(config = {}, { env = {}, binary = BINARY, host = process.env.E2E_ADDRESS ?? '127.0.0.1', awaitRedis = true, launcher = [] } = {}) {
    const gateway = new Gateway();
    gateway.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-e2e-'));
    gateway.configFile = path.join(gateway.dir, 'appsettings.json');
    gateway.config = merge(merge(DEFAULTS, { Gateway: { DataDirectory: path.join(gateway.dir, 'data') } }), config);
    gateway.writeConfig(gateway.config);
    gateway.logs = [];
    const [file, ...args] = [...launcher, binary, '--config', gateway.configFile];
    gateway.child = spawn(file, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'inherit', 'pipe'] });
    await once(gateway.child, 'spawn');
    gateway.exited = once(gateway.child, 'exit').then(([code, signal]) => ({ code, signal }));
    gateway.exited.then((end) => (gateway.end = end));
    readline.createInterface({ input: gateway.child.stderr }).on('line', (line) => gateway.onLine(line));
    const ready = await until(() => gateway.end ?? gateway.logs.find((l) => / is ready: /.test(l.msg)), 'the gateway to be ready', 30000);
    if (ready === gateway.end) throw new Error(`the gateway ended at start: ${JSON.stringify(ready)}\n${gateway.text()}`);
    gateway.port = Number(/port (\d+)/.exec(ready.msg)[1]);
    gateway.host = host;
    gateway.url = `http://${host}:${gateway.port}`;
    gateway.localUrl = `http://localhost:${gateway.port}`;
    if (awaitRedis) await until(() => gateway.logged(/^commands: connected to /), 'Redis to be up', 30000);
    return gateway;
  }

  writeConfig(config) {
    fs.writeFileSync(this.configFile, JSON.stringify(config, null, 2));
  }

  // Lays `changes` over the configuration and has it read again; resolves to the log line that says how that went.
  async reload(changes) {
    this.config = merge(this.config, changes);
    return this.reloadFile(JSON.stringify(this.config));
  }

  async reloadFile(text) {
    const seen = this.logs.length;
    fs.writeFileSync(this.configFile, text);
    this.signal('SIGHUP');
    return until(() => this.logs.slice(seen).find((l) => /configuration reloaded|^SIGHUP: /.test(l.msg ?? '')), 'the reload');
  }

  onLine(line) {
    try {
      this.logs.push(JSON.parse(line));
    } catch {
      this.logs.push({ level: 'raw', msg: line });
    }
    if (process.env.E2E_VERBOSE) console.error(line);
  }

  text() {
    return this.logs.map((l) => `${l.level} ${l.call ?? ''} ${l.mod ?? ''} ${l.msg}`).join('\n');
  }

  logged(pattern) {
    return this.logs.find((l) => pattern.test(l.msg ?? ''));
  }

  async metric(name) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split('\n').find((l) => l.startsWith(`${name} `));
    if (!line) throw new Error(`no metric ${name} in:\n${text}`);
    return Number(line.split(' ').pop());
  }

  // What the process holds: descriptors, threads, live calls.
  async holds() {
    const proc = `/proc/${this.child.pid}`;
    const status = fs.readFileSync(`${proc}/status`, 'utf8');
    return {
      descriptors: fs.readdirSync(`${proc}/fd`).length,
      threads: Number(/Threads:\s+(\d+)/.exec(status)[1]),
      rssKb: Number(/VmRSS:\s+(\d+)/.exec(status)[1]),
      calls: await this.metric('iqra_calls'),
    };
  }

  request(body = {}, headers = {}) {
    const payload = { campaignId: 'demo', regionId: 'local', transportType: 1, dynamicVariables: {}, metadata: {}, ...body };
    return fetch(`${this.url}/api/session/request`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(payload),
    });
  }

  async admit(body) {
    const response = await this.request(body);
    if (response.status !== 200) throw new Error(`session refused: ${response.status} ${await response.text()}`);
    return response.json();
  }

  admin(method, where) {
    return fetch(`${this.url}/api/admin/${where}`, { method, headers: { authorization: 'Bearer admin-secret' } });
  }

  signal(name) {
    this.child.kill(name);
  }

  // Dies as of a fault.
  async kill() {
    this.signal('SIGKILL');
    await this.exited;
    fs.rmSync(this.dir, { recursive: true, force: true });
  }

  // Ends it as an operator would, and insists on a clean end: exit 0, no sanitizer report.
  async stop() {
    if (!this.end) {
      this.signal('SIGTERM');
      const timer = setTimeout(() => this.signal('SIGTERM'), 1500);
      const killer = setTimeout(() => this.signal('SIGKILL'), 30000);
      await this.exited;
      clearTimeout(timer);
      clearTimeout(killer);
    }
    fs.rmSync(this.dir, { recursive: true, force: true });
    const report = this.logs.filter((l) => l.level === 'raw').map((l) => l.msg).join('\n');
    if (this.end.code !== 0) throw new Error(`the gateway ended with ${JSON.stringify(this.end)}\n${this.text()}`);
    if (/Sanitizer|runtime error/.test(report)) throw new Error(report);
  }
}
