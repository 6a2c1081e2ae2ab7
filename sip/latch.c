// SPDX-License-Identifier: Apache-2.0
#include "sip/latch.h"

static void forget_candidates(struct latch *latch) {
    for (size_t i = 0; i < LATCH_RANKS; i++)
        latch->candidates[i].proof = 0;
}

void latch_declare(struct latch *latch, const union udp_address *declared, bool authenticated, bool anew) {
    bool same = udp_address_eq(declared, &latch->declared) ||
                (!udp_address_known(declared) && !udp_address_known(&latch->declared));
    latch->authenticated = authenticated;
    latch->declared = *declared;
    if (same && !anew)
        return;
    latch->latched = false;
    forget_candidates(latch);
}

static bool is_declared(const struct latch *latch, const union udp_address *address) {
    return udp_address_eq(address, &latch->declared);
}

static bool gone_silent(const struct latch *latch, uint64_t now_us) {
    uint64_t limit_us = latch->authenticated ? LATCH_SILENCE_AUTH_US : LATCH_SILENCE_US;
    return now_us - latch->heard_us >= limit_us;
}

bool latch_admits(const struct latch *latch, const union udp_address *from, uint64_t now_us) {
    return !latch->latched || udp_address_eq(from, &latch->at) || is_declared(latch, from) ||
           gone_silent(latch, now_us);
}

static enum latch_rank rank_of(const struct latch *latch, const union udp_address *from) {
    if (is_declared(latch, from))
        return LATCH_DECLARED;
    bool host =
        udp_address_same_host(from, &latch->declared) || udp_address_same_host(from, &latch->signalling);
    return host ? LATCH_HOST : LATCH_ANYWHERE;
}

static unsigned proof_wanted(const struct latch *latch, enum latch_rank rank) {
    static const unsigned wanted[LATCH_RANKS] = {LATCH_PROOF_DECLARED, LATCH_PROOF_HOST,
                                                 LATCH_PROOF_ANYWHERE};
    return latch->authenticated ? LATCH_PROOF_DECLARED : wanted[rank];
}

static bool prove(struct latch *latch, const union udp_address *from, uint32_t ssrc, uint16_t seq) {
    enum latch_rank rank = rank_of(latch, from);
    struct latch_candidate *c = &latch->candidates[rank];
    bool goes_on =
        c->proof && udp_address_eq(from, &c->address) && ssrc == c->ssrc && seq == (uint16_t)(c->seq + 1);
    *c = (struct latch_candidate){*from, ssrc, seq, goes_on ? c->proof + 1 : 1};
    return c->proof >= proof_wanted(latch, rank);
}

bool latch_packet(struct latch *latch, const union udp_address *from, uint32_t ssrc, uint16_t seq,
                  uint64_t now_us) {
    bool known = latch->latched && udp_address_eq(from, &latch->at);
    if (!known) {
        if (!prove(latch, from, ssrc, seq))
            return false;
        latch->latched = true;
        latch->at = *from;
        forget_candidates(latch);
    }
    latch->heard_us = now_us;
    return true;
}

const union udp_address *latch_target(const struct latch *latch) {
    return latch->latched ? &latch->at : &latch->declared;
}
