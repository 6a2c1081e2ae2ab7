// SPDX-License-Identifier: Apache-2.0
// Mono PCM from one rate to another, as a stream: the blocks of one stream must come in order through one
// resampler.
//
// Counts never wobble. After `i` samples in, exactly ceil(i * out_rate / in_rate) have come out, so a steady
// block of N ms gives N ms each time wherever both are whole numbers of samples, from the first block on
// (which begins with the filter's latency as silence). One thread at a time.
#ifndef IQ_MEDIA_RESAMPLE_H
#define IQ_MEDIA_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

struct resampler;

// Rates from 4000 to 192000 Hz, else -EINVAL. -ENOMEM. Equal rates cost a copy and have neither filter nor
// latency.
int resampler_new(struct resampler **out, uint32_t in_rate_hz, uint32_t out_rate_hz);
void resampler_free(struct resampler *resampler); // NULL is fine

// Takes all of `in` and returns the samples written to `out`, or -ENOBUFS (with nothing taken) where
// resampler_count says more than `out_cap`. `in` and `out` must not overlap. No allocation.
int resampler_run(struct resampler *resampler, const int16_t *in, size_t in_samples, int16_t *out,
                  size_t out_cap);
// How many samples the next run over `in_samples` will write.
size_t resampler_count(const struct resampler *resampler, size_t in_samples);

uint32_t
resampler_latency_us(const struct resampler *resampler); // how much later a sound comes out than it went in
void resampler_reset(struct resampler *resampler);       // forgets the past: an unrelated stream begins

#endif
