// SPDX-License-Identifier: Apache-2.0
// The sender's half of SRTP (RFC 3711) with AES_CM_128_HMAC_SHA1_80, for as long as its sequence numbers do not wrap.
import crypto from 'node:crypto';

const ZERO = Buffer.alloc(64);

function keyStream(key, iv, length) {
  const cipher = crypto.createCipheriv('aes-128-ctr', key, iv);
  return cipher.update(length <= ZERO.length ? ZERO.subarray(0, length) : Buffer.alloc(length));
}

export class SrtpSender {
  // `master`: 16 bytes of key and 14 of salt.
  constructor(master = crypto.randomBytes(30)) {
    this.master = master;
    const key = master.subarray(0, 16);
    const derive = (label, length) => {
      const iv = Buffer.concat([master.subarray(16), Buffer.alloc(2)]);
      iv[7] ^= label;
      return keyStream(key, iv, length);
    };
    this.key = derive(0, 16);
    this.authKey = derive(1, 20);
    this.salt = derive(2, 14);
  }

  // For the SDP of who sends with it.
  get crypto() {
    return `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${this.master.toString('base64')}\r\n`;
  }

  // An RTP packet without extensions.
  protect(packet) {
    const iv = Buffer.concat([this.salt, Buffer.alloc(2)]);
    for (let i = 0; i < 4; i++) iv[4 + i] ^= packet[8 + i]; // SSRC
    for (let i = 0; i < 2; i++) iv[12 + i] ^= packet[2 + i]; // the index; its rollover counter is 0
    const stream = keyStream(this.key, iv, packet.length - 12);
    const out = Buffer.from(packet);
    for (let i = 0; i < stream.length; i++) out[12 + i] ^= stream[i];
    const tag = crypto.createHmac('sha1', this.authKey).update(out).update(Buffer.alloc(4)).digest().subarray(0, 10);
    return Buffer.concat([out, tag]);
  }
}
