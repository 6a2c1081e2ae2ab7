// SPDX-License-Identifier: Apache-2.0
//
//   peer_offer: sdp_read -> peer_sdp_read -> check against what is there -> apply what can fail -> ICE
//               -> peer_sdp_answer
//
// Whatever fails does so before an established connection is touched.
#include "webrtc/peer_impl.h"

#include "gateway/core/log.h"
#include "webrtc/ice_candidate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CANDIDATES = 128, MAX_CANDIDATE_LEN = 1024 };

struct offer {
    struct sdp sdp;
    struct peer_plan plan;
};

static int offer_read(struct offer *offer, const char *text, size_t len, struct err_text *err) {
    if (sdp_read(&offer->sdp, span_of(text, len), err) != 0)
        return -EINVAL;
    return peer_sdp_read(&offer->plan, &offer->sdp, err);
}

// A later offer must fit what is there: one DTLS association for the life of the peer.
static int offer_check(const struct peer *peer, const struct peer_plan *plan, struct err_text *err) {
    const struct dtls_fingerprint *old = &peer->fingerprint, *now = &plan->fingerprint;
    bool same = old->len == now->len && memcmp(old->digest, now->digest, old->len) == 0;
    if (!same)
        return err_set(err, -EPROTO,
                       "a later offer may not change the DTLS fingerprint: hang up and call again");
    if (peer->role == DTLS_CLIENT ? !plan->may_be_client : !plan->may_be_server)
        return err_set(err, -EPROTO, "a later offer may not change the DTLS role (a=setup): offer actpass");
    return 0;
}

// Everything that can fail, before anything of an established connection is touched.
static int offer_apply(struct peer *peer, struct offer *offer, bool *changed, struct err_text *err) {
    struct peer_plan *plan = &offer->plan;
    if (plan->application && !peer->channels) {
        int code = peer->env->sctp ? peer_make_channels(peer, plan) : -ENOTSUP;
        if (code) {
            log_warn(peer->call_id, "peer", "the data channel is refused (%s)", err_name(code));
            plan->application = NULL;
        }
    }
    int code = 0;
    if (!peer->gathered) {
        ice_set_controlling(peer->ice, offer->sdp.ice_lite);
        code = ice_gather(peer->ice);
        if (code)
            return err_set(err, code, "no local address or no free port between %u and %u",
                           peer->env->udp_port_min, peer->env->udp_port_max);
        peer->gathered = true;
    }
    code = peer_media_apply(peer->media, &plan->audio, changed);
    if (code)
        return err_set(err, code, "the codec cannot be set up (%s)", err_name(code));
    // Last, for it binds the peer to this offer's fingerprint.
    code = peer->dtls ? 0 : peer_make_dtls(peer, plan);
    return code ? err_set(err, code, "DTLS cannot be set up (%s)", err_name(code)) : 0;
}

static int candidate_in(struct peer *peer, const char *text, const char *ufrag) {
    if (peer->candidate_count == MAX_CANDIDATES)
        return -ENOSPC;
    peer->candidate_count++;
    return ice_add_candidate(peer->ice, text, ufrag);
}

void peer_forget_candidates(struct peer *peer) {
    for (unsigned i = 0; i < peer->early_count; i++) {
        free(peer->early[i].text);
        free(peer->early[i].ufrag);
    }
    peer->early_count = 0;
}

static void early_flush(struct peer *peer) {
    for (unsigned i = 0; i < peer->early_count; i++)
        candidate_in(peer, peer->early[i].text, peer->early[i].ufrag);
    peer_forget_candidates(peer);
}

static void offer_candidates(struct peer *peer, const struct offer *offer) {
    for (size_t i = 0; i < offer->sdp.media_count; i++) {
        struct span cursor = offer->sdp.media[i].text, line;
        bool ours = &offer->sdp.media[i] == offer->plan.audio.media ||
                    (sdp_bundled(&offer->sdp, offer->plan.audio.media) &&
                     sdp_bundled(&offer->sdp, &offer->sdp.media[i]));
        while (ours && sdp_next_candidate(&cursor, &line)) {
            char text[MAX_CANDIDATE_LEN];
            if (span_copy(line, text, sizeof text))
                candidate_in(peer, text, offer->plan.ufrag);
        }
    }
}

static void offer_ice(struct peer *peer, const struct offer *offer) {
    const struct peer_plan *plan = &offer->plan;
    bool restarted = false;
    ice_remote_credentials(peer->ice, plan->ufrag, plan->pwd, &restarted);
    if (restarted) {
        log_info(peer->call_id, "peer", "ICE restart");
        peer->candidate_count = 0;
    }
    if (restarted && peer->up)
        peer_guard(peer);
    offer_candidates(peer, offer);
    early_flush(peer);
    if (!plan->trickle || plan->audio.media->end_of_candidates || peer->early_done)
        ice_remote_done(peer->ice);
    peer->early_done = false;
}

static const char *own_candidate(size_t index, void *arg) {
    return ice_local_candidate(arg, index);
}

static int offer_answer(struct peer *peer, const struct offer *offer, char *buf, size_t cap) {
    // The first answer of a trickling browser goes out bare, for candidates follow at once. Later ones repeat
    // ours, as after a restart they count for the new generation.
    bool with_candidates = peer->version > 0 || !offer->plan.trickle;
    const struct peer_answer answer = {.offer = &offer->sdp,
                                       .plan = &offer->plan,
                                       .session_id = peer->session_id,
                                       .version = ++peer->version,
                                       .ufrag = ice_ufrag(peer->ice),
                                       .pwd = ice_pwd(peer->ice),
                                       .fingerprint = cert_fingerprint(peer->env->cert),
                                       .role = peer->role,
                                       .ssrc = audio_session_ssrc(peer_media_session(peer->media)),
                                       .cname = audio_session_cname(peer_media_session(peer->media)),
                                       .candidate = with_candidates ? own_candidate : NULL,
                                       .arg = peer->ice,
                                       .candidates_end = ice_gathering_done(peer->ice)};
    if (with_candidates)
        ice_candidates_told(peer->ice);
    int len = peer_sdp_answer(&answer, buf, cap);
    return len < 0 ? len : 0;
}

static int offer_accept(struct peer *peer, struct offer *offer, size_t len, char **answer,
                        struct err_text *err) {
    bool later = peer->version > 0, changed = false;
    int code = later ? offer_check(peer, &offer->plan, err) : 0;
    if (code)
        return code;
    size_t cap = peer_sdp_answer_cap(&offer->sdp, len);
    char *text = malloc(cap);
    if (!text)
        return err_set(err, -ENOMEM, "out of memory");
    code = offer_apply(peer, offer, &changed, err);
    if (code) {
        free(text);
        return code;
    }
    snprintf(peer->mid, sizeof peer->mid, "%s", offer->plan.mid);
    peer->mline_index = (int)offer->plan.audio.media_index;
    offer_ice(peer, offer);
    code = offer_answer(peer, offer, text, cap);
    if (code) {
        free(text);
        return err_set(err, code, "the answer cannot be written (%s)", err_name(code));
    }
    if (!later)
        peer_guard(peer);
    *answer = text;
    if (later && changed && peer->up)
        peer->events->on_media(peer->events_arg);
    return 0;
}

int peer_offer(struct peer *peer, const char *sdp, size_t len, char **answer, struct err_text *err) {
    if (peer->ended || peer->closing)
        return err_set(err, -EPIPE, "the connection has ended");
    struct offer *offer = calloc(1, sizeof *offer); // too large for a stack
    if (!offer)
        return err_set(err, -ENOMEM, "out of memory");
    int code = offer_read(offer, sdp, len, err);
    if (!code)
        code = offer_accept(peer, offer, len, answer, err);
    free(offer);
    return code;
}

int peer_add_candidate(struct peer *peer, const struct peer_candidate *candidate) {
    if (peer->ended || peer->closing)
        return 0;
    bool first_offer_came = peer->version > 0;
    if (!candidate->candidate || !candidate->candidate[0]) {
        if (first_offer_came)
            ice_remote_done(peer->ice);
        else
            peer->early_done = true;
        return 0;
    }
    if (strnlen(candidate->candidate, MAX_CANDIDATE_LEN) == MAX_CANDIDATE_LEN)
        return -EINVAL;
    if (first_offer_came)
        return candidate_in(peer, candidate->candidate, candidate->ufrag);
    struct ice_candidate parsed;
    if (ice_candidate_parse(&parsed, span_str(candidate->candidate)) != 0)
        return -EINVAL;
    if (peer->early_count == PEER_MAX_EARLY_CANDIDATES)
        return -ENOSPC;
    struct peer_early_candidate early = {.text = strdup(candidate->candidate),
                                         .ufrag = candidate->ufrag ? strndup(candidate->ufrag, 256) : NULL};
    if (!early.text || (candidate->ufrag && !early.ufrag)) {
        free(early.text);
        free(early.ufrag);
        return -ENOMEM;
    }
    peer->early[peer->early_count++] = early;
    return 0;
}
