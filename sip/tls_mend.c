// SPDX-License-Identifier: Apache-2.0
//
//   sofia: BIO_new_socket, SSL_new, SSL_set_bio(ssl, bio, bio)      the SSL holds the BIO twice
//          ... handshake                                            -> on_info: once is enough, and we watch the BIO
//          tls_free: SSL_shutdown, SSL_CTX_free, BIO_free           -> on_bio: the last hold is gone, so is sofia's use
//                                                                      of the SSL, which we free here
#include "sip/tls_mend.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sofia-sip/su_types.h>

#include <sofia-sip/sofia_features.h>
#include <stdbool.h>
#include <string.h>

static _Thread_local bool mending;

static long on_bio(BIO *bio, int operation, const char *data, size_t len, int argi, long argl, int ret,
                   size_t *processed) {
    (void)data;
    (void)len;
    (void)argi;
    (void)argl;
    (void)processed;
    if (operation != BIO_CB_FREE)
        return ret;
    SSL *ssl = (SSL *)(void *)BIO_get_callback_arg(bio);
    BIO_set_callback_ex(bio, NULL);
    BIO_up_ref(bio); // for reading and for writing: the SSL gives both back
    BIO_up_ref(bio);
    SSL_CTX_up_ref(SSL_get_SSL_CTX(ssl)); // sofia has given back the SSL's hold of it already
    SSL_free(ssl);
    return 0; // the BIO went with it: BIO_free must leave it alone
}

static void on_info(const SSL *ssl, int where, int ret) {
    (void)ret;
    BIO *bio = where & SSL_CB_HANDSHAKE_START ? SSL_get_rbio(ssl) : NULL;
    if (!bio || BIO_get_callback_ex(bio) || bio != SSL_get_wbio(ssl))
        return;
    BIO_set_callback_arg(bio, (char *)(uintptr_t)ssl);
    BIO_set_callback_ex(bio, on_bio);
    BIO_free(bio);
}

static void on_new_context(void *context, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp) {
    (void)ptr;
    (void)ad;
    (void)idx;
    (void)argl;
    (void)argp;
    if (mending)
        SSL_CTX_set_info_callback(context, on_info);
}

static void watch_contexts(void) {
    if (strncmp(SOFIA_SIP_VERSION, "1.12.", 5) == 0)
        SSL_CTX_get_ex_new_index(0, NULL, on_new_context, NULL, NULL);
}

void tls_mend_begin(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_contexts);
    mending = true;
}

void tls_mend_end(void) {
    mending = false;
}
