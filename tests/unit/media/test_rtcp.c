// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those first
#include <cmocka.h>

#include "media/rtcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct heard {
    struct rtcp_sender_info info;
    struct rtcp_report_block blocks[4];
    unsigned infos, block_count, cnames, byes;
    uint32_t from, bye_ssrc;
    char cname[256], reason[256];
};

static void on_sender_info(uint32_t from_ssrc, const struct rtcp_sender_info *info, void *arg) {
    struct heard *heard = arg;
    heard->from = from_ssrc;
    heard->info = *info;
    heard->infos++;
}

static void on_report(uint32_t from_ssrc, const struct rtcp_report_block *block, void *arg) {
    struct heard *heard = arg;
    heard->from = from_ssrc;
    heard->blocks[heard->block_count++ % 4] = *block;
}

static void on_cname(uint32_t ssrc, struct span cname, void *arg) {
    struct heard *heard = arg;
    heard->from = ssrc;
    span_copy(cname, heard->cname, sizeof heard->cname);
    heard->cnames++;
}

static void on_bye(uint32_t ssrc, struct span reason, void *arg) {
    struct heard *heard = arg;
    heard->bye_ssrc = ssrc;
    span_copy(reason, heard->reason, sizeof heard->reason);
    heard->byes++;
}

static const struct rtcp_events events = {
    .on_sender_info = on_sender_info, .on_report = on_report, .on_cname = on_cname, .on_bye = on_bye};

static const struct rtcp_sender_info info = {
    .ntp = 0x83aa7e8012345678, .rtp_timestamp = 0xfffffff0, .packets = 1000, .octets = 160000};
static const struct rtcp_report_block blocks[2] = {
    {.ssrc = 0xcafe,
     .fraction_lost = 51,
     .lost = -3,
     .highest_seq = 0x1ffff,
     .jitter = 42,
     .lsr = 7,
     .dlsr = 65536},
    {.ssrc = 0xbabe, .lost = 0x7fffff},
};

static int write_all(uint8_t *out, size_t cap, const char *cname, const char *reason) {
    struct rtcp_report report = {.ssrc = 0x11223344,
                                 .sender = &info,
                                 .blocks = blocks,
                                 .block_count = 2,
                                 .cname = cname,
                                 .bye = true,
                                 .bye_reason = reason};
    return rtcp_write(out, cap, &report);
}

static void assert_same_block(const struct rtcp_report_block *a, const struct rtcp_report_block *b) {
    assert_int_equal(a->ssrc, b->ssrc);
    assert_int_equal(a->fraction_lost, b->fraction_lost);
    assert_int_equal(a->lost, b->lost);
    assert_int_equal(a->highest_seq, b->highest_seq);
    assert_int_equal(a->jitter, b->jitter);
    assert_int_equal(a->lsr, b->lsr);
    assert_int_equal(a->dlsr, b->dlsr);
}

static void compound_round_trip(void **state) {
    (void)state;
    uint8_t bytes[512];
    int len = write_all(bytes, sizeof bytes, "user@host", "done");
    assert_true(len > 0 && len % 4 == 0);
    struct heard heard = {0};
    assert_int_equal(rtcp_parse(span_of(bytes, (size_t)len), &events, &heard), 0);
    assert_int_equal(heard.infos, 1);
    assert_int_equal(heard.from, 0x11223344);
    assert_true(heard.info.ntp == info.ntp);
    assert_int_equal(heard.info.rtp_timestamp, info.rtp_timestamp);
    assert_int_equal(heard.info.packets, info.packets);
    assert_int_equal(heard.info.octets, info.octets);
    assert_int_equal(heard.block_count, 2);
    assert_same_block(&heard.blocks[0], &blocks[0]);
    assert_same_block(&heard.blocks[1], &blocks[1]);
    assert_string_equal(heard.cname, "user@host");
    assert_int_equal(heard.byes, 1);
    assert_int_equal(heard.bye_ssrc, 0x11223344);
    assert_string_equal(heard.reason, "done");
}

// SDES and BYE pad to words: every remainder.
static void texts_of_every_length(void **state) {
    (void)state;
    char text[RTCP_MAX_TEXT + 2];
    uint8_t bytes[1024];
    for (size_t len = 1; len <= RTCP_MAX_TEXT; len++) {
        memset(text, 'x', len);
        text[len] = '\0';
        int written = write_all(bytes, sizeof bytes, text, text);
        assert_true(written > 0 && written % 4 == 0);
        struct heard heard = {0};
        assert_int_equal(rtcp_parse(span_of(bytes, (size_t)written), &events, &heard), 0);
        assert_string_equal(heard.cname, text);
        assert_string_equal(heard.reason, text);
    }
    memset(text, 'x', RTCP_MAX_TEXT + 1);
    text[RTCP_MAX_TEXT + 1] = '\0';
    assert_int_equal(write_all(bytes, sizeof bytes, text, NULL), -EINVAL);
    assert_int_equal(write_all(bytes, sizeof bytes, "", NULL), -EINVAL);
}

static void receiver_report_without_blocks(void **state) {
    (void)state;
    uint8_t bytes[64];
    struct rtcp_report report = {.ssrc = 1, .cname = "c"};
    int len = rtcp_write(bytes, sizeof bytes, &report);
    assert_int_equal(len, 8 + 12);
    assert_memory_equal(bytes,
                        "\x80\xc9\x00\x01\x00\x00\x00\x01\x81\xca\x00\x02\x00\x00\x00\x01\x01\x01"
                        "c\x00",
                        20);
    struct heard heard = {0};
    assert_int_equal(rtcp_parse(span_of(bytes, (size_t)len), &events, &heard), 0);
    assert_int_equal(heard.infos + heard.block_count, 0);
    report.block_count = RTCP_MAX_BLOCKS + 1;
    assert_int_equal(rtcp_write(bytes, sizeof bytes, &report), -EINVAL);
}

static void never_writes_beyond_cap(void **state) {
    (void)state;
    uint8_t bytes[512];
    int whole = write_all(bytes, sizeof bytes, "user@host", "done");
    for (size_t cap = 0; cap < (size_t)whole; cap++) {
        uint8_t *tight = malloc(cap ? cap : 1);
        assert_non_null(tight);
        assert_int_equal(write_all(tight, cap, "user@host", "done"), -EMSGSIZE);
        free(tight);
    }
}

// A cut compound is either malformed, and then nobody hears a word of it, or ends between two packets.
static void truncation_at_every_byte(void **state) {
    (void)state;
    uint8_t bytes[512];
    size_t whole = (size_t)write_all(bytes, sizeof bytes, "user@host", "done");
    const size_t sr = 28 + 48, sdes = sr + 4 + 16;
    for (size_t len = 0; len < whole; len++) {
        uint8_t *copy = malloc(len ? len : 1);
        assert_non_null(copy);
        memcpy(copy, bytes, len);
        struct heard heard = {0};
        int err = rtcp_parse(span_of(copy, len), &events, &heard);
        assert_int_equal(err, len == sr || len == sdes ? 0 : -EBADMSG);
        if (err)
            assert_int_equal(heard.infos + heard.block_count + heard.cnames + heard.byes, 0);
        free(copy);
    }
}

static int parse(const char *bytes, size_t len, struct heard *heard) {
    memset(heard, 0, sizeof *heard);
    return rtcp_parse(span_of(bytes, len), &events, heard);
}

static void counts_that_lie(void **state) {
    (void)state;
    struct heard heard;
    assert_int_equal(parse("\x9f\xc9\x00\x01\0\0\0\x01", 8, &heard), -EBADMSG); // 31 blocks, none there
    assert_int_equal(parse("\x82\xcb\x00\x01\0\0\0\x01", 8, &heard), -EBADMSG); // 2 sources, 1 there
    assert_int_equal(parse("\x81\xcb\x00\x02\0\0\0\x01\x04xyz", 12, &heard), -EBADMSG); // a reason of 4 in 3
    assert_int_equal(parse("\x81\xca\x00\x02\0\0\0\x01\x01\x01zz", 12, &heard), -EBADMSG); // no end of items
    assert_int_equal(parse("\x41\xca\x00\x00", 4, &heard), -EBADMSG);                      // version 1
    assert_int_equal(parse("\xa0\xc9\x00\x01\0\0\0\x08", 8, &heard), -EBADMSG);     // padding of 8 in 4
    assert_int_equal(parse("\xa0\xc9\x00\x02\0\0\0\x07\0\0\0\x04", 12, &heard), 0); // padding, last packet
    assert_int_equal(parse("\xa0\xc9\x00\x02\0\0\0\x07\0\0\0\x04\x80\xc9\x00\x01\0\0\0\x07", 20, &heard),
                     -EBADMSG);
}

// Feedback (RFC 4585) alone, and an unknown type amid others: skipped.
static void other_types_are_skipped(void **state) {
    (void)state;
    struct heard heard;
    assert_int_equal(parse("\x81\xcd\x00\x03\0\0\0\x01\0\0\0\x02\0\x05\0\0", 16, &heard), 0);
    assert_int_equal(parse("\x80\xdf\x00\x00\x81\xcb\x00\x01\0\0\0\x09", 12, &heard), 0);
    assert_int_equal(heard.byes, 1);
    assert_int_equal(heard.bye_ssrc, 9);
    assert_string_equal(heard.reason, "");
    assert_int_equal(parse("\x80\xcb\x00\x00", 4, &heard), 0); // a BYE of nobody
    assert_int_equal(heard.byes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compound_round_trip),
        cmocka_unit_test(texts_of_every_length),
        cmocka_unit_test(receiver_report_without_blocks),
        cmocka_unit_test(never_writes_beyond_cap),
        cmocka_unit_test(truncation_at_every_byte),
        cmocka_unit_test(counts_that_lie),
        cmocka_unit_test(other_types_are_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
