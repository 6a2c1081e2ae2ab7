// SPDX-License-Identifier: Apache-2.0
// A TLS reverse proxy as in docs/operations.md, with nothing but gateways behind it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { until } from './gateway.mjs';
import { HOST } from './scenario.mjs';

export async function freePort() {
  const server = net.createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// In front of the gateways at `ports` of 127.0.0.1, request by request in turn; it comes from 127.0.0.2 and ends with the
// test `t`. `certificate`: {certFile, keyFile}.
export async function startNginx(t, ports, certificate) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-nginx-'));
  const port = await freePort();
  const config = `
    daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log;
    events { worker_connections 2048; }
    http {
      access_log off;
      client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
      map $http_upgrade $connection_upgrade { default upgrade; '' close; }
      upstream gateways { ${ports.map((upstream) => `server 127.0.0.1:${upstream};`).join(' ')} }
      server {
        listen ${HOST}:${port} ssl;
        ssl_certificate ${certificate.certFile}; ssl_certificate_key ${certificate.keyFile};
        location / {
          proxy_pass http://gateways;
          proxy_bind 127.0.0.2;
          proxy_http_version 1.1;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $connection_upgrade;
          proxy_set_header Host $http_host;
          proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
          proxy_set_header X-Forwarded-Proto $scheme;
          proxy_read_timeout 1h;
        }
      }
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
