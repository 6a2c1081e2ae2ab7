#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Draws docs/performance/*.svg by gnuplot from what side-by-side.mjs --json printed, and keeps its figures beside them in
// calls.json. Without a file it draws from that one again.
//
//   tests/bench/plots.mjs [FILE...]
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { TOP } from './lib.mjs';

const OUT = path.join(TOP, 'docs/performance');
const KEPT = path.join(OUT, 'calls.json');
const GATEWAY = '#0b62a4', FLOOR = '#9a9a9a';

const figures = ({ answered, cpu, cpuPerCall, kbPerCall, callerToAgentMs, agentToCallerMs, packets, generatorCpu }) => ({
  answered, cpu, cpuPerCall, kbPerCall, up: [callerToAgentMs.p50, callerToAgentMs.p99], down: [agentToCallerMs.p50, agentToCallerMs.p99],
  missing: packets.gaps, generatorCpu,
});

// Runs in which the generator was the limit say nothing of the server; of two of the same the later one counts.
function read(files) {
  const points = new Map();
  for (const result of files.flatMap((file) => JSON.parse(fs.readFileSync(file, 'utf8')))) {
    for (const server of ['floor', 'gateway']) {
      const run = result[server];
      if (!run) continue;
      if (run.generatorWasTheLimit) console.error(`${run.label}, ${run.calls} calls: the generator was the limit, left out`);
      else points.set(`${result.name} ${server} ${run.calls}`, { case: result.name, server, calls: run.calls, ...figures(run) });
    }
  }
  return [...points.values()].sort((a, b) => a.case.localeCompare(b.case) || a.server.localeCompare(b.server) || a.calls - b.calls);
}

function gnuplot(file, size, commands) {
  const head = `set terminal svg size ${size} background "white" font "sans-serif,13"\nset output "${path.join(OUT, file)}"\nset grid lc rgb "#dddddd"\nset xlabel "calls at once"\nset key left top\nset yrange [0:*]\nset xrange [0:*]\n`;
  const { status, stderr } = spawnSync('gnuplot', { input: head + commands, encoding: 'utf8' });
  if (status !== 0) throw new Error(`gnuplot: ${stderr || 'not found'}`);
}

// A line of a plot, and its points as gnuplot's inline data.
function plot(points, lines) {
  const drawn = lines
    .map((line) => ({ ...line, data: points.filter((p) => p.case === line.of && p.server === line.server) }))
    .filter((line) => line.data.length);
  if (!drawn.length) throw new Error(`nothing of ${lines.map((line) => line.of)} was measured`);
  const style = ({ color, dash }) => `with linespoints lc rgb "${color}" dt ${dash} lw 2 pt 7 ps 0.5`;
  const blocks = drawn.map((line) => line.data.map((p) => `${p.calls} ${line.value(p)}`).join('\n') + '\ne\n');
  return `plot ${drawn.map((line) => `"-" ${style(line)} title "${line.title}"`).join(', ')}\n${blocks.join('')}`;
}

const cpu = (of, server, title, dash) => ({ of, server, title, dash, color: server === 'floor' ? FLOOR : GATEWAY, value: (p) => 100 * p.cpu });
const delay = (way, server, title, which, dash) => ({ of: 'pcm', server, title, dash, color: server === 'floor' ? FLOOR : GATEWAY, value: (p) => p[way][which] });
const delays = (way) => [
  delay(way, 'gateway', 'gateway, 99 of 100 within', 1, 1), delay(way, 'gateway', 'gateway, half within', 0, 2),
  delay(way, 'floor', 'floor, 99 of 100 within', 1, 1), delay(way, 'floor', 'floor, half within', 0, 2),
];

const points = read(process.argv.length > 2 ? process.argv.slice(2) : []);
const all = points.length ? points : JSON.parse(fs.readFileSync(KEPT, 'utf8'));
fs.mkdirSync(OUT, { recursive: true });
if (points.length) fs.writeFileSync(KEPT, `[\n${all.map((p) => JSON.stringify(p, (_, v) => (typeof v === 'number' ? Number(v.toPrecision(4)) : v))).join(',\n')}\n]\n`);
gnuplot('cpu.svg', '760,420', `set ylabel "CPU of the server, % of a core"\n${plot(all, [
  cpu('pcm', 'gateway', 'gateway, PCM 16 kHz', 1), cpu('pcm', 'floor', 'floor, PCM 16 kHz', 1),
  cpu('mulaw', 'gateway', 'gateway, MULAW passed through', 2), cpu('mulaw', 'floor', 'floor, MULAW passed through', 2),
])}`);
gnuplot('delay.svg', '760,700', `set multiplot layout 2,1\nset ylabel "ms"\nset title "caller to agent"\n${plot(all, delays('up'))}set title "agent to caller"\n${plot(all, delays('down'))}unset multiplot\n`);
console.log(`${all.length} points: ${path.relative(TOP, OUT)}/cpu.svg, delay.svg`);
