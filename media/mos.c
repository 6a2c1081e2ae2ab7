// SPDX-License-Identifier: Apache-2.0
#include "media/mos.h"

#include <math.h>

#define DEFAULT_RATING 93.2 // G.107 table 3: everything at its default
#define FAR_JITTER_MS 40    // what a telephone's jitter buffer usually holds

// Equipment impairment and robustness against loss. G.711 is G.113's, with concealment; G.722 and Opus have no
// place on the narrow-band scale, so theirs are estimates.
static const struct {
    double impairment, robustness;
    double lookahead_ms;
} codecs[CODEC_COUNT] = {[CODEC_PCMU] = {0, 25.1, 0},
                         [CODEC_PCMA] = {0, 25.1, 0},
                         [CODEC_G722] = {0, 20, 1.5},
                         [CODEC_OPUS] = {0, 20, 6.5},
                         [CODEC_L16] = {0, 25.1, 0}};

// G.107 equation 7-29: nothing below 100 ms.
static double delay_impairment(double delay_ms) {
    if (delay_ms <= 100)
        return 0;
    double x = log2(delay_ms / 100);
    return 25 * (pow(1 + pow(x, 6), 1.0 / 6) - 3 * pow(1 + pow(x / 3, 6), 1.0 / 6) + 2);
}

// G.107 equation 7-31, loss not in bursts.
static double loss_impairment(enum codec_id codec, double loss_percent) {
    double impairment = codecs[codec].impairment;
    return impairment + (95 - impairment) * loss_percent / (loss_percent + codecs[codec].robustness);
}

double mos_rating(enum codec_id codec, double loss_percent, double delay_ms) {
    double rating = DEFAULT_RATING - delay_impairment(delay_ms) - loss_impairment(codec, loss_percent);
    return rating > 0 ? rating : 0;
}

double mos_score(double rating) {
    if (rating <= 0)
        return 1;
    if (rating >= 100)
        return 4.5;
    double score = 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6;
    return score > 1 ? score : 1; // it dips below for the smallest
}

static double percent(uint64_t part, uint64_t whole) {
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

void mos_of_leg(const struct leg_stats *stats, const struct leg_media *media, struct mos *out) {
    double way_ms = stats->rtt_us / 2000.0 + media->ptime_ms + codecs[media->codec].lookahead_ms;
    double loss = percent(stats->rx_lost, stats->rx_packets + stats->rx_lost);
    double remote_loss = percent(stats->remote_lost, stats->tx_packets);
    out->heard = mos_score(mos_rating(media->codec, loss, way_ms + stats->jitter_target_ms));
    out->sent =
        mos_score(mos_rating(media->codec, remote_loss < 100 ? remote_loss : 100, way_ms + FAR_JITTER_MS));
}
