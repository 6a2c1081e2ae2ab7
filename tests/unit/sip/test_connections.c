// SPDX-License-Identifier: Apache-2.0
// Connections to a proxy that holds them within bounds: sofia's accept is ours.
#include "proxy_fixture.h"
#include "sip/connections.h"

#include "gateway/core/metrics.h"

#include <sys/resource.h>

enum { LIMIT = 3, SILENCE_MS = 1500 };

struct house {
    struct fixture f;
    uint16_t port;
};

static void set_up(struct house *house, const char *kind, const char *keys, unsigned silence_ms) {
    char listen[64];
    house->port = fixture_free_port(SOCK_STREAM);
    snprintf(listen, sizeof listen, ",\"%s:127.0.0.1:%u\"", kind, house->port);
    fixture_start(&house->f, listen, keys, (struct proxy_limits){0});
    assert_int_equal(connections_start(house->f.root, house->f.conf, silence_ms), 0);
    assert_int_equal(house->f.conf->sip.max_connections_per_source, LIMIT);
}

static void tear_down(struct house *house) {
    connections_stop();
    fixture_stop(&house->f);
}

#define THREE_EACH ",\"MaxConnectionsPerSource\":3"

static int new_socket(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

static void dial(const struct house *house, int fd) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(house->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0); // the kernel's queue takes it
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static int call(const struct house *house) {
    int fd = new_socket();
    dial(house, fd);
    return fd;
}

static void ask(int fd) {
    static const char options[] =
        "OPTIONS sip:proxy SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKo;rport\r\nMax-Forwards: "
        "70\r\nFrom: <sip:a@b>;tag=f\r\nTo: <sip:proxy>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n";
    assert_int_equal(send(fd, options, sizeof options - 1, MSG_NOSIGNAL), sizeof options - 1);
}

// What comes next on the connection: 'a'n answer, its 'e'nd, or '-' for nothing in time.
static char outcome(struct house *house, int fd, unsigned wait_ms) {
    uint64_t end_us = ticker_now_us() + wait_ms * 1000ull;
    char text[2048];
    do {
        fixture_step(&house->f);
        ssize_t n = recv(fd, text, sizeof text - 1, 0);
        if (n > 0) {
            text[n] = '\0';
            assert_memory_equal(text, "SIP/2.0 200 ", 12);
            return 'a';
        }
        if (n == 0 || errno != EAGAIN)
            return 'e';
    } while (ticker_now_us() < end_us);
    return '-';
}

static void assert_answered(struct house *house, int fd) {
    ask(fd);
    assert_int_equal(outcome(house, fd, 10000), 'a');
}

static void test_one_source_holds_so_many(void **state) {
    (void)state;
    static struct house house;
    int fds[LIMIT];
    set_up(&house, "tcp", THREE_EACH, 60000);
    int64_t before = metric_read(METRIC_SIP_CONNECTIONS_SOURCE);
    for (size_t i = 0; i < LIMIT; i++) {
        fds[i] = call(&house);
        assert_answered(&house, fds[i]);
    }
    for (size_t i = 0; i < 10; i++) {
        int more = call(&house);
        assert_int_equal(outcome(&house, more, 10000), 'e');
        close(more);
    }
    assert_int_equal(metric_read(METRIC_SIP_CONNECTIONS_SOURCE), before + 10);
    assert_answered(&house, fds[1]);
    close(fds[1]);
    for (int i = 0; i < 20; i++)
        fixture_step(&house.f);
    fds[1] = call(&house); // there is a place again
    assert_answered(&house, fds[1]);
    for (size_t i = 0; i < LIMIT; i++)
        close(fds[i]);
    tear_down(&house);
}

static void test_all_hold_so_many(void **state) {
    (void)state;
    static struct house house;
    set_up(&house, "tcp", THREE_EACH ",\"MaxConnections\":1", 60000);
    int64_t before = metric_read(METRIC_SIP_CONNECTIONS_TOTAL);
    int first = call(&house), second = call(&house);
    assert_answered(&house, first);
    assert_int_equal(outcome(&house, second, 10000), 'e');
    assert_int_equal(metric_read(METRIC_SIP_CONNECTIONS_TOTAL), before + 1);
    close(first);
    close(second);
    tear_down(&house);
}

// One says nothing, one never comes to an end, one has said something.
static void test_who_says_nothing_whole_is_cut_off(void **state) {
    (void)state;
    static struct house house;
    set_up(&house, "tcp", THREE_EACH, SILENCE_MS);
    int64_t before = metric_read(METRIC_SIP_CONNECTIONS_SILENT);
    int good = call(&house), silent = call(&house), slow = call(&house);
    assert_answered(&house, good);
    char end = '-';
    for (int i = 0; i < 200 && end == '-'; i++) {
        send(slow, "I", 1, MSG_NOSIGNAL);
        end = outcome(&house, slow, 50);
    }
    assert_int_equal(end, 'e');
    assert_int_equal(outcome(&house, silent, 10000), 'e');
    assert_int_equal(metric_read(METRIC_SIP_CONNECTIONS_SILENT), before + 2);
    assert_answered(&house, good);
    close(good);
    close(silent);
    close(slow);
    tear_down(&house);
}

// It waits until there is one again.
static void test_no_descriptor_is_free(void **state) {
    (void)state;
    static struct house house;
    set_up(&house, "tcp", THREE_EACH, 60000);
    struct rlimit usual, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    int fd = new_socket();
    none = usual;
    none.rlim_cur = (rlim_t)fd + 1;
    int held[64], count = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    while (count < 64 && (held[count] = dup(fd)) >= 0)
        count++;
    dial(&house, fd);
    for (int i = 0; i < 20; i++)
        fixture_step(&house.f);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    while (count > 0)
        close(held[--count]);
    assert_answered(&house, fd);
    close(fd);
    tear_down(&house);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_source_holds_so_many),
        cmocka_unit_test(test_all_hold_so_many),
        cmocka_unit_test(test_who_says_nothing_whole_is_cut_off),
        cmocka_unit_test(test_no_descriptor_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
