// SPDX-License-Identifier: Apache-2.0
#include "webrtc/dtls.h"

#include "gateway/core/err.h"
#include "webrtc/dtls_bio.h"
#include "webrtc/dtls_mem.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>

enum {
    HANDSHAKE_LIMIT_MS = 15000,
    RETRANSMIT_FIRST_US = 200000, // RFC 6347 says 1 s; the path is known from ICE, and a person waits
    RETRANSMIT_MOST_US = 2000000,
    DATAGRAM_MOST = 4096,
    EARLY_MOST = 4, // datagrams kept before dtls_start
};

enum dtls_state { STATE_WAITING, STATE_HANDSHAKE, STATE_CONNECTED, STATE_ENDED };

struct early {
    size_t len;
    uint8_t data[DTLS_MTU + 348]; // what fits an Ethernet frame
};

struct dtls {
    uv_timer_t timer;
    SSL *ssl; // owns
    struct dtls_mem handshake_mem;
    struct dtls_wire wire;
    struct dtls_events events;
    struct dtls_fingerprint peer;
    const EVP_MD *peer_hash;
    enum dtls_role role;
    enum dtls_state state;
    uint64_t deadline_ms; // of the handshake, on the loop's clock
    bool peer_verified;
    bool peer_refused;
    bool in_ssl; // OpenSSL is on the stack and must not be entered again
    bool closing;
    struct early *early; // owns; EARLY_MOST of them, NULL when none came
    size_t early_count;
};

static const EVP_MD *hash_find(const char *name, size_t len) {
    if (!strcasecmp(name, "sha-256") && len == 32)
        return EVP_sha256();
    if (!strcasecmp(name, "sha-384") && len == 48)
        return EVP_sha384();
    if (!strcasecmp(name, "sha-512") && len == 64)
        return EVP_sha512();
    return NULL; // sha-1 and weaker are refused
}

static void on_write(const uint8_t *datagram, size_t len, void *arg) {
    struct dtls *dtls = arg;
    if (!dtls->closing)
        dtls->events.on_send(datagram, len, dtls->events.arg);
}

// Inside the handshake rather than after it, so that the peer gets a fatal alert and no key is ever derived.
// Chain, names and dates mean nothing for a self-signed certificate: only the fingerprint counts (RFC 8122
// section 5).
static int on_verify(int preverify_ok, X509_STORE_CTX *store) {
    (void)preverify_ok;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct dtls *dtls = SSL_get_app_data(ssl);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    dtls->peer_verified = leaf && X509_digest(leaf, dtls->peer_hash, digest, &len) && len == dtls->peer.len &&
                          CRYPTO_memcmp(digest, dtls->peer.digest, len) == 0;
    dtls->peer_refused = !dtls->peer_verified;
    X509_STORE_CTX_set_error(store, dtls->peer_verified ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
    return dtls->peer_verified;
}

static unsigned retransmit_after(SSL *ssl, unsigned last_us) {
    (void)ssl;
    if (last_us == 0)
        return RETRANSMIT_FIRST_US;
    return last_us * 2 < RETRANSMIT_MOST_US ? last_us * 2 : RETRANSMIT_MOST_US;
}

static void dtls_end(struct dtls *dtls, bool clean, const char *reason) {
    if (dtls->closing || dtls->state == STATE_ENDED)
        return;
    dtls->state = STATE_ENDED;
    uv_timer_stop(&dtls->timer);
    dtls->events.on_end(clean, reason, dtls->events.arg);
}

static void dtls_fail(struct dtls *dtls) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    char text[128];
    snprintf(text, sizeof text, "%s", reason ? reason : "connection failed");
    ERR_clear_error();
    dtls_end(dtls, false, dtls->peer_refused ? "fingerprint mismatch" : text);
}

// SSL_ERROR_* of a call that has just returned; WANT_READ also for success.
static int dtls_leave(struct dtls *dtls, int result) {
    int error = result > 0 ? SSL_ERROR_NONE : SSL_get_error(dtls->ssl, result);
    dtls->in_ssl = false;
    return error;
}

// OpenSSL's record buffers, 18 kB, lie idle for nearly the whole call: they are there while it runs only, and freed only
// where nothing is left in them.
static bool dtls_rest(struct dtls *dtls) {
    return dtls->state == STATE_CONNECTED && SSL_free_buffers(dtls->ssl) == 1;
}

static void dtls_enter(struct dtls *dtls) {
    ERR_clear_error(); // the queue belongs to the thread: another connection may have left something
    dtls->in_ssl = true;
}

static bool keys_export(struct dtls *dtls, struct dtls_srtp_keys *keys) {
    const SRTP_PROTECTION_PROFILE *profile = SSL_get_selected_srtp_profile(dtls->ssl);
    if (!profile)
        return false;
    enum { KEY = 16, SALT_MOST = 14 };
    size_t salt = profile->id == SRTP_AEAD_AES_128_GCM ? 12 : SALT_MOST;
    // client key, server key, client salt, server salt (RFC 5764 section 4.2)
    uint8_t material[2 * (KEY + SALT_MOST)];
    static const char label[] = "EXTRACTOR-dtls_srtp";
    if (SSL_export_keying_material(dtls->ssl, material, 2 * (KEY + salt), label, sizeof label - 1, NULL, 0,
                                   0) != 1)
        return false;
    bool client = dtls->role == DTLS_CLIENT;
    uint8_t *of_client = client ? keys->send_key : keys->receive_key;
    uint8_t *of_server = client ? keys->receive_key : keys->send_key;
    memcpy(of_client, material, KEY);
    memcpy(of_server, material + KEY, KEY);
    memcpy(of_client + KEY, material + (size_t)2 * KEY, salt);
    memcpy(of_server + KEY, material + (size_t)2 * KEY + salt, salt);
    keys->profile = (uint16_t)profile->id;
    keys->len = KEY + salt;
    OPENSSL_cleanse(material, sizeof material);
    return true;
}

static void dtls_connected(struct dtls *dtls) {
    if (!dtls->peer_verified) {
        dtls_end(dtls, false, "fingerprint mismatch");
        return;
    }
    struct dtls_srtp_keys keys = {0};
    if (!keys_export(dtls, &keys)) {
        dtls_end(dtls, false, "no common SRTP profile");
        return;
    }
    dtls->state = STATE_CONNECTED;
    uv_timer_stop(&dtls->timer);
    dtls->events.on_connected(&keys, dtls->events.arg);
    OPENSSL_cleanse(&keys, sizeof keys);
}

static void dtls_arm(struct dtls *dtls);

static void dtls_handshake(struct dtls *dtls) {
    dtls_enter(dtls);
    int error = dtls_leave(dtls, SSL_do_handshake(dtls->ssl));
    if (dtls->closing)
        return;
    if (error == SSL_ERROR_NONE)
        dtls_connected(dtls);
    else if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        dtls_arm(dtls);
    else
        dtls_fail(dtls);
}

static void on_timer(uv_timer_t *timer) {
    struct dtls *dtls = timer->data;
    if (uv_now(timer->loop) >= dtls->deadline_ms) {
        dtls_end(dtls, false, "handshake timed out");
        return;
    }
    dtls_enter(dtls);
    int error = dtls_leave(dtls, DTLSv1_handle_timeout(dtls->ssl) < 0 ? -1 : 1);
    if (dtls->closing)
        return;
    if (error == SSL_ERROR_SSL)
        dtls_fail(dtls);
    else
        dtls_arm(dtls);
}

// For the next retransmission or the end of patience, whichever is sooner.
static void dtls_arm(struct dtls *dtls) {
    uint64_t now_ms = uv_now(dtls->timer.loop);
    uint64_t wait_ms = dtls->deadline_ms > now_ms ? dtls->deadline_ms - now_ms : 0;
    struct timeval left;
    if (DTLSv1_get_timeout(dtls->ssl, &left)) {
        uint64_t left_ms = (uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000 + 1;
        wait_ms = left_ms < wait_ms ? left_ms : wait_ms;
    }
    uv_timer_start(&dtls->timer, on_timer, wait_ms, 0);
}

static void dtls_read(struct dtls *dtls) {
    uint8_t data[DATAGRAM_MOST];
    while (dtls->state == STATE_CONNECTED && !dtls->closing) {
        dtls_enter(dtls);
        int len = SSL_read(dtls->ssl, data, sizeof data);
        int error = dtls_leave(dtls, len);
        if (dtls->closing || error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
            return;
        if (error == SSL_ERROR_NONE)
            dtls->events.on_data(data, (size_t)len, dtls->events.arg);
        else if (error == SSL_ERROR_ZERO_RETURN)
            dtls_end(dtls, true, "closed by the peer");
        else
            dtls_fail(dtls);
    }
}

static void early_keep(struct dtls *dtls, const uint8_t *datagram, size_t len) {
    if (!dtls->early)
        dtls->early = calloc(EARLY_MOST, sizeof *dtls->early);
    if (!dtls->early || dtls->early_count == EARLY_MOST || len > sizeof dtls->early->data)
        return; // lost, as on any network: the peer sends it again
    struct early *slot = &dtls->early[dtls->early_count++];
    memcpy(slot->data, datagram, len);
    slot->len = len;
}

void dtls_receive(struct dtls *dtls, const uint8_t *datagram, size_t len) {
    if (dtls->closing || dtls->in_ssl || dtls->state == STATE_ENDED || !len || len > DATAGRAM_MOST)
        return;
    if (dtls->state == STATE_WAITING) {
        early_keep(dtls, datagram, len);
        return;
    }
    dtls->wire.in = datagram;
    dtls->wire.in_len = len;
    bool handshake = dtls->state == STATE_HANDSHAKE;
    if (handshake)
        dtls_handshake(dtls);
    dtls_read(dtls);
    dtls->wire.in = NULL;
    if (!dtls->closing && dtls_rest(dtls) && handshake)
        dtls_mem_discard(&dtls->handshake_mem);
}

int dtls_start(struct dtls *dtls) {
    if (dtls->state != STATE_WAITING || dtls->closing)
        return -EALREADY;
    dtls->state = STATE_HANDSHAKE;
    uv_update_time(dtls->timer.loop);
    dtls->deadline_ms = uv_now(dtls->timer.loop) + HANDSHAKE_LIMIT_MS;
    dtls_mem_watch(
        &dtls->handshake_mem); // nothing of the peer's has come yet: the first large block is OpenSSL's buffer
    dtls_handshake(dtls);
    dtls_mem_watch(NULL);
    struct early *early = dtls->early;
    dtls->early = NULL;
    for (size_t i = 0; i < dtls->early_count; i++)
        dtls_receive(dtls, early[i].data, early[i].len);
    free(early);
    return 0;
}

int dtls_send(struct dtls *dtls, const uint8_t *data, size_t len) {
    if (dtls->closing || dtls->state == STATE_ENDED)
        return -EPIPE;
    if (dtls->state != STATE_CONNECTED || dtls->in_ssl)
        return -EAGAIN;
    if (!len || len > DTLS_MTU)
        return -EMSGSIZE;
    dtls_enter(dtls);
    bool room = SSL_alloc_buffers(dtls->ssl) == 1; // writing takes them for granted
    int error = dtls_leave(dtls, room ? SSL_write(dtls->ssl, data, (int)len) : -1);
    if (!dtls->closing)
        dtls_rest(dtls);
    return error == SSL_ERROR_NONE ? 0 : -EIO;
}

static int ssl_set_up(struct dtls *dtls, const struct cert *cert) {
    dtls->ssl = SSL_new(cert_ssl_ctx(cert));
    if (!dtls->ssl)
        return -ENOMEM;
    BIO *bio = dtls_bio_new(&dtls->wire);
    if (!bio)
        return -ENOMEM;
    SSL_set_bio(dtls->ssl, bio, bio);
    SSL_set_app_data(dtls->ssl, dtls);
    SSL_set_verify(dtls->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
    DTLS_set_link_mtu(dtls->ssl, DTLS_MTU);
    DTLS_set_timer_cb(dtls->ssl, retransmit_after);
    if (dtls->role == DTLS_CLIENT)
        SSL_set_connect_state(dtls->ssl);
    else
        SSL_set_accept_state(dtls->ssl);
    return 0;
}

int dtls_new(struct dtls **out, uv_loop_t *loop, const struct cert *cert, enum dtls_role role,
             const struct dtls_fingerprint *peer, const struct dtls_events *events) {
    const EVP_MD *hash = hash_find(peer->hash, peer->len);
    if (!hash)
        return -EINVAL;
    struct dtls *dtls = calloc(1, sizeof *dtls);
    if (!dtls)
        return -ENOMEM;
    dtls->events = *events;
    dtls->peer = *peer;
    dtls->peer_hash = hash;
    dtls->role = role;
    dtls->wire.on_write = on_write;
    dtls->wire.arg = dtls;
    int err = ssl_set_up(dtls, cert);
    if (!err)
        err = uv_timer_init(loop, &dtls->timer);
    if (err) {
        SSL_free(dtls->ssl);
        free(dtls);
        return err;
    }
    dtls->timer.data = dtls;
    *out = dtls;
    return 0;
}

static void on_closed(uv_handle_t *handle) {
    struct dtls *dtls = handle->data;
    SSL_free(dtls->ssl);
    free(dtls->early);
    free(dtls);
}

void dtls_close(struct dtls *dtls) {
    if (!dtls || dtls->closing)
        return;
    if (dtls->state == STATE_CONNECTED && !dtls->in_ssl) {
        dtls_enter(dtls);
        if (SSL_alloc_buffers(dtls->ssl) == 1)
            SSL_shutdown(dtls->ssl);
        dtls->in_ssl = false;
        if (dtls->closing) // on_send closed us
            return;
    }
    dtls->closing = true;
    uv_close((uv_handle_t *)&dtls->timer, on_closed);
}
