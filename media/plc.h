// SPDX-License-Identifier: Apache-2.0
// Concealment for codecs that have none of their own, in the way of ITU-T G.711 appendix I: the last period
// of the voice goes on, full for 10 ms and then fading to silence at 60 ms, and what comes after the gap is
// faded in. At any rate from 8 to 16 kHz. Pure. No heap.
#ifndef IQ_MEDIA_PLC_H
#define IQ_MEDIA_PLC_H

#include <stddef.h>
#include <stdint.h>

enum {
    PLC_MAX_RATE_HZ = 16000,
    PLC_PAST_SAMPLES = PLC_MAX_RATE_HZ * 35 / 1000, // the longest period and what it is compared over
    PLC_PERIOD_SAMPLES = PLC_MAX_RATE_HZ * 15 / 1000,
};

struct plc {
    uint32_t rate_hz;
    uint32_t past_at;                   // of the ring: where the next sample goes, and the oldest is
    size_t period_len, at;              // in `period`; period_len 0: the last samples were good
    size_t made_up;                     // samples of this gap
    int16_t past[PLC_PAST_SAMPLES];     // a ring
    int16_t period[PLC_PERIOD_SAMPLES]; // what is repeated in a gap
};

void plc_start(struct plc *plc, uint32_t rate_hz);
// Good samples. The first after a gap are faded in from what was made up, in place.
void plc_good(struct plc *plc, int16_t *pcm, size_t samples);
void plc_make_up(struct plc *plc, int16_t *pcm, size_t samples);

#endif
