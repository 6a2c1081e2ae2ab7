// SPDX-License-Identifier: Apache-2.0
#include "sip/trunk_sdp.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    PLAIN = SDP_RTP_AVP | SDP_RTP_AVPF,
    SECURE = SDP_RTP_SAVP | SDP_RTP_SAVPF,
    PT_OPUS = 96,
    PT_EVENT_48000 = 100,
    PT_EVENT_8000 = 101,
    PTIME_MAX_MS = 60,
};

void trunk_plan_wipe(struct trunk_plan *plan) {
    sdes_wipe(&plan->theirs);
}

// ---- reading

// An m-line whose keys are none of ours is none of ours. True when there was one.
static bool forget_unusable(struct sdp *sdp) {
    bool any = false;
    for (size_t i = 0; i < sdp->media_count; i++) {
        struct sdp_media *media = &sdp->media[i];
        struct sdes sdes;
        bool wants_keys = media->profile & SECURE;
        if (!wants_keys || sdes_choose(&sdes, media, 0) == 0) {
            sdes_wipe(&sdes);
            continue;
        }
        any = any || media->kind == SDP_AUDIO;
        media->profile = SDP_PROFILE_OTHER;
    }
    return any;
}

static bool is_any(struct span address) {
    return span_eq(address, "0.0.0.0") || span_eq(address, "::");
}

// Where they listen. A name is not resolved: where the media comes from will show.
static void read_addresses(struct trunk_plan *plan, const struct sdp_media *media) {
    char host[64];
    bool numeric = span_copy(media->connection.address, host, sizeof host) &&
                   udp_address_parse(&plan->rtp, host, media->port) == 0;
    if (!numeric || !udp_address_usable(&plan->rtp)) {
        plan->rtp = plan->rtcp = (union udp_address){0};
        return;
    }
    plan->rtcp = plan->rtp;
    uint16_t above = (uint16_t)(media->port + 1);
    if (!plan->rtcp_mux)
        udp_address_set_port(&plan->rtcp, media->rtcp_port ? media->rtcp_port : above);
}

// G.711 and G.722 come in any whole 10 ms, so that a peer that wants 30 gets 30.
static void refine_ptime(struct sdp_audio *audio) {
    uint32_t want = audio->media->ptime_ms, most = audio->media->maxptime_ms;
    bool fits = want >= 10 && want <= PTIME_MAX_MS && want % 10 == 0 && (!most || want <= most);
    if (fits && audio->codec != CODEC_OPUS)
        audio->ptime_ms = want;
}

// What offer and answer have in common.
static int read_plan(struct trunk_plan *plan, struct sdp *sdp, const struct sdp_nego_config *nego, int family,
                     struct err_text *err) {
    bool forgot = forget_unusable(sdp);
    int code = sdp_nego_choose(&plan->audio, sdp, nego, err);
    if (code == -ENOTSUP && forgot)
        return err_set(err, code,
                       "no SRTP suite in common: AEAD_AES_128_GCM and AES_CM_128_HMAC_SHA1_80 are taken, "
                       "without a MKI");
    if (code)
        return code;
    const struct sdp_media *media = plan->audio.media;
    if (!media->connection.address.len)
        return err_set(err, -EINVAL, "SDP line %u: the audio has no c= line", media->line);
    plan->rtcp_mux = media->rtcp_mux;
    if (is_any(media->connection.address)) // RFC 3264 section 8.4: hold as in RFC 2543
        plan->audio.direction &= SDP_RECVONLY;
    read_addresses(plan, media);
    if (family && udp_address_known(&plan->rtp) && plan->rtp.sa.sa_family != family)
        return err_set(err, -ENOTSUP, "SDP line %u: media at %.*s, and this call came over IPv%d",
                       media->line, SDP_SPAN(media->connection.address), family == AF_INET6 ? 6 : 4);
    refine_ptime(&plan->audio);
    return 0;
}

int trunk_sdp_read_offer(struct trunk_plan *out, struct sdp *offer, const struct trunk_sdp_config *config,
                         struct err_text *err) {
    const struct sdp_nego_config nego = {.codecs = config->codecs,
                                         .codec_count = config->codec_count,
                                         .order = SDP_ORDER_OURS,
                                         .profiles = config->require_srtp ? SECURE : PLAIN | SECURE,
                                         .comfort_noise = true};
    struct trunk_plan plan = {0};
    int code = read_plan(&plan, offer, &nego, config->family, err);
    if (code)
        return code;
    plan.secure = sdes_choose(&plan.theirs, plan.audio.media, 0) == 0;
    *out = plan;
    trunk_plan_wipe(&plan);
    return 0;
}

int trunk_sdp_read_answer(struct trunk_plan *out, struct sdp *answer, const struct trunk_sdp_config *config,
                          const struct sdes *ours, size_t *chosen, struct err_text *err) {
    const struct sdp_nego_config nego = {.codecs = config->codecs,
                                         .codec_count = config->codec_count,
                                         .order = SDP_ORDER_OFFER,
                                         .profiles = ours ? SECURE : PLAIN};
    struct trunk_plan plan = {0};
    int code = read_plan(&plan, answer, &nego, config->family, err);
    if (code)
        return code;
    for (size_t i = 0; ours && i < TRUNK_SDP_SUITES && !plan.secure; i++) {
        plan.secure = sdes_choose(&plan.theirs, plan.audio.media, ours[i].tag) == 0 &&
                      plan.theirs.profile == ours[i].profile;
        *chosen = plan.secure ? i : *chosen;
    }
    if (ours && !plan.secure) {
        trunk_plan_wipe(&plan);
        return err_set(err, -ENOTSUP, "the answer took none of the SRTP keys that were offered");
    }
    *out = plan;
    trunk_plan_wipe(&plan);
    return 0;
}

// ---- writing

static void write_session(struct sdp_writer *w, const struct trunk_local *local) {
    int family = strchr(local->address, ':') ? 6 : 4;
    sdp_printf(w, "v=0");
    sdp_printf(w, "o=- %" PRIu64 " %u IN IP%d %s", local->session_id, local->version, family, local->address);
    sdp_printf(w, "s=-");
    sdp_printf(w, "c=IN IP%d %s", family, local->address);
    sdp_printf(w, "t=0 0");
}

static void write_audio(struct sdp_writer *w, const struct trunk_plan *plan, const struct trunk_local *local,
                        const struct sdes *ours) {
    char formats[16];
    sdp_nego_formats(&plan->audio, formats);
    sdp_printf(w, "m=audio %u %.*s %s", local->rtp_port, SDP_SPAN(plan->audio.media->proto), formats);
    if (plan->audio.media->mid.len)
        sdp_printf(w, "a=mid:%.*s", SDP_SPAN(plan->audio.media->mid));
    if (plan->secure)
        sdes_write(w, ours);
    sdp_nego_write(w, &plan->audio);
    if (plan->rtcp_mux)
        sdp_printf(w, "a=rtcp-mux");
    else
        sdp_printf(w, "a=rtcp:%u", local->rtp_port + 1u);
}

int trunk_sdp_write_answer(const struct sdp *offer, const struct trunk_plan *plan,
                           const struct trunk_local *local, const struct sdes *ours, char *buf, size_t cap) {
    struct sdp_writer w;
    sdp_writer_init(&w, buf, cap);
    write_session(&w, local);
    for (size_t i = 0; i < offer->media_count; i++) {
        if (i == plan->audio.media_index)
            write_audio(&w, plan, local, ours);
        else
            sdp_write_refused(&w, &offer->media[i]);
    }
    return sdp_writer_done(&w);
}

// What a refused m-line repeats is in the offer once; the rest is of bounded size.
size_t trunk_sdp_answer_cap(const struct sdp *offer, size_t offer_len) {
    return 2 * offer_len + 4096 + offer->media_count * 128;
}

static int payload_type_of(enum codec_id codec) {
    int fixed = codec_desc(codec)->static_payload_type;
    return fixed >= 0 ? fixed : PT_OPUS;
}

static bool has_codec(const struct trunk_sdp_config *config, uint32_t clock_hz) {
    for (size_t i = 0; i < config->codec_count; i++)
        if (codec_desc(config->codecs[i])->clock_hz == clock_hz)
            return true;
    return false;
}

static void write_event(struct sdp_writer *w, int payload_type, uint32_t clock_hz) {
    sdp_printf(w, "a=rtpmap:%d telephone-event/%u", payload_type, clock_hz);
    sdp_printf(w, "a=fmtp:%d 0-15", payload_type);
}

static void write_codec(struct sdp_writer *w, enum codec_id codec) {
    const struct codec_desc *desc = codec_desc(codec);
    int payload_type = payload_type_of(codec);
    const char *channels = desc->sdp_channels > 1 ? "/2" : "";
    sdp_printf(w, "a=rtpmap:%d %s/%u%s", payload_type, desc->rtp_name, desc->clock_hz, channels);
    if (codec == CODEC_OPUS)
        sdp_printf(w, "a=fmtp:%d useinbandfec=1", payload_type);
}

int trunk_sdp_write_offer(const struct trunk_sdp_config *config, const struct trunk_local *local,
                          const struct sdes *ours, char *buf, size_t cap) {
    struct sdp_writer w;
    char formats[64] = "";
    size_t len = 0;
    bool wide_events = has_codec(config, 48000);
    for (size_t i = 0; i < config->codec_count && len < sizeof formats; i++)
        len +=
            (size_t)snprintf(formats + len, sizeof formats - len, " %d", payload_type_of(config->codecs[i]));
    sdp_writer_init(&w, buf, cap);
    write_session(&w, local);
    sdp_printf(&w, wide_events ? "m=audio %u %s%s %d %d" : "m=audio %u %s%s %d", local->rtp_port,
               ours ? "RTP/SAVP" : "RTP/AVP", formats, PT_EVENT_8000, PT_EVENT_48000);
    for (size_t i = 0; ours && i < TRUNK_SDP_SUITES; i++)
        sdes_write(&w, &ours[i]);
    for (size_t i = 0; i < config->codec_count; i++)
        write_codec(&w, config->codecs[i]);
    write_event(&w, PT_EVENT_8000, 8000);
    if (wide_events)
        write_event(&w, PT_EVENT_48000, 48000);
    sdp_printf(&w, "a=ptime:20");
    sdp_printf(&w, "a=maxptime:%d", PTIME_MAX_MS);
    sdp_printf(&w, "a=sendrecv");
    sdp_printf(&w, "a=rtcp:%u", local->rtp_port + 1u);
    return sdp_writer_done(&w);
}
