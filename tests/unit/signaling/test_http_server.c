// SPDX-License-Identifier: Apache-2.0
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/signaling/http_fixture.h"

static void test_close_with_everything_open(void **state) {
    (void)state;
    struct client idle, half, waiting, streaming, socket;
    open_client(&idle);
    open_client(&half);
    open_client(&waiting);
    open_client(&streaming);
    open_ws(&socket);
    client_text(&half, "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc");
    client_text(&waiting, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_true(reached(&waiting, &t.requests, 2));
    struct http_exchange *later = t.later;
    client_text(&streaming, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    uint64_t deadline = client_deadline();
    while (!strstr(streaming.data, "one") && uv_hrtime() < deadline)
        client_turn(&streaming);
    http_server_close(t.server, on_closed, &t.closed);
    assert_int_equal(client_close_code(&socket), 1001);
    while (!t.closed && uv_hrtime() < deadline)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_true(t.closed);
    assert_true(t.gone);
    assert_int_equal(t.closes, 1);
    assert_false(uv_loop_alive(&t.loop));
    http_reply_json(later, 200, "{}");
    http_stream_end(t.later);
    t.server = NULL;
    client_close(&idle);
    client_close(&half);
    client_close(&waiting);
    client_close(&streaming);
    client_close(&socket);
}

// What asks for the end, POST /api/admin/drain, is answered before it.
static void test_an_answer_goes_out_before_the_close(void **state) {
    (void)state;
    struct client client;
    struct response response;
    open_client(&client);
    client_text(&client, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_true(reached(&client, &t.requests, 1));
    http_reply_json(t.later, 202, "{}");
    http_server_close(t.server, on_closed, &t.closed);
    client_response(&client, &response, false);
    assert_int_equal(response.status, 202);
    uint64_t deadline = client_deadline();
    while (!t.closed && uv_hrtime() < deadline)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_true(t.closed);
    t.server = NULL;
    client_close(&client);
}

// While a WebSocket's end is awaited, whom the routes lead to may be gone.
static void test_a_closing_server_serves_nobody(void **state) {
    (void)state;
    struct client kept, half, socket;
    struct response response;
    open_client(&kept);
    open_client(&half);
    open_ws(&socket);
    client_text(&kept, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    client_response(&kept, &response, false);
    assert_int_equal(response.status, 202);
    client_text(&half,
                "POST /api/echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    uint64_t deadline = client_deadline();
    while (!strstr(half.data, "100 Continue") && uv_hrtime() < deadline)
        client_turn(&half);
    unsigned before = t.requests;
    http_server_close(t.server, on_closed, &t.closed);
    client_text(&kept, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    client_text(&half, "abc");
    while (!t.closed && uv_hrtime() < deadline)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_true(t.closed);
    t.server = NULL;
    assert_int_equal(t.requests, before);
    client_close(&kept);
    client_close(&half);
    client_close(&socket);
}

static void test_two_servers_on_one_loop(void **state) {
    (void)state;
    struct http_config config = config_of(&t.loop);
    struct http_server *second;
    struct err_text err;
    assert_int_equal(http_server_new(&second, &config, &err), 0);
    assert_int_not_equal(http_server_port(second), http_server_port(t.server));
    struct client client;
    struct response response;
    client_open(&client, &t.loop, http_server_port(second));
    client_request(&client, &response, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 202);
    client_close(&client);
    stop(second);
    open_client(&client);
    client_request(&client, &response, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 202);
    client_close(&client);
}

static void test_cannot_start(void **state) {
    (void)state;
    struct http_config config = config_of(&t.loop);
    struct http_server *second = NULL;
    struct err_text err;
    char taken[32];
    snprintf(taken, sizeof taken, "127.0.0.1:%u", http_server_port(t.server));
    const char *const bad[] = {
        "",        "8080",        ":8080", "localhost", "localhost:80", "127.0.0.1:", "127.0.0.1:65536",
        "[::1:80", "127.0.0.1:-1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        config.listen = bad[i];
        assert_int_equal(http_server_new(&second, &config, &err), -EINVAL);
    }
    config.listen = taken;
    assert_int_equal(http_server_new(&second, &config, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, taken));
    assert_non_null(strstr(err.text, "Gateway.HttpListen"));
    config.listen = "127.0.0.1:0";
    config.tls_certificate = config.tls_key = "/nonexistent/certificate.pem";
    assert_int_equal(http_server_new(&second, &config, &err), -EINVAL);
    assert_non_null(strstr(err.text, "Gateway.TlsCertificate"));
    assert_null(second);
}

// A key and a certificate for it, in files; written once.
static void write_certificate(char key_path[64], char certificate_path[64]) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"gateway.test", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    snprintf(key_path, 64, "/tmp/iqra-key-XXXXXX");
    snprintf(certificate_path, 64, "/tmp/iqra-certificate-XXXXXX");
    FILE *key_file = fdopen(mkstemp(key_path), "w"),
         *certificate_file = fdopen(mkstemp(certificate_path), "w");
    assert_true(PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL));
    assert_true(PEM_write_X509(certificate_file, certificate));
    fclose(key_file);
    fclose(certificate_file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

// Turns both sides until `wanted` is in what the server sent.
static bool tls_exchange(SSL *ssl, struct client *client, const char *request, const char *wanted) {
    static char got[8192];
    size_t len = 0, sent = 0;
    uint64_t deadline = client_deadline();
    memset(got, 0, sizeof got);
    while (!strstr(got, wanted) && uv_hrtime() < deadline) {
        uv_run(client->loop, UV_RUN_NOWAIT);
        if (!sent && SSL_write_ex(ssl, request, strlen(request), &sent) != 1)
            sent = 0;
        size_t n = 0;
        if (SSL_read_ex(ssl, got + len, sizeof got - 1 - len, &n) == 1)
            len += n;
    }
    return strstr(got, wanted) != NULL;
}

static void test_tls(void **state) {
    (void)state;
    char key[64], certificate[64];
    write_certificate(key, certificate);
    struct http_config config = config_of(&t.loop);
    config.tls_certificate = certificate;
    config.tls_key = key;
    start(&config);
    struct client client;
    open_client(&client);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, client.fd);
    SSL_set_connect_state(ssl);
    assert_true(tls_exchange(ssl, &client, "GET /hello HTTP/1.1\r\n" HOST "\r\n", "\r\n\r\nhello"));
    assert_true(t.secure);
    assert_true(SSL_version(ssl) >= TLS1_2_VERSION);
    // The second request of the connection, and an upgrade.
    assert_true(tls_exchange(ssl, &client, "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbody",
                             "body"));
    assert_true(
        tls_exchange(ssl, &client,
                     "GET /ws/1 HTTP/1.1\r\n" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     "welcome"));
    SSL_free(ssl);
    client_close(&client);
    open_client(&client);
    ssl = SSL_new(ctx);
    SSL_set_fd(ssl, client.fd);
    SSL_set_connect_state(ssl);
    // Two requests in one record: the second is not taken.
    unsigned before = t.requests;
    assert_true(tls_exchange(ssl, &client,
                             "GET /hello HTTP/1.1\r\n" HOST "\r\n"
                             "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbodyand more",
                             "hello"));
    assert_true(client_wait_end(&client));
    assert_int_equal(t.requests, before + 1);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    client_close(&client);
    struct http_server *second;
    struct err_text err;
    config.tls_key = certificate;
    assert_int_equal(http_server_new(&second, &config, &err), -EINVAL);
    assert_non_null(strstr(err.text, "TlsKey"));
    unlink(key);
    unlink(certificate);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_close_with_everything_open),
        WITH_SERVER(test_an_answer_goes_out_before_the_close),
        WITH_SERVER(test_a_closing_server_serves_nobody),
        WITH_SERVER(test_two_servers_on_one_loop),
        WITH_SERVER(test_cannot_start),
        WITH_LOOP(test_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
