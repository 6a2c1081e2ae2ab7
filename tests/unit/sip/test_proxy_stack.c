// SPDX-License-Identifier: Apache-2.0
// The proxy on its own thread, as the gateway runs it: ctl is a libuv loop here.
#include "sip/stack.h"

#include "proxy_fixture.h"

#include <poll.h>
#include <stdatomic.h>
#include <uv.h>

struct node {
    uv_loop_t loop;
    struct mailbox *ctl;
    struct sip_stack *stack;
    struct conf *conf;
    uint16_t port, udp_port;
    int udp;
    bool hold;
    uint64_t last;
    unsigned asked, gone;
    char message[FIXTURE_MESSAGE];
};

static void free_verdict(void *verdict) {
    free(verdict);
}

static void on_mail(struct mail *mail, void *arg) {
    struct node *node = arg;
    node->gone += mail->type == SIP_ROUTE_GONE;
    if (mail->type != SIP_ROUTE)
        return;
    node->asked++;
    node->last = mail->to;
    if (node->hold)
        return;
    struct sip_verdict *verdict = malloc(sizeof *verdict);
    assert_non_null(verdict);
    *verdict = fixture_verdict(302);
    assert_int_equal(sip_stack_post(node->stack, SIP_ROUTED, mail->to, verdict, free_verdict), 0);
}

static struct conf *conf_of(uint16_t port, const char *number) {
    char json[1024];
    snprintf(
        json, sizeof json,
        "{\"Agent\":{\"Builtin\":\"echo\"},\"Gateway\":{\"Roles\":[\"proxy\"]},\"Sip\":{\"ProxyListen\":["
        "\"udp:127.0.0.1:%u\"],\"InvitesPerSecond\":0},\"Businesses\":{\"1\":{\"Numbers\":{\"a\":{\"Number\":"
        "\"%s\",\"RouteId\":"
        "\"r\",\"RegionId\":\"EU\"}}}},\"Regions\":{\"EU\":{}}}",
        port, number);
    return fixture_conf(json);
}

static void start(struct node *node) {
    struct err_text err = {""};
    memset(node, 0, sizeof *node);
    node->port = fixture_free_port(SOCK_DGRAM);
    node->conf = conf_of(node->port, "+9681");
    assert_int_equal(uv_loop_init(&node->loop), 0);
    assert_int_equal(mailbox_new(&node->ctl, &node->loop, 1024, on_mail, node), 0);
    struct sip_stack_config config = {.conf = node->conf, .ctl = node->ctl};
    assert_int_equal(sip_stack_start(&node->stack, &config, &err), 0);
    struct fixture as = {.port = node->port};
    node->udp = fixture_udp(&as, "127.0.0.1", &node->udp_port);
}

static void stop(struct node *node) {
    sip_stack_stop(node->stack);
    sip_stack_join(node->stack);
    mailbox_close(node->ctl);
    uv_run(&node->loop, UV_RUN_DEFAULT);
    mailbox_free(node->ctl);
    assert_int_equal(uv_loop_close(&node->loop), 0);
    conf_free(node->conf);
    close(node->udp);
}

static void call(struct node *node, const char *method, const char *number, const char *call_id) {
    char text[1024];
    int n = snprintf(text, sizeof text,
                     "%s sip:%s@proxy SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK%s\r\nFrom: "
                     "<sip:a@b>;tag=f\r\nTo: <sip:b@c>\r\nCall-ID: %s\r\nCSeq: 1 %s\r\nContent-Length: "
                     "0\r\n\r\n",
                     method, number, node->udp_port, call_id, call_id, method);
    assert_int_equal(send(node->udp, text, (size_t)n, 0), n);
}

// Waits a moment for either side.
static void turn(struct node *node) {
    struct pollfd fd = {.fd = node->udp, .events = POLLIN};
    uv_run(&node->loop, UV_RUN_NOWAIT);
    poll(&fd, 1, 2);
}

static void expect(struct node *node, const char *start_line) {
    uint64_t end_us = ticker_now_us() + FIXTURE_WAIT_US;
    node->message[0] = '\0';
    while (ticker_now_us() < end_us) {
        turn(node);
        ssize_t n = recv(node->udp, node->message, sizeof node->message - 1, 0);
        if (n > 0 && memcmp(node->message, "SIP/2.0 100 ", 12) != 0) {
            node->message[n] = '\0';
            break;
        }
    }
    if (strncmp(node->message, start_line, strlen(start_line)) != 0)
        fail_msg("wanted %s, this came: %s", start_line, node->message);
}

static void a_call_goes_to_ctl_and_back(void **state) {
    (void)state;
    static struct node node;
    start(&node);
    call(&node, "INVITE", "+9681", "one");
    expect(&node, "SIP/2.0 302 ");
    call(&node, "INVITE", "+9682", "two");
    expect(&node, "SIP/2.0 404 ");
    assert_int_equal(node.asked, 1);
    stop(&node);
}

// Until the SIP thread has no hold of it any more.
static void expect_let_go(struct node *node, const struct conf *conf) {
    uint64_t end_us = ticker_now_us() + FIXTURE_WAIT_US;
    while (atomic_load(&conf->holds) && ticker_now_us() < end_us)
        turn(node);
    assert_int_equal(atomic_load(&conf->holds), 0);
}

static void a_reload_changes_the_numbers(void **state) {
    (void)state;
    static struct node node;
    start(&node);
    struct conf *next = conf_of(node.port, "+9682");
    for (unsigned i = 0; i < 50; i++) { // each frees the one before
        sip_stack_set_conf(node.stack, i % 2 ? next : node.conf);
        expect_let_go(&node, i % 2 ? node.conf : next);
        char call_id[16];
        snprintf(call_id, sizeof call_id, "call-%u", i);
        call(&node, "INVITE", i % 2 ? "+9682" : "+9681", call_id);
        expect(&node, "SIP/2.0 302 ");
        call(&node, "ACK", "+9681", call_id);
    }
    call(&node, "INVITE", "+9681", "gone"); // the last of them was `next`
    expect(&node, "SIP/2.0 404 ");
    conf_free(next); // the stack keeps it
    call(&node, "INVITE", "+9682", "kept");
    expect(&node, "SIP/2.0 302 ");
    stop(&node);
}

static void draining_and_stopping_while_calls_wait(void **state) {
    (void)state;
    static struct node node;
    start(&node);
    node.hold = true;
    call(&node, "INVITE", "+9681", "waits");
    uint64_t end_us = ticker_now_us() + FIXTURE_WAIT_US;
    while (!node.asked && ticker_now_us() < end_us)
        turn(&node);
    sip_stack_drain(node.stack);
    call(&node, "OPTIONS", "+9681", "o");
    expect(&node, "SIP/2.0 503 ");
    call(&node, "INVITE", "+9681", "late");
    expect(&node, "SIP/2.0 503 ");
    sip_stack_stop(node.stack);
    expect(&node, "SIP/2.0 503 "); // the one that waited
    assert_non_null(strstr(node.message, "Call-ID: waits\r\n"));
    end_us = ticker_now_us() + FIXTURE_WAIT_US;
    while (!node.gone && ticker_now_us() < end_us)
        turn(&node);
    assert_int_equal(node.gone, 1);
    stop(&node);
}

static void an_address_that_cannot_be_had_stops_the_start(void **state) {
    (void)state;
    static struct node node;
    struct err_text err = {""};
    struct sip_stack *second = NULL;
    start(&node);
    struct sip_stack_config config = {.conf = node.conf, .ctl = node.ctl};
    assert_int_equal(sip_stack_start(&second, &config, &err), -EADDRINUSE);
    assert_null(second);
    assert_non_null(strstr(err.text, "Sip.ProxyListen: cannot listen on udp:127.0.0.1:"));
    call(&node, "OPTIONS", "+9681", "o"); // the first one goes on
    expect(&node, "SIP/2.0 200 ");
    stop(&node);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_goes_to_ctl_and_back),
        cmocka_unit_test(a_reload_changes_the_numbers),
        cmocka_unit_test(draining_and_stopping_while_calls_wait),
        cmocka_unit_test(an_address_that_cannot_be_had_stops_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
