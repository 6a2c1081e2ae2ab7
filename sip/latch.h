// SPDX-License-Identifier: Apache-2.0
// Symmetric RTP with probation (RFC 4961, RFC 7362): from which address a peer's media is taken, and where
// ours goes. Pure.
//
// Ours goes to the address the SDP declares until the peer's own has shown itself. It shows itself by packets
// of the right payload type, of one SSRC and in sequence: few from where the SDP says, more from the same
// host or the signalling's (another port, NAT), most from anywhere else. Then only that address counts. It
// gives way to another when it has been silent, when a new SDP comes, or to the declared address, so that
// who is merely first cannot keep the call.
#ifndef IQ_SIP_LATCH_H
#define IQ_SIP_LATCH_H

#include "media/udp.h"

enum {
    LATCH_PROOF_DECLARED = 2, // packets in sequence
    LATCH_PROOF_HOST = 3,
    LATCH_PROOF_ANYWHERE = 10,
    LATCH_SILENCE_US = 3000000,     // of the old address, before another may follow
    LATCH_SILENCE_AUTH_US = 500000, // where packets are authenticated
};

// By how much is to be proved; one on probation of each, so that packets from anywhere do not disturb those
// from where they are expected.
enum latch_rank { LATCH_DECLARED, LATCH_HOST, LATCH_ANYWHERE, LATCH_RANKS };

struct latch_candidate {
    union udp_address address;
    uint32_t ssrc;
    uint16_t seq;
    unsigned proof; // packets in sequence, 0 for no candidate
};

struct latch {
    union udp_address declared;   // of the SDP
    union udp_address signalling; // where the INVITE came from; its port does not count
    bool authenticated;           // SRTP
    bool latched;
    union udp_address at;
    uint64_t heard_us; // when a packet last came from there
    struct latch_candidate candidates[LATCH_RANKS];
};

// A new SDP. Where it declares another address than before, or other keys (`anew`), all begins again.
void latch_declare(struct latch *latch, const union udp_address *declared, bool authenticated, bool anew);
// Might a packet from there count? Cheap, and before decryption.
bool latch_admits(const struct latch *latch, const union udp_address *from, uint64_t now_us);
// A packet of the right payload type (authenticated where SRTP is used) from an address that latch_admits.
// True: take it. False: it was one of probation's.
bool latch_packet(struct latch *latch, const union udp_address *from, uint32_t ssrc, uint16_t seq,
                  uint64_t now_us);
// Where to send; not known while neither the SDP nor a packet has told.
const union udp_address *latch_target(const struct latch *latch);

#endif
