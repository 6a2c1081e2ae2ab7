// SPDX-License-Identifier: Apache-2.0
#include "sip/sdes.h"

#include <string.h>
#include <sys/random.h>

enum { MAX_TAG = 999999999, BASE64_CAP = 41 }; // of the longest key, terminated

// Strongest (and here cheapest) first.
static const struct {
    const char *name;
    enum srtp_ctx_profile profile;
} suites[] = {{"AEAD_AES_128_GCM", SRTP_CTX_AEAD_AES_128_GCM},
              {"AES_CM_128_HMAC_SHA1_80", SRTP_CTX_AES128_CM_HMAC_SHA1_80}};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// ---- base64 (RFC 4648 section 4), which for RFC 4568 may lack its padding

static int base64_digit(uint8_t c) {
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

// Exactly `len` bytes, or false.
static bool base64_read(struct span text, uint8_t *out, size_t len) {
    uint32_t bits = 0;
    unsigned held = 0;
    size_t done = 0;
    while (text.len && text.ptr[text.len - 1] == '=')
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.ptr[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        if (done == len)
            return false;
        out[done++] = (uint8_t)(bits >> held);
    }
    return done == len && text.len == (len * 8 + 5) / 6;
}

static void base64_write(const uint8_t *bytes, size_t len, char out[BASE64_CAP]) {
    size_t at = 0;
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)bytes[i] << 16;
        bits |= have > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        bits |= have > 2 ? bytes[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            out[at++] = k <= have ? alphabet[bits >> (18 - 6 * k) & 63] : '=';
    }
    out[at] = '\0';
}

// ---- reading

// Nothing but a hint is taken; the others change what a packet looks like.
static bool session_parameters_fit(struct span rest) {
    for (struct span word; span_word(&rest, &word);)
        if (!span_starts(word, "WSH="))
            return false;
    return true;
}

// "inline:" key||salt ["|" lifetime] ["|" MKI ":" length]
static int read_key(struct sdes *sdes, struct span params) {
    struct span key;
    if (!span_starts(params, "inline:"))
        return -EBADMSG;
    span_skip(&params, strlen("inline:"));
    if (memchr(params.ptr, ';', params.len))
        return -ENOTSUP; // several keys are told apart by their MKI
    if (!span_until(&params, '|', &key)) {
        key = params;
        params.len = 0;
    }
    if (params.len && memchr(params.ptr, ':', params.len))
        return -ENOTSUP;
    return base64_read(key, sdes->key, sdes->key_len) ? 0 : -EBADMSG;
}

int sdes_parse(struct sdes *out, struct span value) {
    struct span tag_word, suite, params;
    uint64_t tag;
    if (!span_word(&value, &tag_word) || !span_u64(&tag_word, MAX_TAG, &tag) || tag_word.len ||
        !span_word(&value, &suite) || !span_word(&value, &params))
        return -EBADMSG;
    struct sdes sdes = {.tag = (uint32_t)tag};
    int err = -ENOTSUP;
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        if (!span_eq_nocase(suite, suites[i].name))
            continue;
        sdes.profile = suites[i].profile;
        sdes.key_len = srtp_ctx_key_len(sdes.profile);
        err = session_parameters_fit(value) ? read_key(&sdes, params) : -ENOTSUP;
    }
    if (!err)
        *out = sdes;
    sdes_wipe(&sdes);
    return err;
}

int sdes_choose(struct sdes *out, const struct sdp_media *media, uint32_t tag) {
    int err = -ENOENT;
    struct span cursor = media->text, value;
    while (sdp_next_attribute(&cursor, "crypto", &value)) {
        struct sdes sdes;
        if (sdes_parse(&sdes, value) != 0)
            continue;
        bool better = err || sdes.profile < out->profile;
        if ((!tag || tag == sdes.tag) && better) {
            *out = sdes;
            err = 0;
        }
        sdes_wipe(&sdes);
    }
    return err;
}

bool sdes_offered(const struct sdp_media *media) {
    struct span cursor = media->text, value;
    return sdp_next_attribute(&cursor, "crypto", &value);
}

// ---- making

int sdes_make(struct sdes *out, enum srtp_ctx_profile profile, uint32_t tag) {
    struct sdes sdes = {.tag = tag, .profile = profile, .key_len = srtp_ctx_key_len(profile)};
    if (getrandom(sdes.key, sdes.key_len, 0) != (ssize_t)sdes.key_len)
        return -EIO;
    *out = sdes;
    sdes_wipe(&sdes);
    return 0;
}

void sdes_write(struct sdp_writer *writer, const struct sdes *sdes) {
    char key[BASE64_CAP];
    base64_write(sdes->key, sdes->key_len, key);
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
        if (suites[i].profile == sdes->profile)
            sdp_printf(writer, "a=crypto:%u %s inline:%s", sdes->tag, suites[i].name, key);
    explicit_bzero(key, sizeof key);
}

bool sdes_same_key(const struct sdes *a, const struct sdes *b) {
    return a->profile == b->profile && a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

void sdes_wipe(struct sdes *sdes) {
    explicit_bzero(sdes, sizeof *sdes);
}
