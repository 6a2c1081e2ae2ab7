// SPDX-License-Identifier: Apache-2.0
#include "media/sdp_nego.h"

#include <stdio.h>
#include <string.h>

enum { PTIME_DEFAULT_MS = 20, PTIME_MAX_MS = 60 };

static bool format_is(const struct sdp_format *format, enum codec_id codec) {
    const struct codec_desc *desc = codec_desc(codec);
    return desc && format->payload_type >= 0 && span_eq_nocase(format->encoding, desc->rtp_name) &&
           format->clock_hz == desc->clock_hz && format->channels == desc->sdp_channels;
}

static const struct sdp_format *first_in_offer(const struct sdp_media *media,
                                               const struct sdp_nego_config *config, enum codec_id *codec) {
    for (size_t f = 0; f < media->format_count; f++)
        for (size_t c = 0; c < config->codec_count; c++)
            if (format_is(&media->formats[f], config->codecs[c])) {
                *codec = config->codecs[c];
                return &media->formats[f];
            }
    return NULL;
}

static const struct sdp_format *first_of_ours(const struct sdp_media *media,
                                              const struct sdp_nego_config *config, enum codec_id *codec) {
    for (size_t c = 0; c < config->codec_count; c++)
        for (size_t f = 0; f < media->format_count; f++)
            if (format_is(&media->formats[f], config->codecs[c])) {
                *codec = config->codecs[c];
                return &media->formats[f];
            }
    return NULL;
}

static const struct sdp_format *common_codec(const struct sdp_media *media,
                                             const struct sdp_nego_config *config, enum codec_id *codec) {
    if (!(media->profile & config->profiles))
        return NULL;
    return config->order == SDP_ORDER_OFFER ? first_in_offer(media, config, codec)
                                            : first_of_ours(media, config, codec);
}

// Events share the SSRC of the audio and so ought to share its clock (RFC 4733 section 2.1); Firefox offers
// none at 48000 and sends them at 8000 beside Opus all the same.
static const struct sdp_format *find_dtmf(const struct sdp_media *media, uint32_t clock_hz) {
    const struct sdp_format *other = NULL;
    for (size_t f = 0; f < media->format_count; f++) {
        const struct sdp_format *format = &media->formats[f];
        if (format->payload_type < 0 || !span_eq_nocase(format->encoding, "telephone-event"))
            continue;
        if (format->clock_hz == clock_hz)
            return format;
        if (!other)
            other = format;
    }
    return other;
}

static const struct sdp_format *find_comfort_noise(const struct sdp_media *media, enum codec_id codec) {
    for (size_t f = 0; f < media->format_count; f++) {
        const struct sdp_format *format = &media->formats[f];
        bool noise = format->payload_type >= 0 && span_eq_nocase(format->encoding, "CN");
        if (noise && format->clock_hz == 8000 && (codec == CODEC_PCMU || codec == CODEC_PCMA))
            return format;
    }
    return NULL;
}

// The longest frame we make that is no longer than asked for and allowed.
static uint32_t choose_ptime(const struct sdp_media *media) {
    static const uint32_t frames_ms[] = {60, 40, 20, 10};
    uint32_t want = media->ptime_ms ? media->ptime_ms : PTIME_DEFAULT_MS;
    if (media->maxptime_ms && media->maxptime_ms < want)
        want = media->maxptime_ms;
    for (size_t i = 0; i < sizeof frames_ms / sizeof frames_ms[0]; i++)
        if (frames_ms[i] <= want)
            return frames_ms[i];
    return 10;
}

static void fill(struct sdp_audio *out, const struct sdp_media *media, const struct sdp_format *format,
                 enum codec_id codec, bool comfort_noise) {
    const struct sdp_format *noise = comfort_noise ? find_comfort_noise(media, codec) : NULL;
    const struct sdp_format *dtmf = find_dtmf(media, format->clock_hz);
    struct span fec;
    *out = (struct sdp_audio){
        .media = media,
        .codec = codec,
        .payload_type = (uint8_t)format->payload_type,
        .fmtp = codec == CODEC_OPUS ? "minptime=10;useinbandfec=1" : "",
        .peer_wants_fec = sdp_fmtp_param(format->fmtp, "useinbandfec", &fec) && span_eq(fec, "1"),
        .dtmf_payload_type = dtmf ? dtmf->payload_type : -1,
        .dtmf_clock_hz = dtmf ? dtmf->clock_hz : 0,
        .cn_payload_type = noise ? noise->payload_type : -1,
        .ptime_ms = choose_ptime(media),
        .direction = sdp_direction_turned(media->direction),
    };
}

// Port 0 is open only where BUNDLE has a transport for it (RFC 8843 section 6); else it was rejected.
static bool is_open_audio(const struct sdp *offer, const struct sdp_media *media) {
    return media->kind == SDP_AUDIO && (media->port || (media->bundle_only && sdp_bundled(offer, media)));
}

static void list_codecs(const struct sdp_media *media, char *out, size_t out_size) {
    size_t len = 0;
    out[0] = '\0';
    for (size_t f = 0; f < media->format_count && len < out_size; f++)
        len += (size_t)snprintf(out + len, out_size - len, " %.*s/%u", SDP_SPAN(media->formats[f].encoding),
                                media->formats[f].clock_hz);
}

static int refuse(const struct sdp *offer, const struct sdp_nego_config *config, struct err_text *err) {
    const struct sdp_media *open = NULL, *ours = NULL;
    for (size_t i = 0; i < offer->media_count; i++) {
        const struct sdp_media *media = &offer->media[i];
        if (!is_open_audio(offer, media))
            continue;
        open = open ? open : media;
        ours = !ours && (media->profile & config->profiles) ? media : ours;
    }
    if (!open)
        return err_set(err, -ENOENT, "the SDP has no open audio m-line");
    if (!ours)
        return err_set(err, -ENOTSUP, "SDP line %u: audio over %.*s is not taken here", open->line,
                       SDP_SPAN(open->proto));
    char offered[160];
    list_codecs(ours, offered, sizeof offered);
    return err_set(err, -ENOTSUP, "SDP line %u: no codec in common; offered:%s", ours->line, offered);
}

int sdp_nego_choose(struct sdp_audio *out, const struct sdp *offer, const struct sdp_nego_config *config,
                    struct err_text *err) {
    bool found = false;
    for (size_t i = 0; i < offer->media_count; i++) {
        const struct sdp_media *media = &offer->media[i];
        bool active = media->direction != SDP_INACTIVE;
        enum codec_id codec = CODEC_COUNT;
        const struct sdp_format *format =
            is_open_audio(offer, media) && (active || !found) ? common_codec(media, config, &codec) : NULL;
        if (!format)
            continue;
        fill(out, media, format, codec, config->comfort_noise);
        out->media_index = i;
        if (active)
            return 0;
        found = true;
    }
    return found ? 0 : refuse(offer, config, err);
}

void sdp_nego_formats(const struct sdp_audio *audio, char out[16]) {
    int len = snprintf(out, 16, "%u", audio->payload_type);
    if (audio->dtmf_payload_type >= 0)
        len += snprintf(out + len, 16 - (size_t)len, " %d", audio->dtmf_payload_type);
    if (audio->cn_payload_type >= 0)
        snprintf(out + len, 16 - (size_t)len, " %d", audio->cn_payload_type);
}

void sdp_nego_write(struct sdp_writer *writer, const struct sdp_audio *audio) {
    const struct codec_desc *desc = codec_desc(audio->codec);
    if (desc->sdp_channels > 1)
        sdp_printf(writer, "a=rtpmap:%u %s/%u/%u", audio->payload_type, desc->rtp_name, desc->clock_hz,
                   desc->sdp_channels);
    else
        sdp_printf(writer, "a=rtpmap:%u %s/%u", audio->payload_type, desc->rtp_name, desc->clock_hz);
    if (audio->fmtp[0])
        sdp_printf(writer, "a=fmtp:%u %s", audio->payload_type, audio->fmtp);
    if (audio->dtmf_payload_type >= 0) {
        sdp_printf(writer, "a=rtpmap:%d telephone-event/%u", audio->dtmf_payload_type, audio->dtmf_clock_hz);
        sdp_printf(writer, "a=fmtp:%d 0-15", audio->dtmf_payload_type);
    }
    if (audio->cn_payload_type >= 0)
        sdp_printf(writer, "a=rtpmap:%d CN/8000", audio->cn_payload_type);
    sdp_printf(writer, "a=ptime:%u", audio->ptime_ms);
    sdp_printf(writer, "a=maxptime:%d", PTIME_MAX_MS);
    sdp_printf(writer, "a=%s", sdp_direction_name(audio->direction));
}
