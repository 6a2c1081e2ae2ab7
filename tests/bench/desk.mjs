#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The session desk with a real Redis: requests that are admitted, queued and refused by the limits, sessions that end by
// webhook, and the time from a webhook to SessionReady. The gateway on core 1; the load, Redis and the platform's stub on
// core 0. CPU is that of the gateway's process; `per core` is how many would fill one core of it.
//
//   sudo tests/bench/desk.mjs [--build DIR] [--seconds S] [--connections N] [--json] [CASE...]
import path from 'node:path';
import { Bench, LOAD_CORE, pause, PORTS, readArgs } from './lib.mjs';

const MODES = ['admitted', 'queued', 'refused', 'ready'];
const { options, positionals } = readArgs(import.meta.url, {
  seconds: { type: 'string', default: '10' },
  connections: { type: 'string', default: '64' },
}, MODES);
const REDIS_PORT = 16379;
const TOKEN = 'a-token-of-the-benchmark-0123456789';
const WAITERS = '20'; // who see each SessionReady come, and move up
const modes = positionals.length ? positionals : MODES;
const oneSlot = (mode) => mode === 'queued' || mode === 'ready';

// Limits as an operator would set them; each request has an address of its own, but for those that are to be refused.
const config = (bench, mode) => ({
  Logging: { LogLevel: { Default: 'Warning' } },
  AllowedOrigins: ['https://shop.example'],
  ForwardedHeaders: { KnownProxies: ['127.0.0.1'] },
  RedisConnectionString: `127.0.0.1:${REDIS_PORT}`,
  VoiceAiPlatform: {
    ApiSecretToken: 'bench',
    BaseUrl: `http://127.0.0.1:${PORTS.agent + 1}/api/v1/`,
    Campaigns: { demo: { BusinessId: '1', WebCampaignId: 'demo', AllowedRegionIds: ['local'] } },
  },
  Security: { RateLimitConcurrency: 3, RateLimitHourly: 30, RateLimitDaily: 100, WebhookApiToken: TOKEN },
  Gateway: {
    NodeId: 'bench', RegionId: 'local', Roles: ['middleware'], HttpListen: `127.0.0.1:${PORTS.http}`,
    MaxCalls: oneSlot(mode) ? 1 : 1000000, DataDirectory: path.join(bench.dir, 'data'),
  },
  Queue: { MaxLength: oneSlot(mode) ? 1000000 : 0 },
  Hub: { MaxConnectionsPerAddress: 8192 },
});

const bench = new Bench(options.build, ['iqra-gateway', 'bench/desk']);

async function measure(mode) {
  const redis = bench.start(LOAD_CORE, 'redis-server', ['--port', REDIS_PORT, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', bench.dir], 'ignore');
  await pause(500);
  const gateway = await bench.startGateway(config(bench, mode));
  const rows = await bench.load('bench/desk', ['--mode', mode, '--port', PORTS.http, '--platform', PORTS.agent + 1, '--seconds', options.seconds,
    '--connections', mode === 'ready' ? WAITERS : options.connections, '--token', TOKEN, '--pid', gateway.pid, '--redis-pid', redis.pid, '--json']);
  await bench.stop(gateway);
  redis.kill('SIGKILL');
  await redis.exited;
  return rows;
}

try {
  const rows = [];
  for (const mode of modes) rows.push(...(await measure(mode)));
  if (options.json) console.log(JSON.stringify(rows, null, 1));
  console.log(['what'.padEnd(9), '/s', 'CPU us', 'per core', 'Redis us', 'p50 ms', 'p99 ms', 'max ms', 'others'].join('\t'));
  for (const r of rows) {
    const cpu = r.label === 'ready' ? ['-', '-', '-'] : [r.cpuUs, r.perCore, r.redisUs];
    console.log([r.label.padEnd(9), r.perSecond, ...cpu, r.p50Ms, r.p99Ms, r.maxMs, r.others].join('\t'));
  }
} finally {
  bench.close();
}
