// SPDX-License-Identifier: Apache-2.0
// What the benchmarks share: a network namespace of their own, servers on core 1 and loads on core 0 in it.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export const TOP = fileURLToPath(new URL('../..', import.meta.url));
export const SERVER_CORE = 1;
export const LOAD_CORE = 0;
export const PORTS = { floor: 15080, proxy: 15060, media: 15070, http: 18181, agent: 18080, kamailio: 15090 };

export function sh(command, ...args) {
  const result = spawnSync(command, args, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// The options of a script and the cases it was asked for, of those in `cases`. What --help prints is the comment at its head.
export function readArgs(url, options, cases = []) {
  const [, head] = fs.readFileSync(fileURLToPath(url), 'utf8').match(/SPDX.*\n((?:\/\/.*\n)+)/);
  const help = head.replace(/^\/\/ ?/gm, '') + (cases.length ? `\nCASE: ${cases.join(', ')}\n` : '');
  const stop = (status, text) => {
    (status ? process.stderr : process.stdout).write(text);
    process.exit(status);
  };
  try {
    const all = { build: { type: 'string', default: path.join(TOP, 'build') }, json: { type: 'boolean', default: false }, help: { type: 'boolean', default: false }, ...options };
    const { values, positionals } = parseArgs({ allowPositionals: cases.length > 0, options: all });
    const unknown = positionals.find((name) => !cases.includes(name));
    if (values.help) stop(0, help);
    if (unknown) throw new Error(`there is no case ${unknown}`);
    return { options: values, positionals };
  } catch (error) {
    return stop(2, `${error.message}\n\n${help}`);
  }
}

// Starts to watch the server's core; what it returns says which share of the time since then the machine's owner gave that core to
// somebody else: ticks that nobody has been counted for, or that are said to be stolen. Much of it, and delays say little.
export function watchCore() {
  const read = () => {
    const [user, nice, system, idle, iowait, irq, softirq] = fs.readFileSync('/proc/stat', 'utf8').split('\n')
      .find((line) => line.startsWith(`cpu${SERVER_CORE} `)).split(' ').slice(1).map(Number);
    return { at: performance.now(), had: user + nice + system + idle + iowait + irq + softirq };
  };
  const began = read();
  return () => {
    const now = read();
    return Math.max(0, 1 - ((now.had - began.had) * 10) / (now.at - began.at)); // a tick is 10 ms
  };
}

// The gateway as the benchmarks want it: every role, one worker, one number anybody may call, the load as the platform.
export function gatewayConfig(bench, { agent = 'PCM', tls = false } = {}) {
  const rate = { OPUS: 48000, MULAW: 8000, ALAW: 8000 }[agent] ?? 16000;
  return {
    Logging: { LogLevel: { Default: 'Warning' } },
    AllowedOrigins: [],
    VoiceAiPlatform: {
      ApiSecretToken: 'bench',
      BaseUrl: `http://127.0.0.1:${PORTS.agent + 1}/api/v1/`,
      Campaigns: { demo: { BusinessId: '1', WebCampaignId: 'demo', AllowedRegionIds: ['local'] } },
    },
    Gateway: {
      NodeId: 'bench', RegionId: 'local', Roles: ['middleware', 'proxy', 'media'], HttpListen: `127.0.0.1:${PORTS.http}`,
      Workers: 1, MaxCalls: 10000, OverloadCpuPercent: 0, OverloadLateMs: 0, // what it holds is measured, not what it would take
      DataDirectory: path.join(bench.dir, 'data'),
    },
    Agent: { Encoding: agent, SampleRate: rate, FrameMs: 20, CaFile: tls ? path.join(bench.dir, 'cert.pem') : '' },
    WebRtc: { UdpPorts: '20000-29999' },
    Sip: { ProxyListen: [`udp:127.0.0.1:${PORTS.proxy}`], MediaListen: [`udp:127.0.0.1:${PORTS.media}`], RtpPorts: '30000-49999', InvitesPerSecond: 0 },
    Businesses: { 1: { Active: true, MaxConcurrentCalls: 0, Numbers: { bench: { Number: '+100', Provider: 'SIP', RouteId: '1', RegionId: 'local', CampaignId: 'demo' } } } },
    Regions: { local: { Enabled: true, Servers: { bench: { Endpoint: '127.0.0.1', SipPort: PORTS.media, Enabled: true } } } },
  };
}

export class Bench {
  constructor(build, programs) {
    if (process.getuid() !== 0) throw new Error('run as root: the load has a network namespace of its own');
    for (const name of programs)
      if (!fs.existsSync(path.join(build, name)))
        throw new Error(`${name} is not in ${build}: cmake --preset release -DIQ_TESTS=ON && ninja -C build ${programs.map((p) => p.replace('bench/', 'bench_')).join(' ')}`);
    this.build = build;
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-bench-'));
    this.space = `iqra-bench-${process.pid}`;
    this.children = new Set();
    sh('ip', 'netns', 'add', this.space);
    sh('ip', 'netns', 'exec', this.space, 'ip', 'link', 'set', 'lo', 'up');
  }

  // `ip netns exec` and taskset exec in turn: the child's pid is the program's.
  start(core, program, args, stdio = ['ignore', 'ignore', 'pipe']) {
    const file = program.includes('/') ? path.join(this.build, program) : program;
    const child = spawn('ip', ['netns', 'exec', this.space, 'taskset', '-c', String(core), file, ...args.map(String)], { stdio });
    this.children.add(child);
    child.exited = once(child, 'exit').then((end) => {
      this.children.delete(child);
      return end;
    });
    child.text = '';
    child.stderr?.on('data', (data) => (child.text += data));
    return child;
  }

  // A gateway with calls up drains until it is told twice.
  async stop(child) {
    child.kill('SIGTERM');
    const again = setTimeout(() => child.kill('SIGTERM'), 300);
    await child.exited;
    clearTimeout(again);
  }

  async startGateway(config) {
    const file = path.join(this.dir, 'appsettings.json');
    fs.writeFileSync(file, JSON.stringify(config));
    const child = this.start(SERVER_CORE, './iqra-gateway', ['--config', file]);
    const url = `http://127.0.0.1:${PORTS.http}/readyz`;
    for (let i = 0; i < 200; i++) {
      if (spawnSync('ip', ['netns', 'exec', this.space, 'curl', '-sf', '-o', '/dev/null', url]).status === 0) {
        await pause(2500); // the node's first heartbeat
        return child;
      }
      await pause(50);
    }
    throw new Error(`the gateway is not ready:\n${child.text}`);
  }

  // Runs a load to its end; what it printed.
  async load(program, args) {
    const child = this.start(LOAD_CORE, program, args, ['ignore', 'pipe', 'inherit']);
    let out = '';
    child.stdout.on('data', (data) => (out += data));
    await child.exited;
    if (!out) throw new Error(`${program} ${args.join(' ')}: said nothing`);
    return JSON.parse(out);
  }

  close() {
    for (const child of this.children) child.kill('SIGKILL');
    sh('ip', 'netns', 'del', this.space);
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}
