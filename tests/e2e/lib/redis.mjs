// SPDX-License-Identifier: Apache-2.0
// A Redis of a test's own, on a unix socket, that keeps what it holds.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

export class Redis {
  // `keeps` false: what it holds is gone with its process.
  constructor({ keeps = true } = {}) {
    this.keeps = keeps;
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-redis-'));
    this.socket = path.join(this.dir, 'socket');
    this.target = `unix:${this.socket}`;
    this.run();
  }

  run() {
    const args = ['--port', '0', '--unixsocket', this.socket, '--dir', this.dir, '--save', ''];
    if (this.keeps) args.push('--appendonly', 'yes', '--appendfsync', 'always');
    this.child = spawn('redis-server', args, { stdio: 'ignore' });
  }

  // A command, and what it answers.
  ask(...command) {
    return execFileSync('redis-cli', ['-s', this.socket, ...command], { encoding: 'utf8' }).trim();
  }

  // The same without waiting, with arrays as such. It rejects with what Redis says, or why it could not be asked.
  async query(...words) {
    const { stdout } = await promisify(execFile)('redis-cli', ['-s', this.socket, '-e', '--json', ...words.map(String)]).catch((error) => {
      throw new Error(`${error.stdout}${error.stderr}`.trim());
    });
    return JSON.parse(stdout);
  }

  signal(name) {
    this.child.kill(name);
  }

  async kill() {
    const gone = once(this.child, 'exit');
    this.signal('SIGKILL');
    await gone;
  }

  // What it kept is gone, while it is not running.
  lose() {
    for (const name of fs.readdirSync(this.dir)) fs.rmSync(path.join(this.dir, name), { recursive: true, force: true });
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}
