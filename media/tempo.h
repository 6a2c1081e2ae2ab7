// SPDX-License-Identifier: Apache-2.0
// Makes speech a little shorter or longer without changing its pitch: one period, 2.5 to 12.5 ms, is taken
// out or put in where the waveform is most like itself, and the seam is faded. Pure. No heap.
#ifndef IQ_MEDIA_TEMPO_H
#define IQ_MEDIA_TEMPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// In place. Returns the samples left: all of them when there are too few to find a period in (under 7.5 ms).
size_t tempo_shorten(int16_t *pcm, size_t samples, uint32_t rate_hz);
// In place, to at most `cap` samples. Returns the samples now; unchanged when too few, or without room.
size_t tempo_lengthen(int16_t *pcm, size_t samples, size_t cap, uint32_t rate_hz);

// Near silence: what is left out or played twice of it nobody hears.
bool tempo_is_quiet(const int16_t *pcm, size_t samples);

#endif
