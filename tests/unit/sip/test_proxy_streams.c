// SPDX-License-Identifier: Apache-2.0
// The proxy over TCP, TLS and IPv6.
#include "proxy_fixture.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

static char tls_dir[] = "/tmp/iqra-sip-test-XXXXXX";
static char certificate_path[64], key_path[64], client_path[64];

// Self-signed, for both sides.
static void make_certificate(const char *name, const char *certificate_file, const char *key_file) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_set_version(certificate, 2);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, subject);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    FILE *file = fopen(certificate_file, "w");
    assert_non_null(file);
    assert_true(PEM_write_X509(file, certificate));
    if (strcmp(certificate_file, key_file) != 0) {
        fclose(file);
        file = fopen(key_file, "w");
        assert_non_null(file);
    }
    assert_true(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static int set_up(void **state) {
    (void)state;
    assert_non_null(mkdtemp(tls_dir));
    snprintf(certificate_path, sizeof certificate_path, "%s/cert.pem", tls_dir);
    snprintf(key_path, sizeof key_path, "%s/key.pem", tls_dir);
    snprintf(client_path, sizeof client_path, "%s/client.pem", tls_dir);
    make_certificate("proxy.test", certificate_path, key_path);
    make_certificate("trunk.test", client_path, client_path);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(certificate_path);
    unlink(key_path);
    unlink(client_path);
    return rmdir(tls_dir);
}

static int connect_to(const char *address, uint16_t port) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool is_v6 = strchr(address, ':');
    assert_int_equal(
        inet_pton(is_v6 ? AF_INET6 : AF_INET, address, is_v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr),
        1);
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    assert_int_equal(
        connect(fd, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4, is_v6 ? sizeof v6 : sizeof v4),
        0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void request_of(char *text, size_t size, const char *method, const char *transport,
                       const char *call_id) {
    bool ack = strcmp(method, "ACK") == 0;
    snprintf(
        text, size,
        "%s sip:+96812345678@proxy SIP/2.0\r\nVia: SIP/2.0/%s client.invalid:9;branch=z9hG4bK%s;rport\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:+4930@carrier>;tag=f\r\nTo: <sip:+96812345678@proxy>%s\r\n"
        "Call-ID: %s\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
        method, transport, call_id, ack ? ";tag=x" : "", call_id, method);
}

static void send_all(int fd, const char *text, size_t len) {
    assert_int_equal(send(fd, text, len, 0), (ssize_t)len);
}

// Until `wanted` has come on the stream.
static void expect_on(struct fixture *f, int fd, const char *wanted) {
    static char all[FIXTURE_MESSAGE];
    size_t len = 0;
    all[0] = '\0';
    while (!strstr(all, wanted)) {
        if (!fixture_receive_on(f, fd, FIXTURE_WAIT_US))
            fail_msg("wanted %s, this came: %s", wanted, all);
        size_t more = strlen(f->message);
        assert_true(len + more < sizeof all);
        memcpy(all + len, f->message, more + 1);
        len += more;
    }
    memcpy(f->message, all, len + 1);
}

static void expect_closed(struct fixture *f, int fd) {
    uint64_t end_us = ticker_now_us() + FIXTURE_WAIT_US;
    char byte[512];
    ssize_t n = -1;
    while (n != 0 && ticker_now_us() < end_us) {
        fixture_step(f);
        n = recv(fd, byte, sizeof byte, 0);
        if (n < 0 && errno != EAGAIN)
            return; // reset
    }
    assert_int_equal(n, 0);
}

static void over_tcp(void **state) {
    (void)state;
    struct fixture f;
    char listen[64], text[1024];
    uint16_t port = fixture_free_port(SOCK_STREAM);
    snprintf(listen, sizeof listen, ",\"tcp:127.0.0.1:%u\"", port);
    fixture_start(&f, listen, "", (struct proxy_limits){0});
    int fd = connect_to("127.0.0.1", port);
    request_of(text, sizeof text, "INVITE", "TCP", "t1");
    for (size_t i = 0; i < strlen(text); i++) { // byte by byte
        send_all(fd, text + i, 1);
        fixture_step(&f);
    }
    expect_on(&f, fd, "X-CallQueue-Id=q-1;transport=tcp>;q=0.9\r\nContent-Length: 0\r\n\r\n");
    assert_non_null(strstr(f.message, "SIP/2.0 302 Redirecting"));
    assert_non_null(strstr(f.message, ";received=127.0.0.1"));
    assert_string_equal(f.last_ask.request.transport, "tcp");
    // Three at once, the second one an ACK.
    char many[4096];
    request_of(many, sizeof many, "INVITE", "TCP", "t2");
    request_of(text, sizeof text, "ACK", "TCP", "t1");
    strncat(many, text, sizeof many - strlen(many) - 1);
    request_of(text, sizeof text, "OPTIONS", "TCP", "t3");
    strncat(many, text, sizeof many - strlen(many) - 1);
    send_all(fd, many, strlen(many));
    expect_on(&f, fd, "SIP/2.0 200 OK\r\n");
    if (!strstr(f.message, "SIP/2.0 302 "))
        expect_on(&f, fd, "SIP/2.0 302 ");
    assert_int_equal(f.ask_count, 2);
    close(fd);
    fixture_stop(&f);
}

static void a_message_without_end_ends_the_connection(void **state) {
    (void)state;
    struct fixture f;
    char listen[64];
    static char body[100000];
    uint16_t port = fixture_free_port(SOCK_STREAM);
    snprintf(listen, sizeof listen, ",\"tcp:127.0.0.1:%u\"", port);
    fixture_start(&f, listen, "", (struct proxy_limits){0});
    int fd = connect_to("127.0.0.1", port);
    static const char head[] = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: "
                               "<sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n"
                               "Content-Length: 100000000\r\n\r\n";
    send_all(fd, head, sizeof head - 1);
    memset(body, 'x', sizeof body);
    send_all(fd, body, sizeof body);
    expect_closed(&f, fd);
    assert_int_equal(f.ask_count, 0);
    close(fd);
    fixture_stop(&f);
}

static void a_connection_that_goes_while_its_call_waits(void **state) {
    (void)state;
    struct fixture f;
    char listen[64], text[1024];
    uint16_t port = fixture_free_port(SOCK_STREAM);
    snprintf(listen, sizeof listen, ",\"tcp:127.0.0.1:%u\"", port);
    fixture_start(&f, listen, "", (struct proxy_limits){0});
    f.hold = true;
    int fd = connect_to("127.0.0.1", port);
    request_of(text, sizeof text, "INVITE", "TCP", "t1");
    send_all(fd, text, strlen(text));
    expect_on(&f, fd, "SIP/2.0 100 ");
    close(fd);
    for (int i = 0; i < 20; i++)
        fixture_step(&f);
    fixture_decide(&f, f.asked[0], 302);
    f.udp = fixture_udp(&f, "127.0.0.1", &f.udp_port);
    fixture_expect_silence(&f); // it lives
    fixture_stop(&f);
}

// The handshake and one exchange, step by step with the proxy on the same thread. False when the proxy refuses.
static bool tls_exchange(struct fixture *f, uint16_t port, const char *client_certificate, int version) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    if (client_certificate) {
        assert_int_equal(SSL_CTX_use_certificate_file(ctx, client_certificate, SSL_FILETYPE_PEM), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, client_certificate, SSL_FILETYPE_PEM), 1);
    }
    SSL *ssl = SSL_new(ctx);
    int fd = connect_to("127.0.0.1", port);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    char text[1024], answer[8192] = "";
    size_t len = 0;
    request_of(text, sizeof text, "INVITE", "TLS",
               client_certificate          ? "tc"
               : version == TLS1_3_VERSION ? "t3"
                                           : "t2");
    bool sent = false, failed = false;
    uint64_t end_us = ticker_now_us() + FIXTURE_WAIT_US;
    while (!failed && !strstr(answer, "SIP/2.0 302 ") && ticker_now_us() < end_us) {
        fixture_step(f);
        int n = sent ? SSL_read(ssl, answer + len, (int)(sizeof answer - 1 - len))
                     : SSL_write(ssl, text, (int)strlen(text));
        int err = SSL_get_error(ssl, n);
        failed = n <= 0 && err != SSL_ERROR_WANT_READ && err != SSL_ERROR_WANT_WRITE;
        if (n > 0 && sent)
            answer[len += (size_t)n] = '\0';
        sent |= n > 0;
    }
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    return strstr(answer, "transport=tls") != NULL;
}

static void over_tls(void **state) {
    (void)state;
    struct fixture f;
    char listen[64], keys[256];
    uint16_t port = fixture_free_port(SOCK_STREAM);
    snprintf(listen, sizeof listen, ",\"tls:127.0.0.1:%u\"", port);
    snprintf(keys, sizeof keys, ",\"TlsCertificate\":\"%s\",\"TlsKey\":\"%s\"", certificate_path, key_path);
    fixture_start(&f, listen, keys, (struct proxy_limits){0});
    assert_true(tls_exchange(&f, port, NULL, TLS1_2_VERSION));
    assert_string_equal(f.last_ask.request.transport, "tls");
    assert_true(tls_exchange(&f, port, NULL, TLS1_3_VERSION));
    assert_false(tls_exchange(&f, port, NULL, TLS1_1_VERSION));
    fixture_stop(&f);
}

// Who reaches a tls: address and has no business there: nothing may be left of him, which the leak check sees.
static void tls_strangers(void **state) {
    (void)state;
    struct fixture f;
    char listen[64], keys[256];
    uint16_t port = fixture_free_port(SOCK_STREAM);
    snprintf(listen, sizeof listen, ",\"tls:127.0.0.1:%u\"", port);
    snprintf(keys, sizeof keys, ",\"TlsCertificate\":\"%s\",\"TlsKey\":\"%s\"", certificate_path, key_path);
    fixture_start(&f, listen, keys, (struct proxy_limits){0});
    static const char *const said[] = {"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02", "\r\n\r\n"};
    for (size_t i = 0; i < 40; i++) {
        int fd = connect_to("127.0.0.1", port);
        const char *text = said[i % 4];
        send_all(fd, text, strlen(text));
        fixture_step(&f);
        close(fd);
        fixture_step(&f);
    }
    assert_true(tls_exchange(&f, port, NULL, TLS1_3_VERSION));
    fixture_stop(&f);
}

static void tls_asks_for_certificates_of_its_authorities(void **state) {
    (void)state;
    struct fixture f;
    char listen[64], keys[512];
    uint16_t port = fixture_free_port(SOCK_STREAM);
    snprintf(listen, sizeof listen, ",\"tls:127.0.0.1:%u\"", port);
    snprintf(keys, sizeof keys, ",\"TlsCertificate\":\"%s\",\"TlsKey\":\"%s\",\"TlsCaFile\":\"%s\"",
             certificate_path, key_path, client_path);
    fixture_start(&f, listen, keys, (struct proxy_limits){0});
    assert_false(tls_exchange(&f, port, NULL, TLS1_2_VERSION));
    assert_int_equal(f.ask_count, 0);
    assert_true(tls_exchange(&f, port, client_path, TLS1_2_VERSION));
    fixture_stop(&f);
}

static void over_ipv6(void **state) {
    (void)state;
    struct fixture f;
    char listen[128], text[1024];
    uint16_t port = fixture_free_port(SOCK_STREAM);
    // Both families on one port, and the wildcard of each.
    snprintf(listen, sizeof listen, ",\"tcp:0.0.0.0:%u\",\"tcp:[::]:%u\",\"udp:[::1]:%u\"", port, port, port);
    fixture_start(&f, listen, "", (struct proxy_limits){0});
    int fd = connect_to("::1", port);
    request_of(text, sizeof text, "INVITE", "TCP", "six");
    send_all(fd, text, strlen(text));
    expect_on(&f, fd, "SIP/2.0 302 ");
    assert_string_equal(f.last_ask.request.source, "::1");
    close(fd);
    fd = connect_to("127.0.0.1", port);
    request_of(text, sizeof text, "INVITE", "TCP", "four");
    send_all(fd, text, strlen(text));
    expect_on(&f, fd, "SIP/2.0 302 ");
    assert_string_equal(f.last_ask.request.source, "127.0.0.1");
    close(fd);
    fixture_stop(&f);
}

static void what_cannot_be_listened_on_says_so(void **state) {
    (void)state;
    struct fixture f;
    struct proxy *second = NULL;
    struct err_text err = {""};
    char listen[64];
    uint16_t port = fixture_free_port(SOCK_STREAM);
    snprintf(listen, sizeof listen, ",\"tcp:127.0.0.1:%u\"", port);
    fixture_start(&f, listen, "", (struct proxy_limits){0});
    struct proxy_config config = {.root = f.root, .conf = f.conf, .post = fixture_post, .post_arg = &f};
    assert_int_equal(proxy_new(&second, &config, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "Sip.ProxyListen: cannot listen on udp:127.0.0.1:"));
    fixture_stop(&f);
}

static void tls_files_are_checked_before_anybody_calls(void **state) {
    (void)state;
    static const struct {
        const char *certificate, *key, *authorities, *said;
    } cases[] = {{certificate_path, client_path, "", "Sip.TlsKey: "},
                 {certificate_path, certificate_path, "", "Sip.TlsKey: "},
                 {key_path, key_path, "", "Sip.TlsCertificate: "},
                 {"/dev/null", key_path, "", "Sip.TlsCertificate: "},
                 {certificate_path, key_path, key_path, "Sip.TlsCaFile: "}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[1024], *folder = NULL;
        struct err_text err = {""};
        snprintf(
            json, sizeof json,
            "{\"Agent\":{\"Builtin\":\"echo\"},\"Gateway\":{\"Roles\":[\"proxy\"]},\"Sip\":{\"ProxyListen\":"
            "[\"tls:127.0.0.1:5061\"],\"TlsCertificate\":\"%s\",\"TlsKey\":\"%s\",\"TlsCaFile\":\"%s\"}}",
            cases[i].certificate, cases[i].key, cases[i].authorities);
        struct conf *conf = fixture_conf(json);
        assert_int_equal(listen_tls_folder_new(&folder, conf, &err), -EINVAL);
        assert_memory_equal(err.text, cases[i].said, strlen(cases[i].said));
        assert_null(folder);
        conf_free(conf);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_tcp),
        cmocka_unit_test(a_message_without_end_ends_the_connection),
        cmocka_unit_test(a_connection_that_goes_while_its_call_waits),
        cmocka_unit_test(over_tls),
        cmocka_unit_test(tls_strangers),
        cmocka_unit_test(tls_asks_for_certificates_of_its_authorities),
        cmocka_unit_test(over_ipv6),
        cmocka_unit_test(what_cannot_be_listened_on_says_so),
        cmocka_unit_test(tls_files_are_checked_before_anybody_calls),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
