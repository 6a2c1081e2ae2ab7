// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/calls/stun.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

enum {
    HEADER = 20,
    BINDING_REQUEST = 0x0001,
    BINDING_SUCCESS = 0x0101,
    XOR_MAPPED_ADDRESS = 0x0020,
    MESSAGE_INTEGRITY = 0x0008,
    FINGERPRINT = 0x8028,
    USE_CANDIDATE = 0x0025,
    SHA1_BYTES = 20,
};

static const uint32_t cookie = 0x2112A442, fingerprint_mask = 0x5354554E;

static void put16(uint8_t *out, unsigned value) {
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static void put32(uint8_t *out, uint32_t value) {
    put16(out, value >> 16);
    put16(out + 2, value & 0xffff);
}

static unsigned get16(const uint8_t *in) {
    return (unsigned)in[0] << 8 | in[1];
}

static uint32_t crc32_of(const uint8_t *data, size_t len) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static bool has_attribute(const uint8_t *data, size_t len, unsigned wanted) {
    for (size_t at = HEADER; at + 4 <= len; at += 4 + ((get16(data + at + 2) + 3U) & ~3U)) {
        if (get16(data + at) == wanted)
            return true;
    }
    return false;
}

size_t stun_answer(const uint8_t *data, size_t len, const struct sockaddr_in *from, const char *password,
                   uint8_t *out, bool *nominated) {
    if (len < HEADER || get16(data) != BINDING_REQUEST)
        return 0;
    *nominated = has_attribute(data, len, USE_CANDIDATE);
    put16(out, BINDING_SUCCESS);
    memcpy(out + 4, data + 4, 16); // cookie and transaction
    uint8_t *at = out + HEADER;
    put16(at, XOR_MAPPED_ADDRESS);
    put16(at + 2, 8);
    put16(at + 4, 1);
    put16(at + 6, ntohs(from->sin_port) ^ (cookie >> 16));
    put32(at + 8, ntohl(from->sin_addr.s_addr) ^ cookie);
    at += 12;
    put16(out + 2, (unsigned)(at + 4 + SHA1_BYTES - out - HEADER));
    unsigned digest_len = SHA1_BYTES;
    put16(at, MESSAGE_INTEGRITY);
    put16(at + 2, SHA1_BYTES);
    HMAC(EVP_sha1(), password, (int)strlen(password), out, (size_t)(at - out), at + 4, &digest_len);
    at += 4 + SHA1_BYTES;
    put16(out + 2, (unsigned)(at + 8 - out - HEADER));
    put16(at, FINGERPRINT);
    put16(at + 2, 4);
    put32(at + 4, crc32_of(out, (size_t)(at - out)) ^ fingerprint_mask);
    return (size_t)(at + 8 - out);
}
