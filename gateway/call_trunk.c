// SPDX-License-Identifier: Apache-2.0
//
// A trunk as a call's far side. Its offer came with the INVITE (or it wants ours); what we answer waits until the
// agent is there, and goes out as the 200 then:
//
//   CALL_OPEN -> trunk_offer -> agent -> SESSION_ANSWER (200), RTP begins -> CALL_CONFIRMED (ACK)
//   CALL_OPEN -> trunk_make_offer -> agent -> SESSION_ANSWER (200) -> CALL_ANSWER (ACK), RTP begins
#include "gateway/call_impl.h"
#include "gateway/core/err.h"
#include "gateway/core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// The ACK must come within 64 times T1 (RFC 3261 section 13.3.1.4), which the SIP thread sees to. This is for one
// that comes without the answer.
enum { ANSWER_TIMEOUT_MS = 40000 };

// ---- offers and answers

static const char *refusal_code(int err) {
    switch (err) {
    case -ENOENT:
        return "no_audio";
    case -ENOTSUP:
        return "no_common_codec";
    case -EINVAL:
        return "bad_sdp";
    default:
        return "media_failed";
    }
}

static int take_offer(struct call *call, const char *sdp, char **out, struct err_text *why) {
    if (sdp && *sdp)
        return trunk_offer(call->trunk.trunk, sdp, strlen(sdp), out, why);
    int err = trunk_make_offer(call->trunk.trunk, out, why);
    call->trunk.late = call->trunk.late || !err;
    return err;
}

// re-INVITE or UPDATE: hold, resume, moved media, another codec.
static void later_offer(struct call *call, const char *sdp) {
    struct err_text why = {""};
    char *answer = NULL;
    int err = take_offer(call, sdp, &answer, &why);
    if (err) {
        log_warn(call->id, "call", "offer refused: %s (%s)", why.text, err_name(err));
        call_post_refusal(call, refusal_code(err), why.text);
        return;
    }
    call_post(call, SESSION_ANSWER, answer);
    free(answer);
}

static void take_answer(struct call *call, const char *sdp) {
    struct err_text why = {""};
    int err = trunk_answer(call->trunk.trunk, sdp, strlen(sdp), &why);
    if (!err) {
        call->trunk.late = false;
        uv_timer_stop(&call->timer);
        return;
    }
    log_warn(call->id, "call", "answer refused: %s (%s)", why.text, err_name(err));
    // An answer that changes an established call may be wrong without harm: the call goes on as it was.
    if (call->state != CALL_UP)
        call_end(call, CALL_BAD_OFFER, refusal_code(err), "The trunk's answer to our offer cannot be used.");
}

static void on_answer_timeout(uv_timer_t *timer) {
    struct call *call = timer->data;
    call_end(call, CALL_TIMEOUT, "no_answer", "No answer came to our offer.");
}

// ---- the far side's duties

static size_t allowed_codecs(const struct conf *conf, enum codec_id out[CODEC_COUNT]) {
    size_t count = 0;
    for (size_t i = 0; i < conf->sip.codecs.count; i++) {
        for (int id = 0; id < CODEC_L16 && count < CODEC_COUNT; id++) {
            if (strcasecmp(conf->sip.codecs.items[i], codec_desc((enum codec_id)id)->rtp_name) == 0)
                out[count++] = (enum codec_id)id;
        }
    }
    return count;
}

static enum dtmf_tones wanted_tones(const struct call *call) {
    static const enum dtmf_tones tones[] = {[CONF_INBAND_AUTO] = DTMF_TONES_AUTO,
                                            [CONF_INBAND_ON] = DTMF_TONES_ON,
                                            [CONF_INBAND_OFF] = DTMF_TONES_OFF};
    return tones[call->conf->sip.inband_dtmf];
}

static int trunk_side_open(struct call *call, const struct call_open *open) {
    enum codec_id codecs[CODEC_COUNT];
    const struct call_open_trunk *from = open->trunk;
    const struct trunk_config config = {.call_id = call->id,
                                        .local_address = from->local,
                                        .remote_address = from->remote,
                                        .pcm_rate_hz = call->format.rate_hz,
                                        .codecs = codecs,
                                        .codec_count = allowed_codecs(call->conf, codecs),
                                        .require_srtp = from->require_srtp,
                                        .dead_call_ms = (uint32_t)(call->conf->sip.dead_call_seconds * 1000),
                                        .tones = wanted_tones(call)};
    int err = trunk_new(&call->trunk.trunk, call->env.trunk, &config, &call_leg_events, call);
    if (err)
        return err;
    call->leg = trunk_leg(call->trunk.trunk);
    snprintf(call->setup.sip_call_id, sizeof call->setup.sip_call_id, "%s", from->sip_call_id);
    call->setup.claim_ms = from->claim_ms;
    call->setup.platform_ms = from->platform_ms;
    return 0;
}

static void trunk_side_begin(struct call *call, const struct call_open *open) {
    struct err_text why = {""};
    int err = take_offer(call, open->trunk->sdp, &call->trunk.sdp, &why);
    if (!err) {
        call_connect(call);
        return;
    }
    log_warn(call->id, "call", "offer refused: %s (%s)", why.text, err_name(err));
    const char *code = refusal_code(err);
    bool ours = strcmp(code, "media_failed") == 0;
    call_end(call, ours ? CALL_NO_MEDIA : CALL_BAD_OFFER, code, why.text);
}

static void trunk_side_agent_up(struct call *call) {
    call->trunk.answered_us = ticker_now_us();
    call_post(call, SESSION_ANSWER, call->trunk.sdp);
    free(call->trunk.sdp);
    call->trunk.sdp = NULL;
    if (call->trunk.late)
        uv_timer_start(&call->timer, on_answer_timeout, ANSWER_TIMEOUT_MS, 0);
    trunk_start(call->trunk.trunk);
}

static void trunk_side_mail(struct call *call, enum call_mail type, const struct call_msg *msg) {
    switch (type) {
    case CALL_OFFER:
        later_offer(call, msg->text);
        break;
    case CALL_ANSWER:
        take_answer(call, msg->text);
        break;
    case CALL_CONFIRMED:
        call->setup.confirm_ms = (uint32_t)((ticker_now_us() - call->trunk.answered_us) / 1000);
        break;
    case CALL_DTMF:
        trunk_dtmf(call->trunk.trunk, msg->text[0]);
        break;
    default:
        break;
    }
}

static void trunk_side_close(struct call *call) {
    free(call->trunk.sdp);
}

const struct call_side call_trunk_side = {.name = "trunk",
                                          .open = trunk_side_open,
                                          .begin = trunk_side_begin,
                                          .agent_up = trunk_side_agent_up,
                                          .close = trunk_side_close,
                                          .mail = trunk_side_mail};
