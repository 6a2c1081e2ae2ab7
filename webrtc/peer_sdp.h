// SPDX-License-Identifier: Apache-2.0
// The answering side of JSEP (RFC 8829) for one audio stream and data channels on one transport: reads what
// an offer asks of a peer, writes the answer. Pure.
#ifndef IQ_WEBRTC_PEER_SDP_H
#define IQ_WEBRTC_PEER_SDP_H

#include "media/sdp_nego.h"
#include "webrtc/dtls.h"

enum { PEER_SDP_SCTP_PORT = 5000, PEER_SDP_MAX_MID = 64 };

// What an offer asks, decided.
struct peer_plan {
    struct sdp_audio audio;              // borrows from the offer
    const struct sdp_media *application; // the data channels' m-line; NULL without
    char mid[PEER_SDP_MAX_MID];          // of the audio m-line, whose transport all share; may be empty
    char ufrag[257], pwd[257];           // the browser's, valid
    struct dtls_fingerprint fingerprint;
    bool may_be_client, may_be_server; // the DTLS roles its a=setup leaves to us
    bool trickle; // else its candidates are all in the offer, and ours go into the answer
};

// -ENOENT no audio, -ENOTSUP no codec or transport of ours, -EPROTO without rtcp-mux, fingerprint or ICE
// credentials.
int peer_sdp_read(struct peer_plan *out, const struct sdp *offer, struct err_text *err);

struct peer_answer {
    const struct sdp *offer;
    const struct peer_plan *plan;
    uint64_t session_id;                   // the same in all answers of a peer
    uint32_t version;                      // one more each time
    const char *ufrag, *pwd, *fingerprint; // ours; the fingerprint is SHA-256
    enum dtls_role role;
    uint32_t ssrc;
    const char *cname;
    // Our candidates, "candidate:..." for index 0, 1, ... until NULL; NULL when they are trickled.
    const char *(*candidate)(size_t index, void *arg);
    void *arg;
    bool candidates_end; // no more will follow
};

// Every m-line of the offer is answered in its order; all but the plan's two are refused. Returns the length,
// or -ENOBUFS.
int peer_sdp_answer(const struct peer_answer *answer, char *buf, size_t cap);
size_t peer_sdp_answer_cap(const struct sdp *offer, size_t offer_len); // a `cap` that is enough

#endif
