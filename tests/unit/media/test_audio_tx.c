// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those first
#include <cmocka.h>

#include "gateway/core/metrics.h"
#include "media/audio_tx.h"
#include "media/rtp.h"

#include <errno.h>
#include <string.h>

enum { CAP = 1500 };

static const struct {
    enum codec_id codec;
    uint32_t rate_hz, ticks; // of 20 ms
} codecs[] = {
    {CODEC_PCMU, 8000, 160}, {CODEC_PCMA, 8000, 160}, {CODEC_G722, 16000, 160}, {CODEC_OPUS, 16000, 960}};

static struct audio_tx *tx_of(enum codec_id codec, uint32_t rate_hz) {
    struct audio_tx_config config = {
        .codec = codec, .payload_type = 100, .pcm_rate_hz = rate_hz, .ssrc = 0xabcd};
    struct audio_tx *tx = NULL;
    assert_int_equal(audio_tx_new(&tx, &config), 0);
    return tx;
}

static struct rtp_packet send_pcm(struct audio_tx *tx, uint32_t rate_hz, uint64_t now_us) {
    static uint8_t bytes[CAP];
    static const int16_t silence[960];
    struct rtp_packet packet;
    int len = audio_tx_pcm(tx, silence, rate_hz / 50, now_us, bytes, sizeof bytes);
    assert_true(len > RTP_HEADER_LEN);
    assert_int_equal(rtp_parse(span_of(bytes, (size_t)len), &packet), 0);
    return packet;
}

static void timestamps_run_on_the_codecs_clock(void **state) {
    (void)state;
    int64_t before = metric_read(METRIC_RTP_OUT);
    for (size_t c = 0; c < 4; c++) {
        struct audio_tx *tx = tx_of(codecs[c].codec, codecs[c].rate_hz);
        struct rtp_packet last = send_pcm(tx, codecs[c].rate_hz, 0);
        assert_true(last.marker);
        assert_true(last.seq < 0x8000); // SRTP's rollover counter starts in step
        for (uint64_t i = 1; i < 50; i++) {
            struct rtp_packet packet = send_pcm(tx, codecs[c].rate_hz, i * 20000);
            assert_int_equal(packet.payload_type, 100);
            assert_int_equal(packet.ssrc, 0xabcd);
            assert_int_equal((uint16_t)(packet.seq - last.seq), 1);
            assert_int_equal(packet.timestamp - last.timestamp, codecs[c].ticks);
            assert_false(packet.marker);
            last = packet;
        }
        struct audio_tx_stats stats;
        audio_tx_stats(tx, &stats);
        assert_int_equal(stats.packets, 50);
        assert_int_equal(stats.ssrc, 0xabcd);
        assert_true(stats.bytes > 50);
        audio_tx_free(tx);
    }
    assert_int_equal(metric_read(METRIC_RTP_OUT) - before, 200);
}

static void what_is_not_sent_still_takes_its_time(void **state) {
    (void)state;
    struct audio_tx *tx = tx_of(CODEC_PCMU, 8000);
    struct rtp_packet first = send_pcm(tx, 8000, 0);
    audio_tx_skip(tx, 60);
    uint8_t tiny[RTP_HEADER_LEN + 10];
    static const int16_t pcm[160];
    assert_true(audio_tx_pcm(tx, pcm, 160, 0, tiny, sizeof tiny) < 0);
    assert_int_equal(audio_tx_payload(tx, tiny, sizeof tiny, 20, 0, tiny, sizeof tiny), -EMSGSIZE);
    assert_int_equal(audio_tx_payload(tx, tiny, 0, 20, 0, tiny, sizeof tiny), -EMSGSIZE);
    struct rtp_packet next = send_pcm(tx, 8000, 0);
    assert_int_equal((uint16_t)(next.seq - first.seq), 1); // no hole that would look like loss
    assert_int_equal(next.timestamp - first.timestamp, 160 * (1 + 3 + 3));
    assert_true(next.marker);
    audio_tx_free(tx);
}

static void payloads_go_as_they_are(void **state) {
    (void)state;
    struct audio_tx *tx = tx_of(CODEC_OPUS, 48000);
    static const uint8_t payload[] = {0xf8, 1, 2, 3};
    uint8_t out[RTP_HEADER_LEN + sizeof payload];
    struct rtp_packet first, second;
    assert_int_equal(audio_tx_payload(tx, payload, 4, 60, 0, out, sizeof out), sizeof out);
    assert_int_equal(rtp_parse(span_of(out, sizeof out), &first), 0);
    assert_memory_equal(first.payload, payload, 4);
    assert_int_equal(audio_tx_payload(tx, payload, 4, 60, 0, out, sizeof out), sizeof out);
    assert_int_equal(rtp_parse(span_of(out, sizeof out), &second), 0);
    assert_int_equal(second.timestamp - first.timestamp, 2880);
    assert_int_equal(audio_tx_payload(tx, payload, 4, 60, 0, out, sizeof out - 1), -EMSGSIZE);
    audio_tx_free(tx);
}

static void a_switch_goes_on_counting(void **state) {
    (void)state;
    struct audio_tx *tx = tx_of(CODEC_PCMU, 8000);
    struct rtp_packet first = send_pcm(tx, 8000, 0);
    assert_int_equal(audio_tx_switch(tx, CODEC_L16, 96, 16000), -EINVAL);
    assert_int_equal(audio_tx_switch(tx, CODEC_G722, 9, 8000), -EINVAL);
    struct rtp_packet same = send_pcm(tx, 8000, 0);
    assert_int_equal(same.payload_type, 100);
    assert_int_equal(audio_tx_switch(tx, CODEC_OPUS, 111, 48000), 0);
    struct rtp_packet next = send_pcm(tx, 48000, 0);
    assert_int_equal(next.payload_type, 111);
    assert_int_equal(next.ssrc, first.ssrc);
    assert_int_equal((uint16_t)(next.seq - first.seq), 2);
    assert_int_equal(next.timestamp - first.timestamp, 320);
    audio_tx_free(tx);
}

// RFC 3550 section 6.4.1: RTT is arrival less LSR less DLSR.
static void reports_give_rtt_and_loss(void **state) {
    (void)state;
    struct audio_tx *tx = tx_of(CODEC_OPUS, 16000);
    struct rtcp_sender_info info;
    struct audio_tx_stats stats;
    struct rtp_packet sent = send_pcm(tx, 16000, 1000000);
    audio_tx_sender_info(tx, 1010000, 0xb44db705c0001234, &info);
    assert_true(info.ntp == 0xb44db705c0001234);
    assert_int_equal(info.packets, 1);
    assert_int_equal(info.octets, sent.payload_len);
    assert_int_equal(info.rtp_timestamp - sent.timestamp, 480); // 10 ms later
    struct rtcp_report_block block = {
        .ssrc = 0xabcd, .fraction_lost = 26, .lsr = 0xb705c000, .dlsr = 65536 / 2};
    audio_tx_report(tx, &block, 1010000 + 500000 + 85000);
    audio_tx_stats(tx, &stats);
    assert_int_equal(stats.fraction_lost, 26);
    assert_in_range(stats.rtt_us, 84900, 85100);

    // Not about us, of a report never sent, or held longer than it has been: nothing is learnt.
    block.ssrc = 1;
    block.fraction_lost = 255;
    audio_tx_report(tx, &block, 9000000);
    block.ssrc = 0xabcd;
    block.fraction_lost = 0;
    block.lsr = 5;
    audio_tx_report(tx, &block, 9000000);
    block.lsr = 0xb705c000;
    block.dlsr = 65536 * 60;
    audio_tx_report(tx, &block, 9000000);
    audio_tx_stats(tx, &stats);
    assert_int_equal(stats.fraction_lost, 0);
    assert_in_range(stats.rtt_us, 84900, 85100);
    audio_tx_free(tx);
}

static void bad_configurations_are_refused(void **state) {
    (void)state;
    struct audio_tx *tx = NULL;
    struct audio_tx_config config = {.codec = CODEC_L16, .payload_type = 96, .pcm_rate_hz = 16000};
    assert_int_equal(audio_tx_new(&tx, &config), -EINVAL);
    config.codec = CODEC_PCMU;
    assert_int_equal(audio_tx_new(&tx, &config), -EINVAL);
    config.pcm_rate_hz = 8000;
    config.payload_type = 128;
    assert_int_equal(audio_tx_new(&tx, &config), -EINVAL);
    assert_null(tx);
    audio_tx_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timestamps_run_on_the_codecs_clock),
        cmocka_unit_test(what_is_not_sent_still_takes_its_time),
        cmocka_unit_test(payloads_go_as_they_are),
        cmocka_unit_test(a_switch_goes_on_counting),
        cmocka_unit_test(reports_give_rtt_and_loss),
        cmocka_unit_test(bad_configurations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
