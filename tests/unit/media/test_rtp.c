// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those first
#include <cmocka.h>

#include "media/rtp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// One CSRC, a one-word extension, 3 bytes of payload, 5 of padding.
static const uint8_t full[] = {
    0xb1, 0xef, 0x12, 0x34, 0x00, 0x00, 0x01, 0x00, 0xde, 0xad, 0xbe, 0xef, // fixed header
    0x01, 0x02, 0x03, 0x04,                                                 // CSRC
    0xbe, 0xde, 0x00, 0x01, 0x10, 0xaa, 0x00, 0x00,                         // extension
    0x0a, 0x0b, 0x0c,                                                       // payload
    0x00, 0x00, 0x00, 0x00, 0x05,                                           // padding
};

static void reads_every_part(void **state) {
    (void)state;
    struct rtp_packet packet;
    assert_int_equal(rtp_parse(span_of(full, sizeof full), &packet), 0);
    assert_true(packet.marker);
    assert_int_equal(packet.payload_type, 111);
    assert_int_equal(packet.seq, 0x1234);
    assert_int_equal(packet.timestamp, 0x100);
    assert_int_equal(packet.ssrc, 0xdeadbeef);
    assert_int_equal(packet.csrc_count, 1);
    assert_int_equal(packet.ext_profile, 0xbede);
    assert_int_equal(packet.ext.len, 4);
    assert_int_equal(packet.ext.ptr[1], 0xaa);
    assert_int_equal(packet.payload_len, 3);
    assert_memory_equal(packet.payload, "\x0a\x0b\x0c", 3);
}

// Cut anywhere, the padding count is some other byte or a part is missing; nothing may be read beyond the
// cut, which the sanitizer sees because each copy is exactly as large as the cut.
static void survives_truncation_at_every_byte(void **state) {
    (void)state;
    for (size_t len = 0; len < sizeof full; len++) {
        uint8_t *copy = malloc(len ? len : 1);
        assert_non_null(copy);
        memcpy(copy, full, len);
        struct rtp_packet packet = {.payload_len = 99};
        int err = rtp_parse(span_of(copy, len), &packet);
        if (err)
            assert_int_equal(packet.payload_len, 99);
        else
            assert_true(packet.payload >= copy && packet.payload + packet.payload_len <= copy + len);
        if (len < 24)
            assert_int_equal(err, -EBADMSG);
        free(copy);
    }
}

static void refuses(const uint8_t *bytes, size_t len) {
    struct rtp_packet packet;
    assert_int_equal(rtp_parse(span_of(bytes, len), &packet), -EBADMSG);
}

static void refuses_lies(void **state) {
    (void)state;
    uint8_t packet[16] = {0x80, 0, 0, 1};
    packet[0] = 0x40; // version 1
    refuses(packet, sizeof packet);
    packet[0] = 0x8f; // fifteen CSRCs in four bytes
    refuses(packet, sizeof packet);
    packet[0] = 0xa0; // padding of none
    refuses(packet, sizeof packet);
    packet[15] = 5; // of more than there is
    refuses(packet, sizeof packet);
    packet[0] = 0x90; // an extension of 5 words
    refuses(packet, sizeof packet);
    packet[15] = 0;
    struct rtp_packet out;
    assert_int_equal(rtp_parse(span_of(packet, sizeof packet), &out), 0);
    assert_int_equal(out.payload_len, 0);
    assert_int_equal(out.ext.len, 0);
}

static void all_padding_is_an_empty_payload(void **state) {
    (void)state;
    const uint8_t packet[] = {0xa0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3};
    struct rtp_packet out;
    assert_int_equal(rtp_parse(span_of(packet, sizeof packet), &out), 0);
    assert_int_equal(out.payload_len, 0);
}

static void writes_what_it_reads(void **state) {
    (void)state;
    struct rtp_packet header = {
        .payload_type = 96, .marker = true, .seq = 65535, .timestamp = 0xfffffff0, .ssrc = 0x80000001};
    uint8_t bytes[RTP_HEADER_LEN];
    assert_int_equal(rtp_write(bytes, sizeof bytes, &header), RTP_HEADER_LEN);
    struct rtp_packet back;
    assert_int_equal(rtp_parse(span_of(bytes, sizeof bytes), &back), 0);
    assert_true(back.marker);
    assert_int_equal(back.payload_type, 96);
    assert_int_equal(back.seq, 65535);
    assert_int_equal(back.timestamp, 0xfffffff0);
    assert_int_equal(back.ssrc, 0x80000001);
    assert_int_equal(back.payload_len, 0);
    assert_int_equal(rtp_write(bytes, sizeof bytes - 1, &header), -EMSGSIZE);
    header.payload_type = 128;
    assert_int_equal(rtp_write(bytes, sizeof bytes, &header), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_part),     cmocka_unit_test(survives_truncation_at_every_byte),
        cmocka_unit_test(refuses_lies),         cmocka_unit_test(all_padding_is_an_empty_payload),
        cmocka_unit_test(writes_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
