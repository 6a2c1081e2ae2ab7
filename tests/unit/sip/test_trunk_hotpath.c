// SPDX-License-Identifier: Apache-2.0
// No allocation per packet on a trunk's way: encode, send, receive, latch, decode, digits and reports, while
// every malloc of this thread is counted. What libsrtp2 does inside is not ours to count, so no SRTP here.
#include "trunk_fixture.h"

#include "../count_allocations.h"

enum { WARM_UP = 60, COUNTED = 200 };

static void counted(enum codec_id codec, bool payloads) {
    struct call call;
    struct trunk_config config = plain_config;
    config.codecs = &codec;
    config.codec_count = 1;
    call_new(&call, &config, &config);
    call_up(&call);
    steps(&call, WARM_UP);
    assert_int_equal(call.a.leg.ops->send_dtmf(call.a.leg.impl, "12,3#"), 0);
    allocations = 0;
    counting = true;
    for (int i = 0; i < COUNTED; i++) {
        uint8_t payload[CODEC_MAX_PAYLOAD];
        call.a.mute = i % 50 > 40;
        step(&call);
        if (payloads)
            call.b.leg.ops->read_payload(call.b.leg.impl, payload, sizeof payload, STEP_MS, world_us);
        stats_of(&call.a);
    }
    counting = false;
    assert_int_equal(allocations, 0);
    assert_string_equal(call.b.digits, "123#");
    assert_true(stats_of(&call.b).rx_packets > COUNTED / 2);
    call_free(&call);
}

static void test_g711(void **state) {
    (void)state;
    counted(CODEC_PCMU, false);
    counted(CODEC_PCMA, true);
}

static void test_wideband(void **state) {
    (void)state;
    counted(CODEC_G722, false);
    counted(CODEC_OPUS, false);
}

// Strangers' packets cost none either.
static void test_a_flood(void **state) {
    (void)state;
    struct call call;
    struct side c = {.up = false};
    call_new(&call, &plain_config, &plain_config);
    call_up(&call);
    steps(&call, WARM_UP);
    side_new(&c, &call.env, &plain_config);
    char *offer = NULL, *answer = NULL;
    struct err_text err;
    assert_int_equal(trunk_make_offer(call.a.trunk, &offer, &err), 0); // says where `a` is
    assert_int_equal(trunk_offer(c.trunk, offer, strlen(offer), &answer, &err), 0);
    side_start(&call, &c, 2000);
    allocations = 0;
    counting = true;
    for (int i = 0; i < COUNTED; i++) {
        side_write(&c); // to `a`, where nobody expects it
        step(&call);
    }
    counting = false;
    assert_int_equal(allocations, 0);
    assert_true(heard_tone(&call.a, 1000) > 0.98);
    free(offer);
    free(answer);
    side_close(&call, &c);
    call_free(&call);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_g711),
        cmocka_unit_test(test_wideband),
        cmocka_unit_test(test_a_flood),
    };
    count_set_up();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
