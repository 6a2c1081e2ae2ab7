// SPDX-License-Identifier: Apache-2.0
#include "webrtc/peer_sdp.h"

#include "webrtc/datachan.h"
#include "webrtc/ice_candidate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// ---- the offer

static bool is_open(const struct sdp_media *media) {
    return media->port || media->bundle_only;
}

// On the audio's transport, or nowhere: a second transport is none of ours.
static bool shares_transport(const struct sdp *offer, const struct sdp_media *audio,
                             const struct sdp_media *media) {
    return sdp_bundled(offer, audio) && sdp_bundled(offer, media);
}

static const struct sdp_media *find_application(const struct sdp *offer, const struct sdp_media *audio) {
    for (size_t i = 0; i < offer->media_count; i++) {
        const struct sdp_media *media = &offer->media[i];
        bool channels = media->kind == SDP_APPLICATION && media->profile == SDP_DTLS_SCTP && is_open(media) &&
                        media->format_count && span_eq(media->formats[0].token, "webrtc-datachannel");
        if (channels && shares_transport(offer, audio, media))
            return media;
    }
    return NULL;
}

// The m-line that carries the transport's attributes: the audio's own, or, when it has none since it is
// bundled, the first of the group that does (RFC 8843 section 7.1.3).
static const struct sdp_transport *find_transport(const struct sdp *offer, const struct sdp_media *audio) {
    if (audio->transport.ice_ufrag.len)
        return &audio->transport;
    for (size_t i = 0; i < offer->media_count; i++) {
        const struct sdp_media *media = &offer->media[i];
        if (media->transport.ice_ufrag.len && shares_transport(offer, audio, media))
            return &media->transport;
    }
    return &audio->transport;
}

static int read_credentials(struct peer_plan *plan, const struct sdp_transport *transport,
                            struct err_text *err) {
    bool fit = span_copy(transport->ice_ufrag, plan->ufrag, sizeof plan->ufrag) &&
               span_copy(transport->ice_pwd, plan->pwd, sizeof plan->pwd);
    if (!transport->ice_ufrag.len || !transport->ice_pwd.len)
        return err_set(err, -EPROTO, "the offer has no a=ice-ufrag and a=ice-pwd");
    if (!fit || !ice_credentials_valid(plan->ufrag, plan->pwd))
        return err_set(err, -EPROTO, "a=ice-ufrag or a=ice-pwd is malformed");
    return 0;
}

// SHA-256 first, for every browser has it.
static const struct sdp_fingerprint *find_fingerprint(const struct sdp_transport *transport) {
    static const struct {
        const char *name;
        size_t len;
    } hashes[] = {{"sha-256", 32}, {"sha-384", 48}, {"sha-512", 64}};
    for (size_t h = 0; h < sizeof hashes / sizeof hashes[0]; h++) {
        for (size_t i = 0; i < transport->fingerprint_count; i++) {
            const struct sdp_fingerprint *found = &transport->fingerprints[i];
            if (span_eq_nocase(found->hash, hashes[h].name) && found->len == hashes[h].len)
                return found;
        }
    }
    return NULL;
}

static int read_dtls(struct peer_plan *plan, const struct sdp_transport *transport, struct err_text *err) {
    const struct sdp_fingerprint *found = find_fingerprint(transport);
    if (!found)
        return err_set(err, -EPROTO, "the offer has no a=fingerprint of sha-256, sha-384 or sha-512");
    if (transport->setup == SDP_SETUP_HOLDCONN)
        return err_set(err, -EPROTO, "a=setup:holdconn is not supported");
    span_copy(found->hash, plan->fingerprint.hash, sizeof plan->fingerprint.hash);
    memcpy(plan->fingerprint.digest, found->bytes, found->len);
    plan->fingerprint.len = found->len;
    plan->may_be_client = transport->setup != SDP_SETUP_ACTIVE;
    plan->may_be_server = transport->setup != SDP_SETUP_PASSIVE;
    return 0;
}

static bool has_option(struct span options, const char *name) {
    struct span word;
    while (span_word(&options, &word)) {
        if (span_eq(word, name))
            return true;
    }
    return false;
}

int peer_sdp_read(struct peer_plan *out, const struct sdp *offer, struct err_text *err) {
    static const enum codec_id codecs[] = {CODEC_OPUS, CODEC_PCMU, CODEC_PCMA, CODEC_G722};
    static const struct sdp_nego_config config = {.codecs = codecs,
                                                  .codec_count = sizeof codecs / sizeof codecs[0],
                                                  .order = SDP_ORDER_OFFER,
                                                  .profiles = SDP_PROFILES_DTLS};
    memset(out, 0, sizeof *out);
    int code = sdp_nego_choose(&out->audio, offer, &config, err);
    if (code)
        return code;
    const struct sdp_media *audio = out->audio.media;
    if (!audio->rtcp_mux)
        return err_set(err, -EPROTO, "the audio m-line has no a=rtcp-mux, which is required");
    if (!span_copy(audio->mid, out->mid, sizeof out->mid))
        return err_set(err, -EPROTO, "a=mid is longer than %d bytes", PEER_SDP_MAX_MID - 1);
    const struct sdp_transport *transport = find_transport(offer, audio);
    code = read_credentials(out, transport, err);
    if (!code)
        code = read_dtls(out, transport, err);
    if (code)
        return code;
    out->application = find_application(offer, audio);
    out->trickle = has_option(transport->ice_options, "trickle");
    return 0;
}

// ---- the answer

static void write_session(struct sdp_writer *w, const struct peer_answer *answer) {
    const struct peer_plan *plan = answer->plan;
    sdp_printf(w, "v=0");
    sdp_printf(w, "o=- %" PRIu64 " %u IN IP4 127.0.0.1", answer->session_id, answer->version);
    sdp_printf(w, "s=-");
    sdp_printf(w, "t=0 0");
    if (sdp_bundled(answer->offer, plan->audio.media) && plan->application)
        sdp_printf(w, "a=group:BUNDLE %s %.*s", plan->mid, SDP_SPAN(plan->application->mid));
    else if (sdp_bundled(answer->offer, plan->audio.media))
        sdp_printf(w, "a=group:BUNDLE %s", plan->mid);
}

// Repeated in every accepted m-line, as Chromium does, for not every reader of answers looks at the first of
// the group.
static void write_transport(struct sdp_writer *w, const struct peer_answer *answer,
                            const struct sdp_media *media) {
    sdp_printf(w, "c=IN IP4 0.0.0.0");
    sdp_printf(w, "a=ice-ufrag:%s", answer->ufrag);
    sdp_printf(w, "a=ice-pwd:%s", answer->pwd);
    sdp_printf(w, "a=ice-options:trickle");
    sdp_printf(w, "a=fingerprint:sha-256 %s", answer->fingerprint);
    sdp_printf(w, "a=setup:%s", answer->role == DTLS_CLIENT ? "active" : "passive");
    if (media->mid.len)
        sdp_printf(w, "a=mid:%.*s", SDP_SPAN(media->mid));
}

static void write_candidates(struct sdp_writer *w, const struct peer_answer *answer) {
    const char *candidate;
    for (size_t i = 0; answer->candidate && (candidate = answer->candidate(i, answer->arg)); i++)
        sdp_printf(w, "a=%s", candidate);
    if (answer->candidate && answer->candidates_end)
        sdp_printf(w, "a=end-of-candidates");
}

static void write_audio(struct sdp_writer *w, const struct peer_answer *answer) {
    const struct sdp_audio *audio = &answer->plan->audio;
    char formats[16];
    sdp_nego_formats(audio, formats);
    sdp_printf(w, "m=audio 9 %.*s %s", SDP_SPAN(audio->media->proto), formats);
    write_transport(w, answer, audio->media);
    write_candidates(w, answer);
    sdp_nego_write(w, audio);
    sdp_printf(w, "a=rtcp-mux");
    if (!(audio->direction & SDP_SENDONLY))
        return;
    // Pages take the stream from `event.streams[0]`, which exists only by virtue of this line.
    sdp_printf(w, "a=msid:iqra agent");
    sdp_printf(w, "a=ssrc:%u cname:%s", answer->ssrc, answer->cname);
}

static void write_application(struct sdp_writer *w, const struct peer_answer *answer) {
    const struct sdp_media *media = answer->plan->application;
    sdp_printf(w, "m=application 9 %.*s webrtc-datachannel", SDP_SPAN(media->proto));
    write_transport(w, answer, media);
    sdp_printf(w, "a=sctp-port:%d", PEER_SDP_SCTP_PORT);
    sdp_printf(w, "a=max-message-size:%d", DATACHAN_MAX_MESSAGE);
}

int peer_sdp_answer(const struct peer_answer *answer, char *buf, size_t cap) {
    struct sdp_writer w;
    sdp_writer_init(&w, buf, cap);
    write_session(&w, answer);
    for (size_t i = 0; i < answer->offer->media_count; i++) {
        const struct sdp_media *media = &answer->offer->media[i];
        if (media == answer->plan->audio.media)
            write_audio(&w, answer);
        else if (media == answer->plan->application)
            write_application(&w, answer);
        else
            sdp_write_refused(&w, media);
    }
    return sdp_writer_done(&w);
}

// What a refused m-line repeats is in the offer once, a mid at most three times; the rest is of bounded size.
size_t peer_sdp_answer_cap(const struct sdp *offer, size_t offer_len) {
    return 3 * offer_len + 32 * 1024 + offer->media_count * 128;
}
