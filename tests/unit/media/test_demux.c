// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those first
#include <cmocka.h>

#include "media/demux.h"

static enum demux_kind classify(uint8_t first, uint8_t second, size_t len) {
    uint8_t bytes[64] = {first, second};
    return demux_classify(span_of(bytes, len));
}

// RFC 7983 section 7, every first byte.
static enum demux_kind by_table(unsigned first) {
    if (first <= 3)
        return DEMUX_STUN;
    if (first >= 20 && first <= 63)
        return DEMUX_DTLS;
    return first >= 128 && first <= 191 ? DEMUX_RTP : DEMUX_UNKNOWN;
}

static void sorts_every_first_byte(void **state) {
    (void)state;
    for (unsigned first = 0; first < 256; first++)
        assert_int_equal(classify((uint8_t)first, 0, 64), by_table(first));
}

// RFC 5761 section 4: packet types 192 to 223.
static void sorts_every_second_byte(void **state) {
    (void)state;
    for (unsigned second = 0; second < 256; second++) {
        unsigned type = second & 0x7f;
        enum demux_kind want = DEMUX_RTP;
        if (type >= 64 && type <= 95)
            want = second >= 192 ? DEMUX_RTCP : DEMUX_UNKNOWN;
        assert_int_equal(classify(0x80, (uint8_t)second, 64), want);
    }
    assert_int_equal(classify(0x81, 200, 64), DEMUX_RTCP);
    assert_int_equal(classify(0x80, 0x80 | 111, 64), DEMUX_RTP);
}

static void too_short_is_unknown(void **state) {
    (void)state;
    assert_int_equal(classify(0, 0, 0), DEMUX_UNKNOWN);
    assert_int_equal(classify(0x80, 0, 1), DEMUX_UNKNOWN);
    assert_int_equal(classify(0, 1, 19), DEMUX_UNKNOWN);
    assert_int_equal(classify(0, 1, 20), DEMUX_STUN);
    assert_int_equal(classify(22, 254, 12), DEMUX_UNKNOWN);
    assert_int_equal(classify(22, 254, 13), DEMUX_DTLS);
    assert_int_equal(classify(0x80, 0, 11), DEMUX_UNKNOWN);
    assert_int_equal(classify(0x80, 0, 12), DEMUX_RTP);
    assert_int_equal(classify(0x80, 203, 7), DEMUX_UNKNOWN);
    assert_int_equal(classify(0x80, 203, 8), DEMUX_RTCP);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_every_first_byte),
        cmocka_unit_test(sorts_every_second_byte),
        cmocka_unit_test(too_short_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
