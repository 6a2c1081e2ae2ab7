// SPDX-License-Identifier: Apache-2.0
// Long calls through networks and clocks that are not ideal. The clock is our own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those first
#include <cmocka.h>

#include "media/audio_rx.h"
#include "media/audio_tx.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FRAME_US = 20000,
    PT = 100,
    LEVEL = 8000,
    RATE_HZ = 8000,
    FRAME = RATE_HZ / 50,
    PACKET_MAX = 3 * FRAME
};

struct sender {
    struct audio_tx *tx;
    uint64_t samples, due_us; // when the next packet arrives, by the receiver's clock
    double period_us;
    size_t frame; // samples of a packet
};

static struct sender sender_of(double ppm, uint32_t packet_ms) {
    struct audio_tx_config config = {
        .codec = CODEC_PCMU, .payload_type = PT, .pcm_rate_hz = RATE_HZ, .ssrc = 1};
    struct sender sender = {.due_us = 1007000,
                            .period_us = packet_ms * 1000 * (1 + ppm / 1e6),
                            .frame = packet_ms * RATE_HZ / 1000};
    assert_int_equal(audio_tx_new(&sender.tx, &config), 0);
    return sender;
}

static struct audio_rx *receiver(void) {
    struct audio_rx_config config = {
        .codec = CODEC_PCMU, .payload_type = PT, .dtmf_payload_type = -1, .pcm_rate_hz = RATE_HZ};
    struct audio_rx *rx = NULL;
    assert_int_equal(audio_rx_new(&rx, &config), 0);
    return rx;
}

// A tone with overtones, without a quiet moment: its period is what time may be taken out or put in by.
static void speak(struct sender *sender, int16_t *pcm) {
    for (size_t i = 0; i < sender->frame; i++) {
        double phase = 2 * M_PI * 125 * (double)sender->samples++ / RATE_HZ;
        pcm[i] = (int16_t)lrint(LEVEL * (0.6 * sin(phase) + 0.4 * sin(3 * phase)));
    }
}

static void send_due(struct sender *sender, struct audio_rx *rx, uint64_t now_us, uint64_t packet) {
    int16_t pcm[PACKET_MAX];
    uint8_t bytes[600];
    struct rtp_packet parsed;
    speak(sender, pcm);
    int len = audio_tx_pcm(sender->tx, pcm, sender->frame, now_us, bytes, sizeof bytes);
    assert_int_equal(rtp_parse(span_of(bytes, (size_t)len), &parsed), 0);
    audio_rx_packet(rx, &parsed, sender->due_us);
    sender->due_us = 1007000 + (uint64_t)((double)packet * sender->period_us);
}

static double level_of(const int16_t *pcm, size_t samples) {
    double sum = 0;
    for (size_t i = 0; i < samples; i++)
        sum += (double)pcm[i] * pcm[i];
    return sqrt(sum / (double)samples);
}

// Ten minutes of a sender whose clock runs by `ppm` otherwise: no packet is missed, nothing made up, the
// delay stays, and the waveform has no step that the sender's has not.
static void drift(double ppm, uint32_t packet_ms) {
    struct sender sender = sender_of(ppm, packet_ms);
    struct audio_rx *rx = receiver();
    int16_t last = 0;
    uint64_t packet = 0;
    for (uint64_t now_us = 1000000; now_us < 601000000; now_us += FRAME_US) {
        int16_t pcm[FRAME];
        while (sender.due_us <= now_us)
            send_due(&sender, rx, now_us, ++packet);
        audio_rx_read_pcm(rx, pcm, FRAME, now_us);
        for (size_t i = 0; i < FRAME && now_us > 2000000; last = pcm[i++])
            assert_in_range(abs(pcm[i] - last), 0, LEVEL / 3);
        struct audio_rx_stats stats;
        audio_rx_stats(rx, &stats);
        if (now_us <= 2000000)
            continue;
        assert_true(level_of(pcm, FRAME) > LEVEL * 0.4);
        assert_in_range(stats.depth_ms, 0, packet_ms + (packet_ms > 40 ? packet_ms : 40));
        assert_int_equal(stats.concealed_ms + stats.lost + stats.dropped, 0);
    }
    audio_tx_free(sender.tx);
    audio_rx_free(rx);
}

static void a_slower_clock_is_followed_without_a_gap(void **state) {
    (void)state;
    drift(200, 20);
    drift(200, 60);
}

static void a_faster_clock_is_followed_without_delay(void **state) {
    (void)state;
    drift(-200, 20);
    drift(-200, 60);
}

enum { OPUS_RATE_HZ = 16000, OPUS_FRAME = OPUS_RATE_HZ / 50 };

// Something like a voice: harmonics of a pitch that glides, in syllables.
static void voice(int16_t *pcm, uint64_t frame, double *phase) {
    for (size_t i = 0; i < OPUS_FRAME; i++) {
        double at_s = (double)(frame * OPUS_FRAME + i) / OPUS_RATE_HZ;
        *phase += 2 * M_PI * (140 + 60 * sin(2 * M_PI * 1.7 * at_s)) / OPUS_RATE_HZ;
        double sum = 0;
        for (int k = 1; k <= 12; k++)
            sum += sin(k * *phase) / k;
        pcm[i] = (int16_t)lrint(LEVEL * 0.6 * sum * (0.6 + 0.4 * sin(2 * M_PI * 4 * at_s)));
    }
}

// How much of what is lost comes back wrong, against the same stream without loss: every fifth packet is
// lost, after the far end has said that `loss_256`/256 of them are.
static double error_share(uint8_t loss_256) {
    struct audio_tx_config tx_config = {
        .codec = CODEC_OPUS, .payload_type = PT, .pcm_rate_hz = OPUS_RATE_HZ, .ssrc = 1};
    struct audio_rx_config rx_config = {
        .codec = CODEC_OPUS, .payload_type = PT, .dtmf_payload_type = -1, .pcm_rate_hz = OPUS_RATE_HZ};
    struct audio_tx *tx = NULL;
    struct audio_rx *whole = NULL, *holed = NULL;
    assert_int_equal(audio_tx_new(&tx, &tx_config), 0);
    assert_int_equal(audio_rx_new(&whole, &rx_config), 0);
    assert_int_equal(audio_rx_new(&holed, &rx_config), 0);
    audio_tx_report(tx, &(struct rtcp_report_block){.ssrc = 1, .fraction_lost = loss_256}, 0);
    double phase = 0, wrong = 0, all = 0;
    for (uint64_t frame = 0; frame < 200; frame++) {
        int16_t pcm[OPUS_FRAME], heard[OPUS_FRAME], wanted[OPUS_FRAME];
        uint8_t bytes[600];
        struct rtp_packet packet;
        uint64_t now_us = 1000000 + frame * FRAME_US;
        voice(pcm, frame, &phase);
        int len = audio_tx_pcm(tx, pcm, OPUS_FRAME, now_us, bytes, sizeof bytes);
        assert_int_equal(rtp_parse(span_of(bytes, (size_t)len), &packet), 0);
        audio_rx_packet(whole, &packet, now_us);
        if (frame % 5 != 4)
            audio_rx_packet(holed, &packet, now_us);
        audio_rx_read_pcm(whole, wanted, OPUS_FRAME, now_us);
        audio_rx_read_pcm(holed, heard, OPUS_FRAME, now_us);
        for (size_t i = 0; i < OPUS_FRAME && frame >= 50; i++) {
            wrong += (heard[i] - wanted[i]) * (double)(heard[i] - wanted[i]);
            all += (double)wanted[i] * wanted[i];
        }
    }
    audio_rx_free(holed);
    audio_rx_free(whole);
    audio_tx_free(tx);
    return wrong / all;
}

static void in_band_fec_is_used_where_it_is_there(void **state) {
    (void)state;
    double concealed = error_share(0), corrected = error_share(51);
    assert_true(concealed > 0.05);
    assert_true(corrected < concealed / 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slower_clock_is_followed_without_a_gap),
        cmocka_unit_test(a_faster_clock_is_followed_without_delay),
        cmocka_unit_test(in_band_fec_is_used_where_it_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
