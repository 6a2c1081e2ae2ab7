// SPDX-License-Identifier: Apache-2.0
// Certificates made for one test run by the openssl program: an authority, and servers it vouches for.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

// {caFile, issue(name, subjectAltNames) -> {keyFile, certFile, key, cert}}; the files go with the test's process.
export function makeAuthority(name = 'test authority') {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-tls-'));
  process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));
  const openssl = (...args) => execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
  openssl('req', '-x509', ...EC, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', `/CN=${name}`,
    '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign');
  const issue = (who, names) => {
    openssl('req', '-x509', '-CA', 'ca.pem', '-CAkey', 'ca.key', ...EC, '-keyout', `${who}.key`, '-out', `${who}.pem`,
      '-days', '2', '-subj', `/CN=${who}`, '-addext', `subjectAltName=${names.join(',')}`, '-addext', 'basicConstraints=critical,CA:FALSE');
    const keyFile = path.join(dir, `${who}.key`);
    const certFile = path.join(dir, `${who}.pem`);
    return { keyFile, certFile, key: fs.readFileSync(keyFile), cert: fs.readFileSync(certFile) };
  };
  return { caFile: path.join(dir, 'ca.pem'), dir, issue };
}
