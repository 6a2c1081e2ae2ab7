// SPDX-License-Identifier: Apache-2.0
// Two DTLS ends joined by a queue of datagrams in memory, on one loop.
#include "webrtc/dtls.h"

#include "gateway/core/err.h"
#include "webrtc/dtls_mem.h"

#include <malloc.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { QUEUE_MOST = 256, DEADLINE_MS = 20000 };

struct datagram {
    size_t len;
    uint8_t data[1600];
};

struct end {
    struct dtls *dtls;
    struct datagram queue[QUEUE_MOST]; // towards this end
    size_t head, tail;
    struct end *peer;
    size_t sent, lose_from, lose; // of the datagrams this end sends those are lost, up to `lose`
    size_t largest;
    int connected, ended, data_count;
    bool clean, close_on_connected, close_on_data, close_on_send;
    char reason[128];
    struct dtls_srtp_keys keys;
    uint8_t data[1200];
    size_t data_len;
};

struct world {
    uv_loop_t loop;
    uv_timer_t guard;
    bool late;
    struct cert *cert_a, *cert_b;
    struct end a, b;
};

static void end_close(struct end *end) {
    struct dtls *dtls = end->dtls;
    end->dtls = NULL;
    dtls_close(dtls);
}

static void on_send(const uint8_t *datagram, size_t len, void *arg) {
    struct end *end = arg;
    end->largest = len > end->largest ? len : end->largest;
    if (end->close_on_send && end->dtls)
        end_close(end);
    size_t number = end->sent++;
    if (number >= end->lose_from && number < end->lose)
        return;
    struct end *peer = end->peer;
    assert_true(len <= sizeof peer->queue[0].data);
    assert_true(peer->tail - peer->head < QUEUE_MOST);
    struct datagram *slot = &peer->queue[peer->tail++ % QUEUE_MOST];
    memcpy(slot->data, datagram, len);
    slot->len = len;
}

static void on_connected(const struct dtls_srtp_keys *keys, void *arg) {
    struct end *end = arg;
    end->connected++;
    end->keys = *keys;
    if (end->close_on_connected)
        end_close(end);
}

static void on_data(const uint8_t *data, size_t len, void *arg) {
    struct end *end = arg;
    end->data_count++;
    assert_true(len <= sizeof end->data);
    memcpy(end->data, data, len);
    end->data_len = len;
    if (end->close_on_data)
        end_close(end);
}

static void on_end(bool clean, const char *reason, void *arg) {
    struct end *end = arg;
    end->ended++;
    end->clean = clean;
    snprintf(end->reason, sizeof end->reason, "%s", reason);
}

static void on_guard(uv_timer_t *timer) {
    struct world *world = timer->data;
    world->late = true;
}

// Turns the loop until *count reaches `want`.
static bool world_run(struct world *world, const int *count, int want) {
    world->late = false;
    uv_update_time(&world->loop);
    uv_timer_start(&world->guard, on_guard, DEADLINE_MS, 0);
    while (*count < want && !world->late) {
        bool moved = false;
        struct end *ends[] = {&world->a, &world->b};
        for (size_t i = 0; i < 2; i++)
            for (; ends[i]->head != ends[i]->tail; ends[i]->head++, moved = true)
                if (ends[i]->dtls) {
                    struct datagram *datagram = &ends[i]->queue[ends[i]->head % QUEUE_MOST];
                    dtls_receive(ends[i]->dtls, datagram->data, datagram->len);
                }
        uv_run(&world->loop, moved ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    }
    uv_timer_stop(&world->guard);
    return *count >= want;
}

static struct dtls_fingerprint fingerprint_of(struct cert *cert, const EVP_MD *hash, const char *name) {
    struct dtls_fingerprint print = {0};
    snprintf(print.hash, sizeof print.hash, "%s", name);
    unsigned len = 0;
    X509_digest(SSL_CTX_get0_certificate(cert_ssl_ctx(cert)), hash, print.digest, &len);
    print.len = len;
    return print;
}

static void end_open(struct world *world, struct end *end, struct cert *cert, enum dtls_role role,
                     const struct dtls_fingerprint *peer) {
    const struct dtls_events events = {on_send, on_connected, on_data, on_end, end};
    assert_int_equal(dtls_new(&end->dtls, &world->loop, cert, role, peer, &events), 0);
}

static struct world *world_new(void) {
    struct world *world = calloc(1, sizeof *world);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    uv_timer_init(&world->loop, &world->guard);
    world->guard.data = world;
    assert_int_equal(cert_new(&world->cert_a), 0);
    assert_int_equal(cert_new(&world->cert_b), 0);
    world->a.peer = &world->b;
    world->b.peer = &world->a;
    return world;
}

// a is the client, b the server; each knows the other's fingerprint.
static void world_join(struct world *world) {
    struct dtls_fingerprint of_a = fingerprint_of(world->cert_a, EVP_sha256(), "sha-256");
    struct dtls_fingerprint of_b = fingerprint_of(world->cert_b, EVP_sha256(), "SHA-256");
    end_open(world, &world->a, world->cert_a, DTLS_CLIENT, &of_b);
    end_open(world, &world->b, world->cert_b, DTLS_SERVER, &of_a);
}

static void world_start(struct world *world) {
    assert_int_equal(dtls_start(world->b.dtls), 0);
    assert_int_equal(dtls_start(world->a.dtls), 0);
}

static void world_free(struct world *world) {
    if (world->a.dtls)
        end_close(&world->a);
    if (world->b.dtls)
        end_close(&world->b);
    uv_close((uv_handle_t *)&world->guard, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    cert_free(world->cert_a);
    cert_free(world->cert_b);
    free(world);
}

static void assert_connected(struct world *world) {
    assert_true(world_run(world, &world->a.connected, 1));
    assert_true(world_run(world, &world->b.connected, 1));
    assert_int_equal(world->a.keys.len, world->b.keys.len);
    assert_int_equal(world->a.keys.profile, world->b.keys.profile);
    assert_memory_equal(world->a.keys.send_key, world->b.keys.receive_key, world->a.keys.len);
    assert_memory_equal(world->a.keys.receive_key, world->b.keys.send_key, world->a.keys.len);
    assert_memory_not_equal(world->a.keys.receive_key, world->a.keys.send_key, world->a.keys.len);
    assert_int_equal(world->a.ended + world->b.ended, 0);
}

static void both_ends_agree_on_gcm_keys(void **state) {
    (void)state;
    struct world *world = world_new();
    world_join(world);
    world_start(world);
    assert_connected(world);
    assert_int_equal(world->a.keys.profile, 0x0007);
    assert_int_equal(world->a.keys.len, 28);
    assert_true(world->a.largest <= 1200 && world->b.largest <= 1200);
    world_free(world);
}

static void cm_is_used_with_a_peer_without_gcm(void **state) {
    (void)state;
    struct world *world = world_new();
    SSL_CTX_set_tlsext_use_srtp(cert_ssl_ctx(world->cert_a), "SRTP_AES128_CM_SHA1_80");
    world_join(world);
    world_start(world);
    assert_connected(world);
    assert_int_equal(world->a.keys.profile, 0x0001);
    assert_int_equal(world->a.keys.len, 30);
    world_free(world);
}

static void a_peer_without_srtp_is_refused(void **state) {
    (void)state;
    struct world *world = world_new();
    SSL_CTX *ctx = SSL_CTX_new(DTLS_method());
    SSL_CTX_use_certificate(ctx, SSL_CTX_get0_certificate(cert_ssl_ctx(world->cert_a)));
    SSL_CTX_use_PrivateKey(ctx, SSL_CTX_get0_privatekey(cert_ssl_ctx(world->cert_a)));
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out);
    SSL_set_options(ssl, SSL_OP_NO_QUERY_MTU);
    DTLS_set_link_mtu(ssl, 1200);
    SSL_set_connect_state(ssl);
    struct dtls_fingerprint of_a = fingerprint_of(world->cert_a, EVP_sha256(), "sha-256");
    end_open(world, &world->b, world->cert_b, DTLS_SERVER, &of_a);
    assert_int_equal(dtls_start(world->b.dtls), 0);
    for (int round = 0; round < 10 && !world->b.ended; round++) {
        SSL_do_handshake(ssl);
        uint8_t flight[8192];
        int len = BIO_read(out, flight, sizeof flight);
        // One record a datagram; a memory BIO runs them together.
        for (int at = 0; at + 13 <= len;) {
            int record = 13 + (flight[at + 11] << 8 | flight[at + 12]);
            dtls_receive(world->b.dtls, flight + at, (size_t)record);
            at += record;
        }
        for (; world->a.head != world->a.tail; world->a.head++)
            BIO_write(in, world->a.queue[world->a.head % QUEUE_MOST].data,
                      (int)world->a.queue[world->a.head % QUEUE_MOST].len);
    }
    assert_int_equal(world->b.ended, 1);
    assert_string_equal(world->b.reason, "no common SRTP profile");
    assert_int_equal(world->b.connected, 0);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    world_free(world);
}

static void longer_hashes_are_understood(void **state) {
    (void)state;
    struct world *world = world_new();
    struct dtls_fingerprint of_a = fingerprint_of(world->cert_a, EVP_sha384(), "sha-384");
    struct dtls_fingerprint of_b = fingerprint_of(world->cert_b, EVP_sha512(), "sha-512");
    end_open(world, &world->a, world->cert_a, DTLS_CLIENT, &of_b);
    end_open(world, &world->b, world->cert_b, DTLS_SERVER, &of_a);
    world_start(world);
    assert_connected(world);
    world_free(world);
}

static void weak_or_malformed_fingerprints_are_refused(void **state) {
    (void)state;
    struct world *world = world_new();
    const struct dtls_events events = {on_send, on_connected, on_data, on_end, &world->a};
    struct dtls_fingerprint print = fingerprint_of(world->cert_b, EVP_sha1(), "sha-1");
    struct dtls *dtls = NULL;
    assert_int_equal(dtls_new(&dtls, &world->loop, world->cert_a, DTLS_CLIENT, &print, &events), -EINVAL);
    print = fingerprint_of(world->cert_b, EVP_sha256(), "sha-256");
    print.len = 31;
    assert_int_equal(dtls_new(&dtls, &world->loop, world->cert_a, DTLS_CLIENT, &print, &events), -EINVAL);
    assert_null(dtls);
    world_free(world);
}

static void server_refuses_a_wrong_fingerprint(void **state) {
    (void)state;
    struct world *world = world_new();
    struct dtls_fingerprint of_b = fingerprint_of(world->cert_b, EVP_sha256(), "sha-256");
    end_open(world, &world->a, world->cert_a, DTLS_CLIENT, &of_b);
    end_open(world, &world->b, world->cert_b, DTLS_SERVER, &of_b);
    world_start(world);
    assert_true(world_run(world, &world->b.ended, 1));
    assert_string_equal(world->b.reason, "fingerprint mismatch");
    assert_false(world->b.clean);
    assert_true(world_run(world, &world->a.ended, 1)); // the alert reached the client
    assert_false(world->a.clean);
    assert_int_equal(world->a.connected + world->b.connected, 0);
    world_free(world);
}

static void client_refuses_a_wrong_fingerprint(void **state) {
    (void)state;
    struct world *world = world_new();
    struct dtls_fingerprint of_a = fingerprint_of(world->cert_a, EVP_sha256(), "sha-256");
    struct dtls_fingerprint wrong = fingerprint_of(world->cert_b, EVP_sha256(), "sha-256");
    wrong.digest[31] ^= 1;
    end_open(world, &world->a, world->cert_a, DTLS_CLIENT, &wrong);
    end_open(world, &world->b, world->cert_b, DTLS_SERVER, &of_a);
    world_start(world);
    assert_true(world_run(world, &world->a.ended, 1));
    assert_string_equal(world->a.reason, "fingerprint mismatch");
    assert_true(world_run(world, &world->b.ended, 1));
    assert_int_equal(world->a.connected + world->b.connected, 0);
    world_free(world);
}

static void lost_flights_are_sent_again(void **state) {
    (void)state;
    struct world *world = world_new();
    world_join(world);
    world->a.lose = 1;
    world->b.lose = 3;
    world_start(world);
    assert_connected(world);
    assert_true(world->a.sent > 1);
    world_free(world);
}

// Whichever of the server's datagrams are lost: at the last ones the server is connected already, and answers the client's
// retransmission by its own.
static void any_lost_flight_is_sent_again(void **state) {
    (void)state;
    for (size_t from = 0; from < 8; from++) {
        struct world *world = world_new();
        world_join(world);
        world->b.lose_from = from;
        world->b.lose = from + 1;
        world_start(world);
        assert_connected(world);
        world_free(world);
    }
}

// A connection that has nothing to say keeps no record buffers, 18 kB at each end, in the heap. (Checked by the plain build only:
// sanitizers count their heap elsewhere.)
static void an_idle_connection_keeps_no_record_buffers(void **state) {
    (void)state;
    struct world *world = world_new();
    size_t before = mallinfo2().uordblks;
    world_join(world);
    world_start(world);
    assert_connected(world);
    uint8_t packet[100] = {1};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dtls_send(world->a.dtls, packet, sizeof packet), 0);
        assert_int_equal(dtls_send(world->b.dtls, packet, sizeof packet), 0);
    }
    assert_true(world_run(world, &world->a.data_count, 3));
    assert_true(world_run(world, &world->b.data_count, 3));
    assert_in_range(mallinfo2().uordblks - before, 0, 2 * 22000);
    world_free(world);
}

static void a_client_hello_before_the_start_is_kept(void **state) {
    (void)state;
    struct world *world = world_new();
    world_join(world);
    assert_int_equal(dtls_start(world->a.dtls), 0);
    for (; world->b.head != world->b.tail; world->b.head++)
        dtls_receive(world->b.dtls, world->b.queue[world->b.head].data, world->b.queue[world->b.head].len);
    assert_int_equal(world->b.sent, 0);
    size_t sent = world->a.sent;
    assert_int_equal(dtls_start(world->b.dtls), 0);
    assert_true(world->b.sent > 0); // answered without a retransmission
    assert_int_equal(world->a.sent, sent);
    assert_connected(world);
    world_free(world);
}

static void data_goes_both_ways_and_only_when_connected(void **state) {
    (void)state;
    struct world *world = world_new();
    world_join(world);
    uint8_t packet[1200];
    memset(packet, 0xa5, sizeof packet);
    assert_int_equal(dtls_send(world->a.dtls, packet, 10), -EAGAIN);
    world_start(world);
    assert_connected(world);
    assert_int_equal(dtls_send(world->a.dtls, packet, sizeof packet), 0);
    assert_true(world_run(world, &world->b.data_count, 1));
    assert_int_equal(world->b.data_len, sizeof packet);
    assert_memory_equal(world->b.data, packet, sizeof packet);
    assert_int_equal(dtls_send(world->b.dtls, packet, 1), 0);
    assert_true(world_run(world, &world->a.data_count, 1));
    assert_int_equal(world->a.data_len, 1);
    uint8_t big[1201] = {0};
    assert_int_equal(dtls_send(world->a.dtls, big, sizeof big), -EMSGSIZE);
    world_free(world);
}

static void close_says_goodbye(void **state) {
    (void)state;
    struct world *world = world_new();
    world_join(world);
    world_start(world);
    assert_connected(world);
    end_close(&world->a);
    assert_true(world_run(world, &world->b.ended, 1));
    assert_true(world->b.clean);
    assert_int_equal(world->a.ended, 0);
    assert_int_equal(dtls_send(world->b.dtls, (const uint8_t *)"x", 1), -EPIPE);
    world_free(world);
}

// Turns until b has closed itself.
static void run_until_b_is_gone(struct world *world) {
    for (int turns = 0; world->b.dtls && turns < 100; turns++) {
        for (; world->a.head != world->a.tail; world->a.head++)
            dtls_receive(world->a.dtls, world->a.queue[world->a.head % QUEUE_MOST].data,
                         world->a.queue[world->a.head % QUEUE_MOST].len);
        for (; world->b.dtls && world->b.head != world->b.tail; world->b.head++)
            dtls_receive(world->b.dtls, world->b.queue[world->b.head % QUEUE_MOST].data,
                         world->b.queue[world->b.head % QUEUE_MOST].len);
        uv_run(&world->loop, UV_RUN_NOWAIT);
    }
    assert_null(world->b.dtls);
}

static void close_is_allowed_in_every_callback(void **state) {
    (void)state;
    for (int which = 0; which < 3; which++) {
        struct world *world = world_new();
        world_join(world);
        world->b.close_on_send = which == 0;
        world->b.close_on_connected = which == 1;
        world->b.close_on_data = which == 2;
        world_start(world);
        if (which == 2) {
            assert_connected(world);
            assert_int_equal(dtls_send(world->a.dtls, (const uint8_t *)"x", 1), 0);
        }
        run_until_b_is_gone(world);
        assert_int_equal(world->b.ended, 0);
        world_free(world);
    }
}

static void garbage_changes_nothing(void **state) {
    (void)state;
    struct world *world = world_new();
    world_join(world);
    world_start(world);
    assert_connected(world);
    uint8_t junk[1500];
    uint32_t seed = 1;
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof junk; i++)
            junk[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
        if (round % 2) // looks like a record of this connection
            memcpy(junk, "\x17\xfe\xfd\x00\x01\x00\x00\x00\x00\x00\x09", 11);
        dtls_receive(world->b.dtls, junk, (size_t)(seed % sizeof junk));
    }
    assert_int_equal(dtls_send(world->a.dtls, (const uint8_t *)"still here", 10), 0);
    assert_true(world_run(world, &world->b.data_count, 1));
    assert_int_equal(world->b.ended, 0);
    assert_memory_equal(world->b.data, "still here", 10);
    world_free(world);
}

static void silence_ends_the_handshake(void **state) {
    (void)state;
    struct world *world = world_new();
    world_join(world);
    world->a.lose = SIZE_MAX;
    world_start(world);
    assert_true(world_run(world, &world->a.ended, 1));
    assert_true(world_run(world, &world->b.ended, 1));
    assert_false(world->a.clean);
    assert_string_equal(world->b.reason, "handshake timed out");
    assert_true(world->a.sent >= 5 && world->a.sent <= 60);
    world_free(world);
}

int main(void) {
    if (dtls_mem_install() != 0) // as in main: what a handshake leaves is discarded in all that follows
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_agree_on_gcm_keys),
        cmocka_unit_test(cm_is_used_with_a_peer_without_gcm),
        cmocka_unit_test(a_peer_without_srtp_is_refused),
        cmocka_unit_test(longer_hashes_are_understood),
        cmocka_unit_test(weak_or_malformed_fingerprints_are_refused),
        cmocka_unit_test(server_refuses_a_wrong_fingerprint),
        cmocka_unit_test(client_refuses_a_wrong_fingerprint),
        cmocka_unit_test(lost_flights_are_sent_again),
        cmocka_unit_test(any_lost_flight_is_sent_again),
        cmocka_unit_test(an_idle_connection_keeps_no_record_buffers),
        cmocka_unit_test(a_client_hello_before_the_start_is_kept),
        cmocka_unit_test(data_goes_both_ways_and_only_when_connected),
        cmocka_unit_test(close_says_goodbye),
        cmocka_unit_test(close_is_allowed_in_every_callback),
        cmocka_unit_test(garbage_changes_nothing),
        cmocka_unit_test(silence_ends_the_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
