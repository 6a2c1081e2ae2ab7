// SPDX-License-Identifier: Apache-2.0
// Mono PCM to a whole multiple of its rate or from it, as a stream: a windowed sinc of 48 taps of the lower rate, in
// 16 bits, which compilers turn into a few vector instructions. Flat to 3.3 of 8 kHz, 65 dB down beyond 4.1; 3 ms
// late at 8 kHz. For other ratios there is media/resample.h, which uses this. One thread at a time.
#ifndef IQ_MEDIA_POLYPHASE_H
#define IQ_MEDIA_POLYPHASE_H

#include <stddef.h>
#include <stdint.h>

enum { POLYPHASE_MAX_RATIO = 6 };

struct polyphase;

// `up` samples out for `down` in: one of them is 1, the other 2 to POLYPHASE_MAX_RATIO; else -EINVAL. -ENOMEM.
int polyphase_new(struct polyphase **out, uint32_t up, uint32_t down);
void polyphase_free(struct polyphase *filter); // NULL is fine

// Takes all of `in`. After `i` samples in, ceil(i * up / down) have come out; `out` has the room.
void polyphase_run(struct polyphase *filter, const int16_t *in, size_t in_samples, int16_t *out);
uint32_t polyphase_latency(const struct polyphase *filter); // in samples that go in
void polyphase_reset(struct polyphase *filter);

#endif
