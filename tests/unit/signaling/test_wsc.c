// SPDX-License-Identifier: Apache-2.0
// The WebSocket client against a server thread whose bytes are written by hand, plain and with TLS.
#include "tests/unit/signaling/wsc_fixture.h"

#define CONVERSATION                                                                                         \
    "\x01\x03Hel\x89\x02hi\x80\x02lo\x82\x04\x01\x02\x03\x04\x88\x05\x0f\xa0"                                \
    "bye"

static void test_split_at_every_byte(void **state) {
    (void)state;
    for (size_t step = 1; step < 8; step += 2) {
        struct server server = {
            .bytes = (const uint8_t *)CONVERSATION, .len = sizeof CONVERSATION - 1, .step = step};
        struct client client = {0};
        uint8_t opcode, payload[64];
        talk(&server, &client);
        assert_string_equal(client.text, "Hello|\x01\x02\x03\x04|");
        assert_int_equal(client.code, 4000);
        assert_string_equal(client.reason, "bye");
        server_join(&server);
        assert_int_equal(heard_frame(&server, 0, &opcode, payload, sizeof payload), 2);
        assert_int_equal(opcode, WSC_OP_PONG);
        assert_memory_equal(payload, "hi", 2);
        assert_int_equal(heard_frame(&server, 1, &opcode, payload, sizeof payload), 2);
        assert_int_equal(opcode, WSC_OP_CLOSE);
        assert_memory_equal(payload, "\x0f\xa0", 2);
        server_free(&server);
    }
}

static void test_violation_is_answered_1002(void **state) {
    (void)state;
    struct server server = {.bytes = (const uint8_t *)"\x82\x01x\xf0\x00", .len = 5};
    struct client client = {0};
    talk(&server, &client);
    assert_string_equal(client.text, "x|");
    assert_int_equal(client.code, 1002);
    server_join(&server);
    uint8_t opcode, payload[WSC_CONTROL_MAX];
    assert_true(heard_frame(&server, 0, &opcode, payload, sizeof payload) > 2);
    assert_int_equal(opcode, WSC_OP_CLOSE);
    assert_memory_equal(payload, "\x03\xea", 2);
    server_free(&server);
}

static void expect_failure(enum server_mode mode, const char *bytes, size_t len, unsigned code,
                           const char *reason) {
    struct server server = {.mode = mode, .bytes = (const uint8_t *)bytes, .len = len};
    struct client client = {.connect_timeout_ms = mode == HANG ? 200 : 0};
    talk(&server, &client);
    assert_true(client.ended);
    assert_int_equal(client.code, code);
    assert_non_null(strstr(client.reason, reason));
    assert_null(strstr(client.reason, "secret"));
    server_stop(&server);
}

static void test_failures_are_told_apart(void **state) {
    (void)state;
    expect_failure(ANSWER_404, "", 0, 1006, "HTTP 404");
    expect_failure(HANG, "", 0, 1006, "timed out waiting for the HTTP answer");
    expect_failure(CLOSE_AT_ONCE, "", 0, 1006, "closed at once");
    expect_failure(BAD_ACCEPT, "", 0, 1006, "Sec-WebSocket-Accept");
    expect_failure(SERVE, "\x82\x7f\0\0\0\0\0\x80\0\1", 10, 1009, "8 MiB");
    expect_failure(SERVE, "\x88\x00", 2, 1005, "");
}

static void test_refused(void **state) {
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0); // bound and not listening: surely refused
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", ntohs(address.sin_port));
    struct client client = {0};
    client_run(&client, url, NULL, 0);
    assert_false(client.opened);
    assert_string_equal(client.reason, "connection refused");
    close(fd);
    struct client lost = {0};
    client_run(&lost, "ws://no-such-host.invalid/", NULL, 0);
    assert_non_null(strstr(lost.reason, "resolving"));
}

static void test_bad_url(void **state) {
    (void)state;
    struct client client = {0};
    assert_int_equal(uv_loop_init(&client.loop), 0);
    assert_int_equal(client_connect(&client, "http://h/", NULL, 0), -EINVAL);
    assert_int_equal(client_connect(&client, "wss://h/", NULL, 0), -EINVAL); // no trust anchors
    assert_null(client.ws);
    assert_int_equal(uv_loop_close(&client.loop), 0);
}

// wsc_close before anything came of the connection, and from inside on_data.
static void test_close_from_anywhere(void **state) {
    (void)state;
    struct server server = {.bytes = (const uint8_t *)"\x81\x02go\x81\x02no", .len = 8};
    struct client client = {.close_on = "go|"};
    uint8_t opcode, payload[64];
    talk(&server, &client);
    assert_false(client.ended);
    assert_string_equal(client.text, "go|");
    server_join(&server);
    assert_int_equal(heard_frame(&server, 0, &opcode, payload, sizeof payload), 6);
    assert_memory_equal(payload,
                        "\x03\xe8"
                        "done",
                        6);
    server_free(&server);

    struct client early = {0};
    assert_int_equal(uv_loop_init(&early.loop), 0);
    uv_timer_init(&early.loop, &early.guard);
    assert_int_equal(client_connect(&early, "ws://localhost:9/", NULL, 0), 0);
    wsc_close(early.ws, 1000, NULL);
    uv_run(&early.loop, UV_RUN_DEFAULT);
    assert_true(early.closed && !early.ended);
    assert_int_equal(uv_loop_close(&early.loop), 0);
}

static void test_silence_is_noticed(void **state) {
    (void)state;
    struct server server = {.hold = true};
    struct client client = {0};
    char url[64];
    server_start(&server);
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", server.port);
    client_run(&client, url, NULL, 50);
    assert_int_equal(client.code, 1006);
    assert_non_null(strstr(client.reason, "two pings"));
    server_release(&server);
    server_stop(&server);
}

// The newest ping of those that came together is answered, and before the close frame (RFC 6455 section
// 5.5.3).
static void test_a_flood_of_pings(void **state) {
    (void)state;
    enum { PINGS = 20000, BYTES = 6 };
    static uint8_t bytes[PINGS * BYTES + 4];
    for (uint32_t i = 0; i < PINGS; i++) {
        const uint8_t ping[BYTES] = {0x89, 4, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, 7};
        memcpy(bytes + (size_t)i * BYTES, ping, BYTES);
    }
    memcpy(bytes + (size_t)PINGS * BYTES, "\x88\x02\x03\xe8", 4);
    struct server server = {.bytes = bytes, .len = sizeof bytes};
    struct client client = {0};
    uint8_t opcode = 0, payload[WSC_CONTROL_MAX], last[BYTES] = {0};
    size_t pongs = 0;
    talk(&server, &client);
    assert_int_equal(client.code, 1000);
    server_join(&server);
    while (heard_frame(&server, pongs, &opcode, payload, sizeof payload) == 4 && opcode == WSC_OP_PONG) {
        memcpy(last, payload, 4);
        pongs++;
    }
    assert_int_equal(opcode, WSC_OP_CLOSE);
    assert_in_range(pongs, 1, PINGS / 100);
    assert_memory_equal(last, bytes + (size_t)(PINGS - 1) * BYTES + 2, 4);
    server_free(&server);
}

// ---- a server that does not read

static struct server *held; // the server of the running test, for the callbacks
static uint64_t accepted_bytes;

static void fill(struct client *client) {
    static uint8_t frame[4000];
    int err = 0;
    for (unsigned i = 0; i < 100000 && !err; i++) {
        err = wsc_send(client->ws, WSC_BINARY, frame, sizeof frame);
        accepted_bytes += err ? 0 : sizeof frame;
    }
    assert_int_equal(err, -EAGAIN);
    assert_int_equal(wsc_send(client->ws, WSC_BINARY, frame, 65 * 1024), -EMSGSIZE);
    server_release(held);
}

static void finish_writing(struct client *client) {
    assert_int_equal(wsc_send(client->ws, WSC_TEXT, (const uint8_t *)"last", 4), 0);
    wsc_close(client->ws, 1000, NULL);
}

static void check_heard(const struct server *server) {
    uint64_t bytes = 0;
    static uint8_t payload[4096];
    uint8_t opcode = 0;
    size_t index = 0, len;
    while ((len = heard_frame(server, index++, &opcode, payload, sizeof payload)) == 4000)
        bytes += len;
    assert_int_equal(opcode, WSC_OP_TEXT);
    assert_int_equal(len, 4);
    assert_int_equal(bytes, accepted_bytes);
}

static void test_whole_messages_or_none(void **state) {
    (void)state;
    struct server server = {.hold = true};
    struct client client = {.on_open = fill, .on_writable = finish_writing};
    held = &server;
    accepted_bytes = 0;
    talk(&server, &client);
    server_join(&server);
    assert_true(accepted_bytes > 64 * 1024);
    check_heard(&server);
    server_free(&server);
}

// ---- TLS

static EVP_PKEY *test_key;

static X509 *make_certificate(const char *name, const char *san, X509 *issuer, EVP_PKEY *issuer_key) {
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), issuer ? 2 : 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, test_key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)name,
                               -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert));
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer ? issuer : cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension =
        issuer ? X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, san)
               : X509V3_EXT_conf_nid(NULL, &ctx, NID_basic_constraints, "critical,CA:TRUE");
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
    return cert;
}

static SSL_CTX *server_tls(const char *san, char *ca_path) {
    X509 *ca = make_certificate("test CA", NULL, NULL, test_key);
    X509 *leaf = make_certificate("leaf", san, ca, test_key);
    int fd = mkstemp(ca_path);
    FILE *file = fdopen(fd, "w");
    PEM_write_X509(file, ca);
    fclose(file);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(ctx, leaf), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, test_key), 1);
    X509_free(ca);
    X509_free(leaf);
    return ctx;
}

static void say_much(struct client *client) {
    static uint8_t text[60000];
    memset(text, 'a', sizeof text);
    assert_int_equal(wsc_send(client->ws, WSC_TEXT, text, sizeof text), 0);
}

static void talk_tls(const char *san, const char *host, bool trust, struct client *client,
                     struct server *server) {
    char ca_path[] = "/tmp/wsc-ca-XXXXXX", url[64];
    struct wsc_tls *tls = NULL;
    server->tls = server_tls(san, ca_path);
    server_start(server);
    assert_int_equal(wsc_tls_new(&tls, trust ? ca_path : NULL, "http/1.1"), 0);
    snprintf(url, sizeof url, "wss://%s:%u/", host, server->port);
    client_run(client, url, tls, 0);
    wsc_tls_free(tls);
    unlink(ca_path);
}

static void test_tls_accepted(void **state) {
    (void)state;
    static const struct {
        const char *san, *host;
    } good[] = {{"DNS:localhost", "localhost"}, {"IP:127.0.0.1", "127.0.0.1"}};
    for (size_t i = 0; i < 2; i++) {
        struct server server = {
            .bytes = (const uint8_t *)CONVERSATION, .len = sizeof CONVERSATION - 1, .step = 7};
        struct client client = {.on_open = say_much};
        static uint8_t payload[60000];
        uint8_t opcode;
        talk_tls(good[i].san, good[i].host, true, &client, &server);
        assert_string_equal(client.text, "Hello|\x01\x02\x03\x04|");
        assert_int_equal(client.code, 4000);
        server_join(&server);
        assert_int_equal(heard_frame(&server, 0, &opcode, payload, sizeof payload), sizeof payload);
        assert_int_equal(payload[0], 'a');
        assert_int_equal(payload[sizeof payload - 1], 'a');
        server_free(&server);
    }
}

static void test_tls_refused(void **state) {
    (void)state;
    static const struct {
        const char *san, *host;
        bool trust;
        const char *reason;
    } bad[] = {{"DNS:localhost", "localhost", false, "certificate refused: "},
               {"DNS:other.example", "localhost", true, "certificate refused: hostname mismatch"},
               {"DNS:localhost", "127.0.0.1", true, "certificate refused: IP address mismatch"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct server server = {0};
        struct client client = {0};
        talk_tls(bad[i].san, bad[i].host, bad[i].trust, &client, &server);
        assert_false(client.opened);
        assert_ptr_equal(strstr(client.reason, bad[i].reason), client.reason);
        server_stop(&server);
    }
    struct wsc_tls *tls = NULL;
    assert_int_equal(wsc_tls_new(&tls, "/nonexistent/ca.pem", NULL), -EINVAL);
    assert_null(tls);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    test_key = EVP_EC_gen("P-256");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_at_every_byte),
        cmocka_unit_test(test_violation_is_answered_1002),
        cmocka_unit_test(test_failures_are_told_apart),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bad_url),
        cmocka_unit_test(test_close_from_anywhere),
        cmocka_unit_test(test_silence_is_noticed),
        cmocka_unit_test(test_a_flood_of_pings),
        cmocka_unit_test(test_whole_messages_or_none),
        cmocka_unit_test(test_tls_accepted),
        cmocka_unit_test(test_tls_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    EVP_PKEY_free(test_key);
    return failed;
}
