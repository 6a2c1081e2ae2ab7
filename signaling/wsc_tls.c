// SPDX-License-Identifier: Apache-2.0
#include "signaling/wsc_tls.h"

#include "gateway/core/err.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wsc_tls {
    SSL_CTX *ctx;
    BIO_METHOD *wire; // a BIO that reads the fed bytes and writes by `put`: no copy, unlike a memory BIO
};

struct wsc_session {
    SSL *ssl; // owns the BIO
    const uint8_t *in;
    size_t in_len;
    int (*put)(const uint8_t *data, size_t len, void *arg);
    void *arg;
    char reason[192];
};

static int on_wire_read(BIO *bio, char *out, int cap) {
    struct wsc_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!session->in_len) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = session->in_len < (size_t)cap ? session->in_len : (size_t)cap;
    memcpy(out, session->in, n);
    session->in += n;
    session->in_len -= n;
    return (int)n;
}

static int on_wire_write(BIO *bio, const char *data, int len) {
    struct wsc_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    return session->put((const uint8_t *)data, (size_t)len, session->arg) ? -1 : len;
}

static long on_wire_ctrl(BIO *bio, int command, long number, void *pointer) {
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int on_wire_create(BIO *bio) {
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *wire_new(void) {
    BIO_METHOD *wire = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wsc wire");
    if (!wire)
        return NULL;
    BIO_meth_set_read(wire, on_wire_read);
    BIO_meth_set_write(wire, on_wire_write);
    BIO_meth_set_ctrl(wire, on_wire_ctrl);
    BIO_meth_set_create(wire, on_wire_create);
    return wire;
}

// The list of protocols of RFC 7301, with this one in it.
static int ctx_set_alpn(SSL_CTX *ctx, const char *alpn) {
    unsigned char list[64];
    size_t len = strlen(alpn);
    if (len >= sizeof list)
        return -EINVAL;
    list[0] = (unsigned char)len;
    memcpy(list + 1, alpn, len);
    return SSL_CTX_set_alpn_protos(ctx, list, (unsigned)len + 1) ? -ENOMEM : 0;
}

static int ctx_set_up(SSL_CTX *ctx, const char *ca_file, const char *alpn) {
    if (!SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) || !SSL_CTX_set_default_verify_paths(ctx))
        return -EIO;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_send_fragment(ctx, WSC_TLS_FRAGMENT);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (ca_file && *ca_file && !SSL_CTX_load_verify_locations(ctx, ca_file, NULL))
        return -EINVAL;
    return alpn ? ctx_set_alpn(ctx, alpn) : 0;
}

int wsc_tls_new(struct wsc_tls **out, const char *ca_file, const char *alpn) {
    struct wsc_tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        return -ENOMEM;
    int err = -ENOMEM;
    tls->wire = wire_new();
    tls->ctx = SSL_CTX_new(TLS_client_method());
    if (!tls->wire || !tls->ctx)
        goto out;
    err = ctx_set_up(tls->ctx, ca_file, alpn);
    if (err)
        goto out;
    *out = tls;
    return 0;

out:
    ERR_clear_error();
    wsc_tls_free(tls);
    return err;
}

void wsc_tls_free(struct wsc_tls *tls) {
    if (!tls)
        return;
    SSL_CTX_free(tls->ctx);
    BIO_meth_free(tls->wire);
    free(tls);
}

// The identity the certificate must prove (RFC 6125); SNI is for names only (RFC 6066 section 3).
static bool expect_peer(SSL *ssl, const char *name) {
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name))
        return true;
    ERR_clear_error();
    return !strchr(name, ':') && SSL_set1_host(ssl, name) && SSL_set_tlsext_host_name(ssl, name);
}

int wsc_session_new(struct wsc_session **out, const struct wsc_tls *tls, const char *peer,
                    int (*put)(const uint8_t *data, size_t len, void *arg), void *arg) {
    struct wsc_session *session = calloc(1, sizeof *session);
    if (!session)
        return -ENOMEM;
    session->put = put;
    session->arg = arg;
    BIO *bio = BIO_new(tls->wire);
    session->ssl = SSL_new(tls->ctx);
    if (!bio || !session->ssl)
        goto out_bio;
    BIO_set_data(bio, session);
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_connect_state(session->ssl);
    if (!expect_peer(session->ssl, peer))
        goto out;
    *out = session;
    return 0;

out_bio:
    BIO_free(bio);
out:
    ERR_clear_error();
    wsc_session_free(session);
    return -ENOMEM;
}

void wsc_session_free(struct wsc_session *session) {
    if (!session)
        return;
    SSL_free(session->ssl);
    free(session);
}

void wsc_session_feed(struct wsc_session *session, const uint8_t *data, size_t len) {
    session->in = data;
    session->in_len = len;
}

static int session_fail(struct wsc_session *session, const char *what) {
    long verdict = SSL_get_verify_result(session->ssl);
    const char *detail = ERR_reason_error_string(ERR_peek_last_error());
    if (verdict != X509_V_OK)
        snprintf(session->reason, sizeof session->reason, "certificate refused: %s",
                 X509_verify_cert_error_string(verdict));
    else
        snprintf(session->reason, sizeof session->reason, "%s: %s", what, detail ? detail : "unknown");
    ERR_clear_error();
    return -EPROTO;
}

int wsc_session_handshake(struct wsc_session *session) {
    ERR_clear_error();
    int done = SSL_do_handshake(session->ssl);
    if (done == 1)
        return 1;
    if (SSL_get_error(session->ssl, done) == SSL_ERROR_WANT_READ)
        return 0;
    return session_fail(session, "TLS handshake failed");
}

int wsc_session_read(struct wsc_session *session, uint8_t *out, size_t cap) {
    ERR_clear_error();
    int n = SSL_read(session->ssl, out, (int)cap);
    if (n > 0)
        return n;
    int error = SSL_get_error(session->ssl, n);
    if (error == SSL_ERROR_WANT_READ)
        return 0;
    if (error == SSL_ERROR_ZERO_RETURN)
        return -EPIPE;
    return session_fail(session, "TLS failed");
}

int wsc_session_write(struct wsc_session *session, const uint8_t *data, size_t len) {
    ERR_clear_error();
    int n = SSL_write(session->ssl, data, (int)len);
    return n == (int)len ? 0 : session_fail(session, "TLS failed");
}

void wsc_session_shutdown(struct wsc_session *session) {
    ERR_clear_error();
    if (SSL_is_init_finished(session->ssl))
        SSL_shutdown(session->ssl);
    ERR_clear_error();
}

const char *wsc_session_reason(const struct wsc_session *session) {
    return session->reason;
}
