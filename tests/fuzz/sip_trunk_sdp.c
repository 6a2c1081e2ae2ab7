// SPDX-License-Identifier: Apache-2.0
// A trunk's SDP in, as an offer and as the answer to ours: whatever is accepted must be answered in words that
// our own reader takes, with no address that we must not send to.
#include "sip/trunk_sdp.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum codec_id codecs[] = {CODEC_PCMU, CODEC_PCMA, CODEC_G722, CODEC_OPUS};
static const struct trunk_local local = {"198.51.100.2", 10000, 1, 1};

static void check_plan(const struct trunk_plan *plan) {
    const struct sdp_audio *audio = &plan->audio;
    bool known = udp_address_known(&plan->rtp);
    if (known != udp_address_known(&plan->rtcp) || (known && !udp_address_usable(&plan->rtp)))
        abort();
    if (audio->ptime_ms < 10 || audio->ptime_ms > 60 || audio->ptime_ms % 10)
        abort();
    if (plan->secure && plan->theirs.key_len != srtp_ctx_key_len(plan->theirs.profile))
        abort();
}

static void offered(struct sdp *sdp, struct span text, bool require_srtp) {
    const struct trunk_sdp_config config = {.codecs = codecs, .codec_count = 4, .require_srtp = require_srtp};
    struct trunk_plan plan;
    struct err_text err;
    if (sdp_read(sdp, text, &err) != 0 || trunk_sdp_read_offer(&plan, sdp, &config, &err) != 0)
        return;
    check_plan(&plan);
    if (require_srtp && !plan.secure)
        abort();
    size_t cap = trunk_sdp_answer_cap(sdp, text.len);
    char *answer = malloc(cap);
    int len = answer ? trunk_sdp_write_answer(sdp, &plan, &local, &plan.theirs, answer, cap) : -1;
    struct sdp *again = malloc(sizeof *again);
    if (len <= 0 || !again || sdp_read(again, span_of(answer, (size_t)len), &err) != 0 ||
        again->media_count != sdp->media_count)
        abort();
    free(again);
    free(answer);
}

static void answered(struct sdp *sdp, struct span text, const struct sdes *ours) {
    const struct trunk_sdp_config config = {.codecs = codecs, .codec_count = 4};
    struct trunk_plan plan;
    struct err_text err;
    size_t chosen = 0;
    if (sdp_read(sdp, text, &err) != 0 ||
        trunk_sdp_read_answer(&plan, sdp, &config, ours, &chosen, &err) != 0)
        return;
    check_plan(&plan);
    if ((ours && !plan.secure) || chosen >= TRUNK_SDP_SUITES)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct sdp sdp;
    static const struct sdes ours[TRUNK_SDP_SUITES] = {
        {.tag = 1, .profile = SRTP_CTX_AEAD_AES_128_GCM, .key_len = 28},
        {.tag = 2, .profile = SRTP_CTX_AES128_CM_HMAC_SHA1_80, .key_len = 30}};
    struct span text = span_of(data, size);
    offered(&sdp, text, false);
    offered(&sdp, text, true);
    answered(&sdp, text, NULL);
    answered(&sdp, text, ours);
    return 0;
}
