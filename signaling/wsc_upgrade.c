// SPDX-License-Identifier: Apache-2.0
#include "signaling/wsc_upgrade.h"

#include "gateway/core/err.h"
#include "gateway/core/span.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

int wsc_upgrade_accept(const char *key, char accept[WSC_ACCEPT_LEN + 1]) {
    char text[WSC_KEY_LEN + sizeof guid];
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    int n = snprintf(text, sizeof text, "%s%s", key, guid);
    if (n < 0 || (size_t)n >= sizeof text)
        return -EINVAL;
    if (!EVP_Digest(text, (size_t)n, digest, &digest_len, EVP_sha1(), NULL))
        return -EIO;
    EVP_EncodeBlock((unsigned char *)accept, digest, (int)digest_len);
    return 0;
}

int wsc_upgrade_key(char key[WSC_KEY_LEN + 1], char accept[WSC_ACCEPT_LEN + 1]) {
    uint8_t nonce[16];
    if (RAND_bytes(nonce, sizeof nonce) != 1)
        return -EIO;
    EVP_EncodeBlock((unsigned char *)key, nonce, sizeof nonce);
    return wsc_upgrade_accept(key, accept);
}

static bool header_ok(const struct wsc_header *header) {
    static const char *const ours[] = {"Host",
                                       "Upgrade",
                                       "Connection",
                                       "Sec-WebSocket-Key",
                                       "Sec-WebSocket-Version",
                                       "Sec-WebSocket-Extensions",
                                       "Content-Length",
                                       "Transfer-Encoding"};
    if (!header->name || !*header->name || !header->value)
        return false;
    if (strpbrk(header->name, "\r\n: \t") || strpbrk(header->value, "\r\n"))
        return false;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strcasecmp(header->name, ours[i]) == 0)
            return false;
    }
    return true;
}

__attribute__((format(printf, 4, 5))) static bool put(char *out, size_t cap, size_t *used, const char *format,
                                                      ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out + *used, cap - *used, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= cap - *used)
        return false;
    *used += (size_t)n;
    return true;
}

int wsc_upgrade_request(char *out, size_t cap, const struct wsc_url *url, const char *key,
                        const struct wsc_header *headers, size_t header_count) {
    size_t used = 0;
    bool own_agent = false;
    bool fits = put(out, cap, &used, "GET %s HTTP/1.1\r\nHost: %s%s%s%s%s\r\n", url->target,
                    url->bracketed ? "[" : "", url->host, url->bracketed ? "]" : "",
                    url->default_port ? "" : ":", url->default_port ? "" : url->port) &&
                put(out, cap, &used,
                    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                    "Sec-WebSocket-Version: 13\r\n",
                    key);
    for (size_t i = 0; i < header_count && fits; i++) {
        if (!header_ok(&headers[i]))
            return -EINVAL;
        own_agent |= strcasecmp(headers[i].name, "User-Agent") == 0;
        fits = put(out, cap, &used, "%s: %s\r\n", headers[i].name, headers[i].value);
    }
    if (fits && !own_agent)
        fits = put(out, cap, &used, "User-Agent: iqra-gateway/%s\r\n", IQ_VERSION);
    if (!fits || !put(out, cap, &used, "\r\n"))
        return -EMSGSIZE;
    return (int)used;
}

// "a, Upgrade , b" holds the token "upgrade" (RFC 7230 section 7).
static bool list_has(struct span list, const char *token) {
    struct span item;
    while (list.len) {
        if (!span_until(&list, ',', &item)) {
            item = list;
            list.len = 0;
        }
        if (span_eq_nocase(span_trim(item), token))
            return true;
    }
    return false;
}

struct answer {
    unsigned upgrade, connection, accept, wrong_accept; // how often such a header came
    bool extension, protocol, malformed;
};

static void read_header(struct span line, const char *accept, struct answer *answer) {
    struct span name;
    if (!span_until(&line, ':', &name) || !name.len || memchr(name.ptr, ' ', name.len) ||
        memchr(line.ptr, '\0', line.len)) {
        answer->malformed = true;
        return;
    }
    struct span value = span_trim(line);
    if (span_eq_nocase(name, "Upgrade"))
        answer->upgrade += span_eq_nocase(value, "websocket");
    else if (span_eq_nocase(name, "Connection"))
        answer->connection += list_has(value, "upgrade");
    else if (span_eq_nocase(name, "Sec-WebSocket-Accept"))
        *(span_eq(value, accept) ? &answer->accept : &answer->wrong_accept) += 1;
    else if (span_eq_nocase(name, "Sec-WebSocket-Extensions"))
        answer->extension |= value.len > 0;
    else if (span_eq_nocase(name, "Sec-WebSocket-Protocol"))
        answer->protocol = true;
}

// "HTTP/1.1 101 Switching Protocols"; 0 when it is none.
static unsigned read_status(struct span line) {
    struct span version;
    uint64_t status;
    if (!span_until(&line, ' ', &version) || !span_starts(version, "HTTP/1."))
        return 0;
    if (!span_u64(&line, 999, &status) || (line.len && line.ptr[0] != ' '))
        return 0;
    return (unsigned)status;
}

static const char *judge(const struct answer *answer, bool protocol_offered) {
    if (answer->malformed)
        return "a header line of the HTTP answer is malformed";
    if (!answer->upgrade || !answer->connection)
        return "the HTTP answer does not upgrade to a WebSocket";
    if (answer->accept != 1 || answer->wrong_accept)
        return "Sec-WebSocket-Accept is not the answer to our key";
    if (answer->extension)
        return "the server chose an extension that was not offered";
    if (answer->protocol && !protocol_offered)
        return "the server chose a subprotocol that was not offered";
    return NULL;
}

static int refuse(struct wsc_upgrade *out, const char *reason) {
    out->reason = reason;
    return -EPROTO;
}

int wsc_upgrade_response(const char *data, size_t len, const char *accept, bool protocol_offered,
                         struct wsc_upgrade *out) {
    *out = (struct wsc_upgrade){0};
    size_t head_len = len < 5 ? len : 5;
    if (memcmp(data, "HTTP/", head_len) != 0)
        return refuse(out, "the answer is not HTTP");
    size_t limit = len < WSC_RESPONSE_MAX ? len : WSC_RESPONSE_MAX;
    const char *end = memmem(data, limit, "\r\n\r\n", 4);
    if (!end)
        return len >= WSC_RESPONSE_MAX ? refuse(out, "the header of the HTTP answer is too long") : 0;
    size_t header_len = (size_t)(end - data) + 4;
    struct span rest = span_of(data, header_len - 2);
    struct span line;
    if (!span_line(&rest, &line) || !(out->status = read_status(line)))
        return refuse(out, "the answer's status line is malformed");
    if (out->status != 101)
        return refuse(out, "the server refused the upgrade");
    struct answer answer = {0};
    while (rest.len && span_line(&rest, &line))
        read_header(line, accept, &answer);
    const char *reason = judge(&answer, protocol_offered);
    return reason ? refuse(out, reason) : (int)header_len;
}
