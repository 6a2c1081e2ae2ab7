// SPDX-License-Identifier: Apache-2.0
// How a leg sounds, estimated: the E-model (ITU-T G.107) with all its defaults but delay, codec and random
// loss. Narrow-band scale: wideband is rated as high as clean G.711 and no higher. Pure.
#ifndef IQ_MEDIA_MOS_H
#define IQ_MEDIA_MOS_H

#include "media/leg.h"

// `delay_ms` from mouth to ear, `loss_percent` after the jitter buffer. Returns R, 0 to 93.2.
double mos_rating(enum codec_id codec, double loss_percent, double delay_ms);
// G.107 Annex B: the mean opinion score of R, 1 to 4.5.
double mos_score(double rating);

struct mos {
    double heard; // of what we receive
    double sent;  // of what the far end receives, by its reports; that of no loss while there are none
};
void mos_of_leg(const struct leg_stats *stats, const struct leg_media *media, struct mos *out);

#endif
