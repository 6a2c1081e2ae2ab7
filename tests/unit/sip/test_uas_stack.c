// SPDX-License-Identifier: Apache-2.0
// The listener on the SIP thread of the program, with ctl as it is there: mail both ways, TLS from files, stop.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sip/stack.h"
#include "uas_fixture.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

// What of ctl there is: it takes every call at once.
struct desk {
    uv_loop_t loop;
    struct mailbox *mailbox;
    struct sip_stack *stack;
    struct conf *conf;
    uint16_t port;
    uint64_t handle; // of the last call
    unsigned invites, confirmed, over;
    char folder[64], key_path[128], certificate_path[128];
    struct peer peer;
};

static void desk_say(struct desk *desk, uint64_t to, enum sip_mail type, const char *text) {
    assert_int_equal(sip_stack_post(desk->stack, type, to, sip_text_new(0, text), sip_text_free), 0);
}

static void on_mail(struct mail *mail, void *arg) {
    struct desk *desk = arg;
    if (mail->type == SIP_INVITE) {
        desk->invites++;
        desk->handle = mail->to;
        desk_say(desk, mail->to, SIP_PROGRESS, "session");
        desk_say(desk, mail->to, SIP_ACCEPT, OUR_SDP);
    } else if (mail->type == SIP_CONFIRMED) {
        desk->confirmed++;
    } else if (mail->type == SIP_OVER) {
        desk->over++;
    }
}

static void turn(void *arg) {
    struct desk *desk = arg;
    uv_run(&desk->loop, UV_RUN_NOWAIT);
    struct pollfd wait = {.fd = desk->peer.fd, .events = POLLIN};
    poll(&wait, 1, 2);
}

static void wait_for(struct desk *desk, const unsigned *count, unsigned value) {
    uint64_t until = peer_now_ms() + PEER_WAIT_MS;
    while (*count < value && peer_now_ms() < until)
        turn(desk);
    assert_int_equal(*count, value);
}

static void write_certificate(struct desk *desk) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    assert_non_null(key);
    assert_non_null(certificate);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    snprintf(desk->folder, sizeof desk->folder, "/tmp/iqra-test-XXXXXX");
    assert_non_null(mkdtemp(desk->folder));
    snprintf(desk->key_path, sizeof desk->key_path, "%s/key.pem", desk->folder);
    snprintf(desk->certificate_path, sizeof desk->certificate_path, "%s/certificate.pem", desk->folder);
    FILE *file = fopen(desk->key_path, "we");
    assert_true(file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
    fclose(file);
    file = fopen(desk->certificate_path, "we");
    assert_true(file && PEM_write_X509(file, certificate));
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static int setup(void **state) {
    struct desk *desk = calloc(1, sizeof *desk);
    assert_non_null(desk);
    desk->peer.fd = -1;
    assert_int_equal(uv_loop_init(&desk->loop), 0);
    assert_int_equal(mailbox_new(&desk->mailbox, &desk->loop, 1024, on_mail, desk), 0);
    write_certificate(desk);
    int err = -EADDRINUSE;
    struct err_text text = {""};
    for (int i = 0; err && i < 20; i++) {
        char json[1024];
        desk->port = free_port();
        snprintf(
            json, sizeof json,
            "{\"Gateway\":{\"Roles\":[\"media\"]},\"Agent\":{\"Builtin\":\"echo\"},\"Sip\":{\"MediaListen\":"
            "[\"udp:127.0.0.1:%u\",\"tls:127.0.0.1:%u\"],\"TlsKey\":\"%s\",\"TlsCertificate\":\"%s\","
            "\"InvitesPerSecond\":0}}",
            desk->port, desk->port, desk->key_path, desk->certificate_path);
        conf_free(desk->conf);
        desk->conf = conf_of(json);
        struct sip_stack_config config = {.conf = desk->conf, .ctl = desk->mailbox};
        err = sip_stack_start(&desk->stack, &config, &text);
    }
    if (err)
        fail_msg("%s", text.text);
    *state = desk;
    return 0;
}

static int teardown(void **state) {
    struct desk *desk = *state;
    sip_stack_stop(desk->stack);
    sip_stack_join(desk->stack);
    mailbox_close(desk->mailbox);
    uv_run(&desk->loop, UV_RUN_DEFAULT);
    mailbox_free(desk->mailbox);
    uv_loop_close(&desk->loop);
    unlink(desk->key_path);
    unlink(desk->certificate_path);
    rmdir(desk->folder);
    conf_free(desk->conf);
    free(desk);
    return 0;
}

static void place_call(struct desk *desk) {
    struct peer *peer = &desk->peer;
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    peer_expect(peer, "SIP/2.0 180");
    peer_expect(peer, "SIP/2.0 200");
    peer_ack(peer, peer->cseq, "");
    wait_for(desk, &desk->confirmed, desk->confirmed + 1);
}

static void test_tls(void **state) {
    struct desk *desk = *state;
    struct peer *peer = &desk->peer;
    peer_open(peer, turn, desk, PEER_TLS, AF_INET, desk->port);
    peer->contact_params = ";transport=tls";
    place_call(desk);
    char contact[128];
    snprintf(contact, sizeof contact, "<sip:127.0.0.1:%u;transport=tls>", desk->port);
    peer_send(peer, "UPDATE", "", "");
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "Contact"), contact);
    desk_say(desk, desk->handle, SIP_BYE, "done");
    peer_expect(peer, "BYE ");
    peer_answer(peer, "200 OK", "", "");
    wait_for(desk, &desk->over, 1);
    peer_close(peer);
}

// sofia alone would leak all of them.
static void test_many_tls_connections(void **state) {
    struct desk *desk = *state;
    struct peer *peer = &desk->peer;
    for (unsigned i = 0; i < 30; i++) {
        peer_open(peer, turn, desk, i % 3 ? PEER_TLS : PEER_TCP, AF_INET, desk->port);
        if (i % 3 == 0)
            peer_write(peer, "\x16\x03\x01", 3); // the begin of a handshake that never comes
        if (i % 3 == 1) {
            peer_send(peer, "OPTIONS", "", "");
            peer_expect(peer, "SIP/2.0 200");
        }
        peer_close(peer);
    }
}

static void test_calls_while_the_configuration_changes(void **state) {
    struct desk *desk = *state;
    struct peer *peer = &desk->peer;
    peer_open(peer, turn, desk, PEER_UDP, AF_INET, desk->port);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(peer->call_id, sizeof peer->call_id, "call-%u", i);
        *peer->gateway_tag = '\0';
        assert_int_equal(sip_stack_set_conf(desk->stack, desk->conf), 0);
        place_call(desk);
        peer_send(peer, "BYE", "", "");
        peer_expect(peer, "SIP/2.0 200");
        wait_for(desk, &desk->over, i + 1);
    }
    assert_int_equal(desk->invites, 50);
    peer_close(peer);
}

static void test_stop_hangs_up(void **state) {
    struct desk *desk = *state;
    struct peer *peer = &desk->peer;
    peer_open(peer, turn, desk, PEER_UDP, AF_INET, desk->port);
    place_call(desk);
    sip_stack_drain(desk->stack);
    peer_send(peer, "OPTIONS", "", "");
    peer_expect(peer, "SIP/2.0 200");
    sip_stack_stop(desk->stack);
    peer_expect(peer, "BYE ");
    peer_answer(peer, "200 OK", "", "");
    wait_for(desk, &desk->over, 1);
    peer_close(peer);
    desk->peer.fd = -1;
}

int main(void) {
#define CALL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CALL(test_tls),
        CALL(test_many_tls_connections),
        CALL(test_calls_while_the_configuration_changes),
        CALL(test_stop_hangs_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
