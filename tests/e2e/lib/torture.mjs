// SPDX-License-Identifier: Apache-2.0
// The torture messages of RFC 4475 and RFC 5118, tests/golden/torture, as they are sent over a network. How they are
// written down is told in tests/unit/sip/test_proxy_torture.c.
import fs from 'node:fs';
import path from 'node:path';
import { TOP } from './gateway.mjs';

const FOLDER = path.join(TOP, 'tests/golden/torture');

function bodyLength(text) {
  const at = text.indexOf('\n\n');
  const body = at < 0 ? '' : text.slice(at + 2);
  return body.length + (body.match(/\n/g)?.length ?? 0);
}

function write(text, via, name) {
  const bytes = text
    .replace(/\{(via|via-bare|length|(\d+)\*([^}]*))\}/g, (whole, word, count, unit, at) => {
      if (word === 'length') return String(bodyLength(text.slice(at)));
      if (count) return unit.repeat(Number(count));
      return `Via: ${via}${word === 'via' ? `;branch=z9hG4bK-${name}` : ''}`;
    })
    .replace(/\n/g, '\r\n')
    .replace(/\\x([0-9a-fA-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1');
}

// [{name, why, expect, make}]: `expect` holds what a proxy may answer, statuses or "silence"; make("SIP/2.0/UDP
// host:port") gives the bytes.
export function tortureMessages() {
  return fs.readdirSync(FOLDER).filter((file) => file.endsWith('.sip')).sort().map((file) => {
    const [why, expect, ...lines] = fs.readFileSync(path.join(FOLDER, file), 'latin1').split('\n');
    const name = file.replace('.sip', '');
    return {
      name,
      why: why.replace(/^# /, ''),
      expect: expect.replace('# expect: ', '').split(/[ ,]+/),
      make: (via) => write(lines.join('\n'), via, name),
    };
  });
}
