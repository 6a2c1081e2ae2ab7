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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slower_clock_is_followed_without_a_gap),
        cmocka_unit_test(a_faster_clock_is_followed_without_delay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
