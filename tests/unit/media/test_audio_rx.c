// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those first
#include <cmocka.h>

#include "gateway/core/metrics.h"
#include "media/audio_rx.h"
#include "media/audio_tx.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_US = 20000, PT = 100, DTMF_PT = 101, LEVEL = 8000, TONE_HZ = 400 };

// A sender, a network and a receiver, with a clock of our own.
struct call {
    enum codec_id codec;
    uint32_t rate_hz;
    struct audio_tx *tx;
    struct audio_rx *rx;
    uint64_t now_us, samples_sent;
};

static const struct {
    enum codec_id codec;
    uint32_t rate_hz;
} codecs[] = {
    {CODEC_PCMU, 8000}, {CODEC_PCMA, 8000}, {CODEC_G722, 16000}, {CODEC_OPUS, 16000}, {CODEC_OPUS, 48000}};

static struct audio_rx_config rx_config(enum codec_id codec, uint32_t rate_hz) {
    return (struct audio_rx_config){
        .codec = codec, .payload_type = PT, .dtmf_payload_type = DTMF_PT, .pcm_rate_hz = rate_hz};
}

static struct audio_tx *tx_of(enum codec_id codec, uint32_t rate_hz, uint32_t ssrc) {
    struct audio_tx_config config = {
        .codec = codec, .payload_type = PT, .pcm_rate_hz = rate_hz, .ssrc = ssrc};
    struct audio_tx *tx = NULL;
    assert_int_equal(audio_tx_new(&tx, &config), 0);
    return tx;
}

static struct call call_of(enum codec_id codec, uint32_t rate_hz) {
    struct call call = {.codec = codec, .rate_hz = rate_hz, .now_us = 1000000};
    struct audio_rx_config config = rx_config(codec, rate_hz);
    assert_int_equal(audio_rx_new(&call.rx, &config), 0);
    call.tx = tx_of(codec, rate_hz, 1);
    return call;
}

static void call_end(struct call *call) {
    audio_tx_free(call->tx);
    audio_rx_free(call->rx);
}

static void deliver(struct call *call, const uint8_t *bytes, size_t len) {
    struct rtp_packet packet;
    assert_int_equal(rtp_parse(span_of(bytes, len), &packet), 0);
    audio_rx_packet(call->rx, &packet, call->now_us);
}

// The next `ms` of a tone; on the way it may get lost.
static void send_tone(struct call *call, uint32_t ms, bool lost) {
    int16_t pcm[5760];
    uint8_t bytes[1500];
    size_t samples = call->rate_hz / 1000 * ms;
    for (size_t i = 0; i < samples; i++)
        pcm[i] =
            (int16_t)lrint(LEVEL * sin(2 * M_PI * TONE_HZ * (double)call->samples_sent++ / call->rate_hz));
    int len = audio_tx_pcm(call->tx, pcm, samples, call->now_us, bytes, sizeof bytes);
    assert_true(len > 0);
    if (!lost)
        deliver(call, bytes, (size_t)len);
}

static double level_of(const int16_t *pcm, size_t samples) {
    double sum = 0;
    for (size_t i = 0; i < samples; i++)
        sum += (double)pcm[i] * pcm[i];
    return sqrt(sum / (double)samples);
}

// Reads 20 ms and passes them; returns their level.
static double hear(struct call *call) {
    int16_t pcm[960];
    size_t samples = call->rate_hz / 50;
    memset(pcm, 0x7f, sizeof pcm);
    audio_rx_read_pcm(call->rx, pcm, samples, call->now_us);
    call->now_us += FRAME_US;
    return level_of(pcm, samples);
}

static double talk(struct call *call, unsigned frames) {
    double level = 0;
    while (frames--) {
        send_tone(call, 20, false);
        level = hear(call);
    }
    return level;
}

static struct audio_rx_stats stats_of(const struct call *call) {
    struct audio_rx_stats stats;
    audio_rx_stats(call->rx, &stats);
    return stats;
}

static void the_tone_comes_through_every_codec(void **state) {
    (void)state;
    int64_t before = metric_read(METRIC_RTP_IN);
    for (size_t c = 0; c < 5; c++) {
        struct call call = call_of(codecs[c].codec, codecs[c].rate_hz);
        assert_true(hear(&call) == 0);
        assert_int_equal(audio_rx_packet_ms(call.rx), 0);
        talk(&call, 10);
        for (int i = 0; i < 100; i++)
            assert_in_range(talk(&call, 1), LEVEL * 0.6, LEVEL * 0.8);
        struct audio_rx_stats stats = stats_of(&call);
        assert_int_equal(stats.packets, 110);
        assert_int_equal(stats.lost + stats.late + stats.duplicates + stats.dropped + stats.concealed_ms, 0);
        assert_int_equal(stats.last_packet_us, call.now_us - FRAME_US);
        assert_int_equal(audio_rx_packet_ms(call.rx), 20);
        call_end(&call);
    }
    assert_int_equal(metric_read(METRIC_RTP_IN) - before, 550);
}

static void reads_of_any_size_fit_together(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 7, 80, 160, 333, 480, 1000};
    struct call call = call_of(CODEC_PCMU, 8000);
    uint64_t read = 0;
    for (uint32_t i = 0; read < 8000 * 20; i++) {
        int16_t pcm[1000];
        size_t samples = sizes[i % 7];
        while (call.samples_sent < read + samples + 1600)
            send_tone(&call, 20, false);
        audio_rx_read_pcm(call.rx, pcm, samples, call.now_us);
        read += samples;
        call.now_us = 1000000 + read * 1000000 / 8000;
        // A tone of 400 Hz never moves further than this from one sample to the next, seams included.
        for (size_t k = 1; k < samples && i > 50; k++)
            assert_true(abs(pcm[k] - pcm[k - 1]) < LEVEL * 2 * M_PI * TONE_HZ / 8000 * 1.6);
    }
    assert_int_equal(stats_of(&call).lost, 0);
    call_end(&call);
}

// One frame per read, always, and none of them silent.
static void a_fifth_lost_is_never_heard_as_silence(void **state) {
    (void)state;
    for (size_t c = 0; c < 5; c++) {
        struct call call = call_of(codecs[c].codec, codecs[c].rate_hz);
        int64_t lost_before = metric_read(METRIC_RTP_LOST), ms_before = metric_read(METRIC_RTP_CONCEALED_MS);
        unsigned lost = 0;
        talk(&call, 20);
        for (unsigned i = 0; i < 500; i++) {
            bool gone = i % 5 == 2;
            lost += gone;
            send_tone(&call, 20, gone);
            assert_true(hear(&call) > LEVEL * 0.1);
        }
        talk(&call, 10);
        struct audio_rx_stats stats = stats_of(&call);
        assert_int_equal(stats.lost, lost);
        assert_in_range(stats.concealed_ms, lost * 20 - 40, lost * 20 + 100);
        struct rtcp_report_block block;
        audio_rx_report(call.rx, call.now_us, &block);
        assert_int_equal(metric_read(METRIC_RTP_LOST) - lost_before, lost);
        assert_int_equal(metric_read(METRIC_RTP_CONCEALED_MS) - ms_before, stats.concealed_ms);
        call_end(&call);
    }
}

static void concealment_fades_to_silence(void **state) {
    (void)state;
    for (size_t c = 0; c < 5; c++) {
        struct call call = call_of(codecs[c].codec, codecs[c].rate_hz);
        talk(&call, 50);
        for (int i = 0; i < 3; i++)
            hear(&call); // what is buffered, and the first of the concealment
        for (int i = 0; i < 6; i++)
            hear(&call);
        for (int i = 0; i < 200; i++)
            assert_true(hear(&call) == 0);
        assert_true(talk(&call, 10) > LEVEL * 0.5); // and back
        call_end(&call);
    }
}

// Nothing sent for 400 ms at a time: timestamps tell that it was silence.
static void dtx_counts_as_no_loss(void **state) {
    (void)state;
    struct call call = call_of(CODEC_OPUS, 16000);
    static const uint8_t dtx[] = {0x48}; // SILK wideband, 20 ms, one frame of no bytes
    uint8_t bytes[64];
    talk(&call, 50);
    for (int i = 0; i < 10; i++) {
        int len = audio_tx_payload(call.tx, dtx, sizeof dtx, 20, call.now_us, bytes, sizeof bytes);
        deliver(&call, bytes, (size_t)len);
        hear(&call);
        for (int k = 0; k < 19; k++) {
            audio_tx_skip(call.tx, 20);
            hear(&call);
        }
    }
    talk(&call, 50);
    struct audio_rx_stats stats = stats_of(&call);
    assert_int_equal(stats.lost, 0);
    assert_int_equal(stats.concealed_ms, 0);
    call_end(&call);
}

static void send_raw(struct call *call, uint8_t payload_type, uint16_t seq, uint32_t timestamp,
                     uint32_t ssrc) {
    uint8_t payload[160];
    memset(payload, 0xd5, sizeof payload);
    struct rtp_packet packet = {.payload_type = payload_type,
                                .seq = seq,
                                .timestamp = timestamp,
                                .ssrc = ssrc,
                                .payload = payload,
                                .payload_len = sizeof payload};
    audio_rx_packet(call->rx, &packet, call->now_us);
}

static void other_payload_types_are_not_decoded(void **state) {
    (void)state;
    struct call call = call_of(CODEC_PCMA, 8000);
    send_raw(&call, 13, 1, 160, 1);
    send_raw(&call, DTMF_PT, 1, 160, 1);
    struct audio_rx_stats stats = stats_of(&call);
    assert_int_equal(stats.wrong_payload_type, 1);
    assert_int_equal(stats.packets, 0);
    assert_int_equal(stats.last_packet_us, 0); // and no source is learnt from them
    uint16_t seq = 10;
    for (uint32_t i = 0; i < 100; i++) {
        send_raw(&call, PT, seq++, i * 160, 1);
        if (i % 10 == 5) // an event's packets take sequence numbers of the stream
            send_raw(&call, i % 20 == 5 ? DTMF_PT : 13, seq++, i * 160, 1);
        hear(&call);
    }
    stats = stats_of(&call);
    assert_int_equal(stats.packets, 100);
    assert_int_equal(stats.wrong_payload_type, 6);
    assert_int_equal(stats.lost + stats.concealed_ms + stats.dropped, 0);
    call_end(&call);
}

static void malformed_payloads_are_dropped(void **state) {
    (void)state;
    struct call call = call_of(CODEC_OPUS, 48000);
    static const uint8_t bad[] = {0x03, 0xff};
    struct rtp_packet packet = {.payload_type = PT, .payload = bad, .payload_len = sizeof bad};
    audio_rx_packet(call.rx, &packet, call.now_us);
    packet.payload_len = 0;
    audio_rx_packet(call.rx, &packet, call.now_us);
    assert_int_equal(stats_of(&call).dropped, 2);
    assert_int_equal(stats_of(&call).packets, 0);
    assert_true(hear(&call) == 0);
    call_end(&call);
}

static uint32_t source_of(struct call *call) {
    struct rtcp_report_block block;
    return audio_rx_report(call->rx, call->now_us, &block) ? block.ssrc : 0;
}

static void a_second_source_must_wait(void **state) {
    (void)state;
    struct call call = call_of(CODEC_PCMA, 8000);
    assert_int_equal(source_of(&call), 0);
    for (uint16_t i = 0; i < 50; i++, call.now_us += FRAME_US) {
        send_raw(&call, PT, i, i * 160u, 1);
        send_raw(&call, PT, (uint16_t)(i + 999), i * 160u, 2);
    }
    assert_int_equal(source_of(&call), 1);
    assert_true(stats_of(&call).dropped >= 50);
    call.now_us += 500000 - 2 * FRAME_US; // the first falls silent, but not yet for long enough
    send_raw(&call, PT, 2000, 9, 2);
    assert_int_equal(source_of(&call), 1);
    call.now_us += FRAME_US;
    send_raw(&call, PT, 2001, 9, 2);
    assert_int_equal(source_of(&call), 2);
    // A BYE of another changes nothing, of this one makes way at once.
    audio_rx_bye(call.rx, 3);
    send_raw(&call, PT, 1, 1, 3);
    assert_int_equal(source_of(&call), 2);
    audio_rx_bye(call.rx, 2);
    send_raw(&call, PT, 1, 1, 3);
    assert_int_equal(source_of(&call), 3);
    call_end(&call);
}

// The burst after a stall is heard, and its delay is gone some seconds later, without a frame of silence.
static void delay_of_a_burst_goes_away(void **state) {
    (void)state;
    for (size_t c = 0; c < 5; c++) {
        struct call call = call_of(codecs[c].codec, codecs[c].rate_hz);
        talk(&call, 100);
        for (int i = 0; i < 10; i++)
            hear(&call);
        for (int i = 0; i < 10; i++)
            send_tone(&call, 20, false);
        assert_true(stats_of(&call).depth_ms >= 180);
        hear(&call); // Opus takes a frame to come back
        for (int i = 0; i < 1500; i++)
            assert_true(talk(&call, 1) > LEVEL * 0.4);
        struct audio_rx_stats stats = stats_of(&call);
        assert_in_range(stats.depth_ms, 0, 80);
        assert_int_equal(stats.lost + stats.late, 0);
        call_end(&call);
    }
}

static void opus_packets_pass_through_unchanged(void **state) {
    (void)state;
    struct call call = call_of(CODEC_OPUS, 48000);
    uint8_t sent[200][400], bytes[1500], got[1500];
    size_t sent_len[200], next = 0, none = 0;
    int16_t pcm[960];
    assert_int_equal(audio_rx_read_payload(call.rx, got, sizeof got, 20, call.now_us), 0);
    for (size_t i = 0; i < 200; i++, call.now_us += FRAME_US) {
        for (size_t k = 0; k < 960; k++)
            pcm[k] = (int16_t)((i * 960 + k) % 73 * 200);
        int len = audio_tx_pcm(call.tx, pcm, 960, call.now_us, bytes, sizeof bytes);
        sent_len[i] = (size_t)len - RTP_HEADER_LEN;
        assert_true(sent_len[i] <= sizeof sent[i]);
        memcpy(sent[i], bytes + RTP_HEADER_LEN, sent_len[i]);
        if (i != 100)
            deliver(&call, bytes, (size_t)len);
        assert_int_equal(audio_rx_read_payload(call.rx, got, sizeof got, 60, call.now_us),
                         0); // not its duration
        size_t got_len = audio_rx_read_payload(call.rx, got, sizeof got, 20, call.now_us);
        if (!got_len) {
            none++;
            continue;
        }
        next += next == 100; // lost
        assert_int_equal(got_len, sent_len[next]);
        assert_memory_equal(got, sent[next], got_len);
        next++;
    }
    assert_in_range(none, 2, 4); // the target delay, and the lost one
    assert_int_equal(stats_of(&call).lost, 1);
    call_end(&call);
}

// 30 ms packets read as 20 ms ones, then 10 ms packets: the bytes are the same in the same order.
static void bytes_pass_through_cut_anew(void **state) {
    (void)state;
    static const uint32_t packet_ms[] = {10, 20, 30, 60};
    for (size_t p = 0; p < 4; p++) {
        struct call call = call_of(CODEC_PCMU, 8000);
        uint32_t size = packet_ms[p] * 8, sent = 0, expect = 0, heard = 0;
        for (uint32_t tick = 0; tick < 300; tick++, call.now_us += FRAME_US) {
            for (; sent * packet_ms[p] < (tick + 1) * 20; sent++) {
                uint8_t payload[480];
                for (uint32_t i = 0; i < size; i++)
                    payload[i] = (uint8_t)((sent * size + i) % 251);
                struct rtp_packet packet = {.payload_type = PT,
                                            .seq = (uint16_t)sent,
                                            .timestamp = sent * size,
                                            .ssrc = 1,
                                            .payload = payload,
                                            .payload_len = size};
                audio_rx_packet(call.rx, &packet, call.now_us);
            }
            uint8_t got[160];
            assert_int_equal(audio_rx_read_payload(call.rx, got, sizeof got - 1, 20, call.now_us), 0);
            if (!audio_rx_read_payload(call.rx, got, sizeof got, 20, call.now_us))
                continue;
            heard++;
            if (heard == 1)
                expect = got[0]; // a packet before it may have been left out
            for (uint32_t i = 0; i < sizeof got && heard < 100; i++, expect++)
                assert_int_equal(got[i], expect % 251);
        }
        assert_true(heard > 290);
        assert_int_equal(stats_of(&call).lost, 0);
        call_end(&call);
    }
}

static void a_lost_payload_is_nothing(void **state) {
    (void)state;
    struct call call = call_of(CODEC_PCMA, 8000);
    uint32_t none = 0;
    for (uint16_t i = 0; i < 100; i++, call.now_us += FRAME_US) {
        uint8_t got[160];
        if (i != 40 && i != 41 && i != 80)
            send_raw(&call, PT, i, i * 160u, 1);
        size_t len = audio_rx_read_payload(call.rx, got, sizeof got, 20, call.now_us);
        none += !len && i > 10;
    }
    assert_int_equal(none, 3);
    assert_int_equal(stats_of(&call).lost, 3);
    assert_int_equal(stats_of(&call).concealed_ms, 60);
    call_end(&call);
}

static void a_switch_keeps_source_and_statistics(void **state) {
    (void)state;
    struct call call = call_of(CODEC_PCMU, 8000);
    talk(&call, 50);
    send_tone(&call, 20, true);
    hear(&call);
    talk(&call, 50);
    struct audio_rx_config config = rx_config(CODEC_L16, 16000);
    assert_int_equal(audio_rx_switch(call.rx, &config), -EINVAL);
    config = rx_config(CODEC_OPUS, 44100);
    assert_int_equal(audio_rx_switch(call.rx, &config), -EINVAL);
    assert_true(talk(&call, 1) > LEVEL * 0.6); // nothing changed
    for (size_t c = 0; c < 5; c++) {
        config = rx_config(codecs[c].codec, codecs[c].rate_hz);
        assert_int_equal(audio_rx_switch(call.rx, &config), 0);
        assert_int_equal(audio_tx_switch(call.tx, codecs[c].codec, PT, codecs[c].rate_hz), 0);
        call.rate_hz = codecs[c].rate_hz;
        talk(&call, 10);
        assert_in_range(talk(&call, 20), LEVEL * 0.6, LEVEL * 0.8);
    }
    struct audio_rx_stats stats = stats_of(&call);
    assert_int_equal(stats.packets, 100 + 1 + 5 * 30);
    assert_int_equal(stats.lost, 1);
    assert_int_equal(stats.concealed_ms, 20);
    assert_int_equal(source_of(&call), 1);
    call_end(&call);
}

static void reports_tell_the_sender(void **state) {
    (void)state;
    struct call call = call_of(CODEC_PCMU, 8000);
    struct rtcp_sender_info info;
    struct rtcp_report_block block;
    struct audio_tx_stats sent;
    for (unsigned i = 0; i < 101; i++) {
        send_tone(&call, 20, i % 4 == 1);
        hear(&call);
    }
    audio_tx_sender_info(call.tx, call.now_us, 0xb44db705c0001234, &info);
    call.now_us += 30000;
    audio_rx_sender_report(call.rx, &info, call.now_us);
    call.now_us += 700000;
    assert_true(audio_rx_report(call.rx, call.now_us, &block));
    assert_int_equal(block.ssrc, 1);
    assert_int_equal(block.lost, 25);
    assert_int_equal(block.fraction_lost, 25 * 256 / 101);
    call.now_us += 30000;
    audio_tx_report(call.tx, &block, call.now_us);
    audio_tx_stats(call.tx, &sent);
    assert_in_range(sent.rtt_us, 59900, 60100);
    assert_int_equal(sent.fraction_lost, 25 * 256 / 101);
    call_end(&call);
}

// Random headers, payloads and gaps of time, read either way: every read comes back, and inside its buffer.
static void garbage_is_survived(void **state) {
    (void)state;
    srandom(7);
    for (size_t c = 0; c < 5; c++) {
        struct call call = call_of(codecs[c].codec, codecs[c].rate_hz);
        uint16_t seq = 0;
        for (uint32_t i = 0; i < 10000; i++) {
            uint8_t payload[CODEC_MAX_PAYLOAD + 50];
            size_t len = (size_t)random() % (i % 50 ? 200 : sizeof payload);
            for (size_t k = 0; k < len; k++)
                payload[k] = (uint8_t)random();
            seq = (uint16_t)(random() % 100 ? seq + random() % 3 : random());
            struct rtp_packet packet = {.payload_type = random() % 20 ? PT : 13,
                                        .seq = seq,
                                        .timestamp =
                                            (uint32_t)(random() % 50 ? i * 160u : (uint32_t)random()),
                                        .ssrc = random() % 1000 == 0,
                                        .payload = payload,
                                        .payload_len = len};
            audio_rx_packet(call.rx, &packet, call.now_us);
            int16_t pcm[400];
            if (i / 500 % 2)
                audio_rx_read_pcm(call.rx, pcm, (size_t)random() % 400, call.now_us);
            else
                audio_rx_read_payload(call.rx, payload, sizeof payload, (uint32_t)random() % 130,
                                      call.now_us);
            call.now_us += (uint64_t)random() % (i % 100 ? 40000 : 2000000);
        }
        assert_true(talk(&call, 200) > 0);
        call_end(&call);
    }
}

static void bad_configurations_are_refused(void **state) {
    (void)state;
    struct audio_rx *rx = NULL;
    struct audio_rx_config config = rx_config(CODEC_L16, 16000);
    assert_int_equal(audio_rx_new(&rx, &config), -EINVAL);
    config = rx_config(CODEC_PCMU, 16000);
    assert_int_equal(audio_rx_new(&rx, &config), -EINVAL);
    assert_null(rx);
    audio_rx_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tone_comes_through_every_codec),
        cmocka_unit_test(reads_of_any_size_fit_together),
        cmocka_unit_test(a_fifth_lost_is_never_heard_as_silence),
        cmocka_unit_test(concealment_fades_to_silence),
        cmocka_unit_test(dtx_counts_as_no_loss),
        cmocka_unit_test(other_payload_types_are_not_decoded),
        cmocka_unit_test(malformed_payloads_are_dropped),
        cmocka_unit_test(a_second_source_must_wait),
        cmocka_unit_test(delay_of_a_burst_goes_away),
        cmocka_unit_test(opus_packets_pass_through_unchanged),
        cmocka_unit_test(bytes_pass_through_cut_anew),
        cmocka_unit_test(a_lost_payload_is_nothing),
        cmocka_unit_test(a_switch_keeps_source_and_statistics),
        cmocka_unit_test(reports_tell_the_sender),
        cmocka_unit_test(garbage_is_survived),
        cmocka_unit_test(bad_configurations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
