// SPDX-License-Identifier: Apache-2.0
// A TLS reverse proxy with the configuration of the documentation, and nothing but gateways behind it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { TOP, until } from './gateway.mjs';
import { HOST } from './scenario.mjs';

export async function freePort() {
  const server = net.createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// The nginx block of a page, with only those lines replaced that are about where it runs.
function fromDocs(page, replacements) {
  const [, block] = fs.readFileSync(path.join(TOP, 'docs', page), 'utf8').match(/```nginx\n([^]*?)```/);
  return replacements.reduce((text, [from, to]) => {
    assert.equal(text.split(from).length, 2, `docs/${page} has one ${from}`);
    return text.replace(from, () => to);
  }, block);
}

// In front of the gateways at `ports` of 127.0.0.1, request by request in turn, as docs/`page` says; it comes from 127.0.0.2
// and ends with the test `t`. `certificate`: {certFile, keyFile}.
export async function startNginx(t, page, ports, certificate) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-nginx-'));
  const port = await freePort();
  const upstreams = ports.map((upstream) => `server 127.0.0.1:${upstream};`).join(' ');
  const where = {
    'middleware.md': [['server 10.0.0.5:8080; server 10.0.0.6:8080;', upstreams]],
    'operations.md': [['http://127.0.0.1:8080;', `http://127.0.0.1:${ports[0]};`]],
  };
  const site = fromDocs(page, [
    ['listen 443 ', `listen ${HOST}:${port} `],
    ['/etc/ssl/gateway.crt', certificate.certFile],
    ['/etc/ssl/gateway.key', certificate.keyFile],
    ['proxy_pass', 'proxy_bind 127.0.0.2; proxy_pass'],
    ...where[page],
  ]);
  const config = `
    daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log;
    events { worker_connections 2048; }
    http {
      access_log off;
      client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
      ${site}
    }`;
  fs.writeFileSync(path.join(dir, 'nginx.conf'), config);
  const child = spawn('nginx', ['-p', dir, '-e', `${dir}/error.log`, '-c', `${dir}/nginx.conf`], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGTERM');
    await ended;
    fs.rmSync(dir, { recursive: true, force: true });
  });
  const url = `https://${HOST}:${port}`;
  const log = () => fs.readFileSync(path.join(dir, 'error.log'), 'utf8');
  await until(() => child.exitCode !== null || fetch(`${url}/healthz`).then((r) => r.ok, () => false), 'nginx to answer');
  assert.equal(child.exitCode, null, child.exitCode === null ? '' : log());
  return { url, port };
}
