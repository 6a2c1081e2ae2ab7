// SPDX-License-Identifier: Apache-2.0
// Which audio m-line of an offer is answered, and with what (RFC 3264). Pure: no allocation, no state.
#ifndef IQ_MEDIA_SDP_NEGO_H
#define IQ_MEDIA_SDP_NEGO_H

#include "media/codec.h"
#include "media/sdp.h"

enum sdp_nego_order {
    SDP_ORDER_OFFER, // the first codec of the offer that we allow: a page asks by setCodecPreferences
                     // (WebRTC)
    SDP_ORDER_OURS,  // the first of our list that is offered (SIP)
};

struct sdp_nego_config {
    const enum codec_id *codecs; // allowed, best first; borrows
    size_t codec_count;
    enum sdp_nego_order order;
    unsigned profiles;  // mask of sdp_profile that this side can carry, e.g. SDP_PROFILES_DTLS
    bool comfort_noise; // takes part in RFC 3389, beside G.711
};

struct sdp_audio {
    size_t media_index;            // of the m-line answered
    const struct sdp_media *media; // borrows from the offer
    enum codec_id codec;
    uint8_t payload_type;   // the offerer's number, used both ways
    const char *fmtp;       // what we answer, "" for none; static
    bool peer_wants_fec;    // Opus: useinbandfec=1 in the offer
    int dtmf_payload_type;  // telephone-event at the codec's clock, or at another when there is none; -1 for
                            // none
    uint32_t dtmf_clock_hz; // 0 for none
    int cn_payload_type;    // comfort noise (RFC 3389); -1 for none
    uint32_t ptime_ms;      // what we send: 10, 20, 40 or 60, within the offer's maxptime
    enum sdp_direction direction; // ours, for the answer
};

// The first usable audio m-line: open (port not 0, or bundle-only and in a BUNDLE group), of one of our
// profiles, with a common codec; an inactive one only when there is no other. -ENOENT: no open audio m-line.
// -ENOTSUP: none with a codec or profile of ours; `err` (or NULL) says which were offered. `out` is written
// on success only.
int sdp_nego_choose(struct sdp_audio *out, const struct sdp *offer, const struct sdp_nego_config *config,
                    struct err_text *err);

// The payload types for the answer's m-line, e.g. "111 110" or "0 101 13".
void sdp_nego_formats(const struct sdp_audio *audio, char out[16]);
// The answer's lines of the choice: rtpmap, fmtp, telephone-event, ptime and direction.
void sdp_nego_write(struct sdp_writer *writer, const struct sdp_audio *audio);

#endif
