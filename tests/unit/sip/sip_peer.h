// SPDX-License-Identifier: Apache-2.0
// A scripted SIP peer for tests: it writes its messages as text and reads ours as text, over UDP, TCP or TLS. It turns
// the tested loop itself while it waits: one thread, no sleeps, every wait ends at a deadline. After cmocka.h.
#ifndef IQ_TESTS_SIP_PEER_H
#define IQ_TESTS_SIP_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define PEER_SDP                                                                                             \
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

enum { PEER_MESSAGE = 70000, PEER_SEEN = 256, PEER_WAIT_MS = 10000 };

enum peer_kind { PEER_UDP, PEER_TCP, PEER_TLS };

struct peer {
    void (*turn)(void *arg); // a few milliseconds of the loop under test
    void *turn_arg;
    enum peer_kind kind;
    int family, fd;
    SSL_CTX *ctx;
    SSL *ssl;
    uint16_t port, gateway_port;
    const char *host;           // both sides are on loopback
    char call_id[64], tag[32];  // of From
    char gateway_tag[64];       // of To, once it is known
    const char *uri_params;     // of the request URI, "" or ";X-CallQueue-Id=..."
    const char *contact_params; // inside of our Contact's URI
    unsigned cseq, branch;
    size_t len; // of what waits in `stream`
    char stream[PEER_MESSAGE];
    char got[PEER_MESSAGE];             // the last message, terminated
    size_t seen[PEER_SEEN], seen_count; // hashes, so that repeated messages are passed over
};

static inline uint64_t peer_now_ms(void) {
    return uv_hrtime() / 1000000;
}

static inline size_t peer_hash(const char *text) {
    size_t hash = 1469598103U;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619U;
    return hash;
}

union peer_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static inline void peer_open_socket(struct peer *peer) {
    union peer_address to = {.v4 = {.sin_family = AF_INET, .sin_port = htons(peer->gateway_port)}},
                       local = {0};
    to.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (peer->family == AF_INET6)
        to.v6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons(peer->gateway_port), .sin6_addr = in6addr_loopback};
    peer->fd = socket(peer->family, (peer->kind == PEER_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    assert_true(peer->fd >= 0);
    assert_int_equal(connect(peer->fd, &to.any, peer->family == AF_INET6 ? sizeof to.v6 : sizeof to.v4), 0);
    assert_int_equal(fcntl(peer->fd, F_SETFL, O_NONBLOCK), 0);
    socklen_t len = sizeof local;
    assert_int_equal(getsockname(peer->fd, &local.any, &len), 0);
    peer->port = ntohs(peer->family == AF_INET6 ? local.v6.sin6_port : local.v4.sin_port);
}

static inline void peer_start_tls(struct peer *peer) {
    peer->ctx = SSL_CTX_new(TLS_client_method());
    peer->ssl = SSL_new(peer->ctx);
    SSL_set_fd(peer->ssl, peer->fd);
    uint64_t until = peer_now_ms() + PEER_WAIT_MS;
    while (SSL_connect(peer->ssl) != 1 && peer_now_ms() < until)
        peer->turn(peer->turn_arg);
    assert_true(SSL_is_init_finished(peer->ssl));
}

static inline void peer_open(struct peer *peer, void (*turn)(void *arg), void *turn_arg, enum peer_kind kind,
                             int family, uint16_t gateway_port) {
    static unsigned number;
    number++;
    *peer = (struct peer){
        .turn = turn, .turn_arg = turn_arg, .kind = kind, .family = family, .gateway_port = gateway_port};
    peer->host = family == AF_INET6 ? "[::1]" : "127.0.0.1";
    peer->uri_params = ";X-CallQueue-Id=queue-1";
    peer->contact_params = "";
    snprintf(peer->call_id, sizeof peer->call_id, "call-%d-%u", (int)getpid(), number);
    snprintf(peer->tag, sizeof peer->tag, "t%u", number);
    peer_open_socket(peer);
    if (kind == PEER_TLS)
        peer_start_tls(peer);
}

static inline void peer_close(struct peer *peer) {
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->ctx);
    close(peer->fd);
    peer->fd = -1;
}

static inline void peer_write(struct peer *peer, const char *text, size_t len) {
    if (peer->ssl)
        assert_int_equal(SSL_write(peer->ssl, text, (int)len), len);
    else
        assert_int_equal(send(peer->fd, text, len, MSG_NOSIGNAL), len);
}

static inline const char *peer_transport(const struct peer *peer) {
    static const char *const names[] = {"UDP", "TCP", "TLS"};
    return names[peer->kind];
}

// The message as text: branch and CSeq as given, so that it can be sent again. Headers end in CRLF each.
static inline size_t peer_compose(struct peer *peer, char *out, const char *method, unsigned cseq,
                                  unsigned branch, const char *headers, const char *body) {
    char to_tag[80] = "";
    if (*peer->gateway_tag)
        snprintf(to_tag, sizeof to_tag, ";tag=%s", peer->gateway_tag);
    int n = snprintf(out, PEER_MESSAGE,
                     "%s sip:+96812345678@%s:%u%s SIP/2.0\r\n"
                     "Via: SIP/2.0/%s %s:%u;branch=z9hG4bK%s-%u;rport\r\n"
                     "Max-Forwards: 70\r\nFrom: \"Alice\" <sip:+4930123456@example.org>;tag=%s\r\n"
                     "To: <sip:+96812345678@%s>%s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n"
                     "Contact: <sip:alice@%s:%u%s>\r\n%s%sContent-Length: %zu\r\n\r\n%s",
                     method, peer->host, peer->gateway_port, peer->uri_params, peer_transport(peer),
                     peer->host, peer->port, peer->tag, branch, peer->tag, peer->host, to_tag, peer->call_id,
                     cseq, method, peer->host, peer->port, peer->contact_params, headers,
                     *body && !strstr(headers, "Content-Type") ? "Content-Type: application/sdp\r\n" : "",
                     strlen(body), body);
    assert_true(n > 0 && n < PEER_MESSAGE);
    return (size_t)n;
}

// A new request of its own transaction.
static inline void peer_send(struct peer *peer, const char *method, const char *headers, const char *body) {
    static char text[PEER_MESSAGE];
    size_t len = peer_compose(peer, text, method, ++peer->cseq, ++peer->branch, headers, body);
    peer_write(peer, text, len);
}

// An ACK of a 2xx has a branch of its own, that of a refusal and a CANCEL have that of the INVITE.
static inline void peer_ack(struct peer *peer, unsigned cseq, const char *body) {
    static char text[PEER_MESSAGE];
    size_t len = peer_compose(peer, text, "ACK", cseq, ++peer->branch, "", body);
    peer_write(peer, text, len);
}

static inline void peer_same_branch(struct peer *peer, const char *method, const char *headers) {
    static char text[PEER_MESSAGE];
    size_t len = peer_compose(peer, text, method, peer->cseq, peer->branch, headers, "");
    peer_write(peer, text, len);
}

// The value of a header of a message, "" when it has none.
static inline const char *peer_header_of(const char *message, const char *name) {
    static char value[8][4096];
    static unsigned turn;
    char *out = value[turn++ % 8];
    *out = '\0';
    size_t name_len = strlen(name);
    for (const char *line = strstr(message, "\r\n"); line && strncmp(line, "\r\n\r\n", 4) != 0;
         line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, name_len) != 0 || line[2 + name_len] != ':')
            continue;
        const char *at = line + 2 + name_len + 1;
        snprintf(out, 4096, "%.*s", (int)strcspn(at + strspn(at, " "), "\r"), at + strspn(at, " "));
        break;
    }
    return out;
}

static inline const char *peer_header(const struct peer *peer, const char *name) {
    return peer_header_of(peer->got, name);
}

// What a header begins with: the number of CSeq, Retry-After and the like.
static inline unsigned peer_number(const struct peer *peer, const char *name) {
    return (unsigned)strtoul(peer_header(peer, name), NULL, 10);
}

static inline const char *peer_body(const struct peer *peer) {
    const char *end = strstr(peer->got, "\r\n\r\n");
    return end ? end + 4 : "";
}

// Takes one whole message from what has come by the stream.
static inline bool peer_cut(struct peer *peer) {
    peer->stream[peer->len] = '\0';
    const char *end = strstr(peer->stream, "\r\n\r\n");
    if (!end)
        return false;
    size_t head = (size_t)(end - peer->stream) + 4;
    size_t size = head + strtoul(peer_header_of(peer->stream, "Content-Length"), NULL, 10);
    if (peer->len < size)
        return false;
    memcpy(peer->got, peer->stream, size);
    peer->got[size] = '\0';
    memmove(peer->stream, peer->stream + size, peer->len - size);
    peer->len -= size;
    return true;
}

static inline bool peer_take(struct peer *peer) {
    char *at = peer->stream + peer->len;
    size_t room = PEER_MESSAGE - 1 - peer->len;
    if (peer->kind != PEER_UDP && peer_cut(peer))
        return true;
    ssize_t n = peer->ssl ? SSL_read(peer->ssl, at, (int)room) : recv(peer->fd, at, room, 0);
    if (n <= 0)
        return false;
    peer->len += (size_t)n;
    if (peer->kind != PEER_UDP)
        return peer_cut(peer);
    memcpy(peer->got, peer->stream, peer->len);
    peer->got[peer->len] = '\0';
    peer->len = 0;
    return true;
}

// Any next message, also a repeated one; false when none has come in time.
static inline bool peer_next(struct peer *peer, uint64_t wait_ms) {
    uint64_t until = peer_now_ms() + wait_ms;
    do {
        if (peer_take(peer))
            return true;
        peer->turn(peer->turn_arg);
    } while (peer_now_ms() < until);
    return false;
}

static inline bool peer_is_new(struct peer *peer) {
    size_t hash = peer_hash(peer->got);
    for (size_t i = 0; i < peer->seen_count && i < PEER_SEEN; i++) {
        if (peer->seen[i] == hash)
            return false;
    }
    peer->seen[peer->seen_count++ % PEER_SEEN] = hash;
    return true;
}

// The next message that is no repetition begins with `start`, e.g. "SIP/2.0 180" or "BYE ".
static inline void peer_expect(struct peer *peer, const char *start) {
    do {
        if (!peer_next(peer, PEER_WAIT_MS))
            fail_msg("nothing came, expected %s", start);
    } while (!peer_is_new(peer));
    if (strncmp(peer->got, start, strlen(start)) != 0)
        fail_msg("expected %s, got %.400s", start, peer->got);
    const char *tag = strstr(peer_header(peer, "To"), ";tag=");
    if (strncmp(peer->got, "SIP/2.0", 7) == 0 && tag && !*peer->gateway_tag)
        snprintf(peer->gateway_tag, sizeof peer->gateway_tag, "%s", tag + 5);
}

// Answers the request that has just come.
static inline void peer_answer(struct peer *peer, const char *status, const char *headers, const char *body) {
    static char text[PEER_MESSAGE];
    int n = snprintf(text, sizeof text,
                     "SIP/2.0 %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n"
                     "Contact: <sip:alice@%s:%u%s>\r\n%s%sContent-Length: %zu\r\n\r\n%s",
                     status, peer_header(peer, "Via"), peer_header(peer, "From"), peer_header(peer, "To"),
                     peer_header(peer, "Call-ID"), peer_header(peer, "CSeq"), peer->host, peer->port,
                     peer->contact_params, headers, *body ? "Content-Type: application/sdp\r\n" : "",
                     strlen(body), body);
    peer_write(peer, text, (size_t)n);
}

#endif
