// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those first
#include <cmocka.h>

#include "media/rtp_stream.h"

static void init(struct rtp_stream *s, unsigned probation) {
    rtp_stream_init(s, 0xabcd, 8000, probation);
}

// 20 ms packets on time.
static enum rtp_stream_verdict packet(struct rtp_stream *s, uint32_t ext_seq) {
    return rtp_stream_packet(s, (uint16_t)ext_seq, ext_seq * 160, (uint64_t)ext_seq * 20000);
}

static void plain_rtp_must_prove_itself(void **state) {
    (void)state;
    struct rtp_stream s;
    struct rtcp_report_block block;
    init(&s, RTP_MIN_SEQUENTIAL);
    assert_int_equal(packet(&s, 10), RTP_STREAM_PROBATION);
    assert_false(rtp_stream_report(&s, 0, &block));
    assert_int_equal(packet(&s, 40), RTP_STREAM_PROBATION); // not in order: begins again
    assert_int_equal(packet(&s, 99), RTP_STREAM_PROBATION);
    assert_int_equal(packet(&s, 100), RTP_STREAM_OK);
    assert_int_equal(rtp_stream_highest_seq(&s), 100);
    assert_int_equal(rtp_stream_lost(&s), 0);
}

static void authenticated_is_valid_at_once(void **state) {
    (void)state;
    struct rtp_stream s;
    init(&s, 0);
    assert_int_equal(packet(&s, 7), RTP_STREAM_OK);
    assert_int_equal(packet(&s, 9), RTP_STREAM_OK);
    assert_int_equal(rtp_stream_lost(&s), 1);
}

static void wraps_around(void **state) {
    (void)state;
    struct rtp_stream s;
    init(&s, 0);
    for (uint32_t seq = 65530; seq < 65536 * 3 + 5; seq++)
        assert_int_equal(packet(&s, seq), RTP_STREAM_OK);
    assert_int_equal(rtp_stream_highest_seq(&s), 65536 * 3 + 4);
    assert_int_equal(rtp_stream_lost(&s), 0);
}

static void late_over_the_wrap_is_no_new_cycle(void **state) {
    (void)state;
    struct rtp_stream s;
    init(&s, 0);
    packet(&s, 65534);
    packet(&s, 65536);
    assert_int_equal(packet(&s, 65535), RTP_STREAM_OK);
    packet(&s, 65537);
    assert_int_equal(rtp_stream_highest_seq(&s), 65537);
    assert_int_equal(rtp_stream_lost(&s), 0);
    packet(&s, 65537);
    assert_int_equal(rtp_stream_lost(&s), -1);
}

static void a_jump_must_be_confirmed(void **state) {
    (void)state;
    struct rtp_stream s;
    init(&s, 0);
    packet(&s, 1);
    packet(&s, 2);
    assert_int_equal(packet(&s, 30000), RTP_STREAM_BAD);
    assert_int_equal(packet(&s, 3), RTP_STREAM_OK);
    assert_int_equal(rtp_stream_highest_seq(&s), 3);
    assert_int_equal(packet(&s, 40000), RTP_STREAM_BAD);
    assert_int_equal(packet(&s, 40001), RTP_STREAM_RESTART);
    assert_int_equal(rtp_stream_highest_seq(&s), 40001);
    assert_int_equal(rtp_stream_lost(&s), 0);
}

// A.3: 20 of 100 lost is 51/256, and the next report counts anew.
static void fraction_lost_is_since_the_last_report(void **state) {
    (void)state;
    struct rtp_stream s;
    struct rtcp_report_block block;
    init(&s, 0);
    for (uint32_t seq = 0; seq < 101; seq++) {
        if (seq % 5 != 3)
            packet(&s, seq);
    }
    assert_true(rtp_stream_report(&s, 0, &block));
    assert_int_equal(block.ssrc, 0xabcd);
    assert_int_equal(block.lost, 20);
    assert_int_equal(block.fraction_lost, 20 * 256 / 101);
    for (uint32_t seq = 101; seq < 201; seq++)
        packet(&s, seq);
    assert_true(rtp_stream_report(&s, 0, &block));
    assert_int_equal(block.lost, 20);
    assert_int_equal(block.fraction_lost, 0);
    assert_int_equal(block.highest_seq, 200);
    packet(&s, 200);
    assert_true(rtp_stream_report(&s, 0, &block)); // more received than expected
    assert_int_equal(block.fraction_lost, 0);
    assert_int_equal(block.lost, 19);
}

// A.8: D alternating by 10 ms converges to 10 ms, 80 ticks.
static void jitter_converges(void **state) {
    (void)state;
    struct rtp_stream s;
    init(&s, 0);
    for (uint32_t i = 0; i < 50; i++)
        packet(&s, i);
    assert_int_equal(rtp_stream_jitter_ticks(&s), 0);
    for (uint32_t i = 50; i < 400; i++)
        rtp_stream_packet(&s, (uint16_t)i, i * 160, i * 20000u + (i % 2) * 10000u);
    assert_in_range(rtp_stream_jitter_ticks(&s), 78, 81);
    assert_in_range(rtp_stream_jitter_us(&s), 9700, 10100);
    rtp_stream_packet(&s, 400, 0x7fffffff, 400 * 20000); // a timestamp jump is no jitter
    assert_in_range(rtp_stream_jitter_ticks(&s), 70, 81);
}

// RFC 3550 section 6.4.1: DLSR in 1/65536 s.
static void sender_report_gives_lsr_and_dlsr(void **state) {
    (void)state;
    struct rtp_stream s;
    struct rtcp_report_block block;
    init(&s, 0);
    packet(&s, 1);
    assert_true(rtp_stream_report(&s, 1000, &block));
    assert_int_equal(block.lsr, 0);
    assert_int_equal(block.dlsr, 0);
    rtp_stream_sender_report(&s, 0xb44db705c0000000 | 0x1234, 1000000);
    assert_true(rtp_stream_report(&s, 6250000, &block));
    assert_int_equal(block.lsr, 0xb705c000);
    assert_int_equal(block.dlsr, 0x00054000); // 5.25 s, the RFC's own figure
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_rtp_must_prove_itself),
        cmocka_unit_test(authenticated_is_valid_at_once),
        cmocka_unit_test(wraps_around),
        cmocka_unit_test(late_over_the_wrap_is_no_new_cycle),
        cmocka_unit_test(a_jump_must_be_confirmed),
        cmocka_unit_test(fraction_lost_is_since_the_last_report),
        cmocka_unit_test(jitter_converges),
        cmocka_unit_test(sender_report_gives_lsr_and_dlsr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
