// SPDX-License-Identifier: Apache-2.0
// Digits heard as tones in PCM (spandsp). Nothing allocates after dtmf_inband_new. One thread.
#ifndef IQ_MEDIA_DTMF_INBAND_H
#define IQ_MEDIA_DTMF_INBAND_H

#include <stddef.h>
#include <stdint.h>

struct dtmf_inband;

// PCM at `rate_hz`, 8000 or a rate that the resampler takes. `on_digit` is called from dtmf_inband_hear. -ENOMEM.
int dtmf_inband_new(struct dtmf_inband **out, uint32_t rate_hz, void (*on_digit)(char digit, void *arg),
                    void *arg);
void dtmf_inband_free(struct dtmf_inband *ear); // NULL is fine
void dtmf_inband_hear(struct dtmf_inband *ear, const int16_t *pcm, size_t samples);

#endif
