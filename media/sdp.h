// SPDX-License-Identifier: Apache-2.0
// SDP (RFC 8866) read and written, for browsers and for SIP alike.
//
// sdp_read is pure: it fills a struct of fixed size whose spans borrow the text, so the text must outlive
// it. What this project decides upon is parsed; everything else stays text and is reached through
// sdp_next_attribute. What may stand at session level and holds for every m-line (direction, c=, fingerprint,
// setup, ice-*) is already copied into each sdp_media that has none of its own.
#ifndef IQ_MEDIA_SDP_H
#define IQ_MEDIA_SDP_H

#include "gateway/core/err.h"
#include "gateway/core/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SDP_MAX_TEXT = 64 * 1024, // bytes
    SDP_MAX_LINE = 8 * 1024,
    SDP_MAX_MEDIA = 16,       // m-lines
    SDP_MAX_FORMATS = 128,    // per m-line, as many as there are payload types; those beyond are ignored
    SDP_MAX_FINGERPRINTS = 4, // per level; those beyond are ignored
    SDP_MAX_HASH = 64,        // bytes of a fingerprint: SHA-512
};

enum sdp_kind { SDP_OTHER, SDP_AUDIO, SDP_VIDEO, SDP_APPLICATION };

// The m-line's third word, as bits so that a set of them is a mask.
enum sdp_profile {
    SDP_PROFILE_OTHER = 0,
    SDP_RTP_AVP = 1,         // "RTP/AVP"
    SDP_RTP_AVPF = 2,        // "RTP/AVPF"
    SDP_RTP_SAVP = 4,        // "RTP/SAVP"
    SDP_RTP_SAVPF = 8,       // "RTP/SAVPF", which old browsers say for DTLS too
    SDP_DTLS_RTP_SAVP = 16,  // "UDP/TLS/RTP/SAVP", "TCP/..." too
    SDP_DTLS_RTP_SAVPF = 32, // "UDP/TLS/RTP/SAVPF", "TCP/..." too
    SDP_DTLS_SCTP = 64,      // "UDP/DTLS/SCTP", "TCP/DTLS/SCTP", and the old "DTLS/SCTP"
    SDP_PROFILES_DTLS = SDP_RTP_SAVPF | SDP_DTLS_RTP_SAVP | SDP_DTLS_RTP_SAVPF, // what WebRTC takes for audio
    SDP_PROFILES_RTP = 63,
};

enum sdp_direction {
    SDP_INACTIVE = 0,
    SDP_SENDONLY = 1,
    SDP_RECVONLY = 2,
    SDP_SENDRECV = 3
}; // send | recv << 1

enum sdp_setup { SDP_SETUP_NONE, SDP_SETUP_ACTPASS, SDP_SETUP_ACTIVE, SDP_SETUP_PASSIVE, SDP_SETUP_HOLDCONN };

struct sdp_origin { // o=
    struct span username, session_id, version, address;
    bool ip6;
};

struct sdp_connection {  // c=
    struct span address; // without "/ttl"; empty when there was no c= at all
    bool ip6;
};

struct sdp_format {
    struct span token;    // as in the m-line: "111", "webrtc-datachannel"
    int payload_type;     // 0-127, -1 where the token is none
    struct span encoding; // of rtpmap, or of RFC 3551's table for 0, 3, 8, 9, 13, 18; else empty
    uint32_t clock_hz, channels;
    struct span fmtp; // its parameters, empty for none
};

struct sdp_fingerprint { // RFC 8122
    struct span hash;    // "sha-256", in whatever case
    uint8_t bytes[SDP_MAX_HASH];
    size_t len;
};

struct sdp_transport { // what may stand at either level
    struct span ice_ufrag, ice_pwd, ice_options;
    struct sdp_fingerprint fingerprints[SDP_MAX_FINGERPRINTS];
    size_t fingerprint_count;
    enum sdp_setup setup;
};

struct sdp_media {
    enum sdp_kind kind;
    enum sdp_profile profile;
    struct span kind_name, proto; // as written
    uint16_t port;
    struct sdp_format formats[SDP_MAX_FORMATS]; // in the order of the m-line
    size_t format_count;
    struct sdp_connection connection;
    struct sdp_transport transport;
    enum sdp_direction direction;   // SDP_SENDRECV unless said otherwise
    struct span mid, msid;          // msid without "msid:"
    uint32_t ptime_ms, maxptime_ms; // 0 when absent
    bool rtcp_mux, rtcp_mux_only, rtcp_rsize, bundle_only, end_of_candidates;
    uint16_t rtcp_port; // a=rtcp, 0 when absent
    bool has_ssrc;
    uint32_t ssrc;      // of the first a=ssrc
    struct span cname;  // of the first a=ssrc with one
    uint16_t sctp_port; // a=sctp-port or a=sctpmap, 0 when absent
    bool has_max_message_size;
    uint64_t max_message_size; // RFC 8841: 0 is "any"; when absent 65536 holds
    struct span text;          // this section's lines, from its m-line to the next: for sdp_next_attribute
    unsigned line;             // of the m-line, from 1
};

struct sdp {
    struct sdp_origin origin;
    struct sdp_connection connection;
    struct sdp_transport transport;
    enum sdp_direction direction;
    bool ice_lite, end_of_candidates;
    struct span bundle; // the mids of a=group:BUNDLE, blanks between; empty for none
    struct sdp_media media[SDP_MAX_MEDIA];
    size_t media_count;
    struct span text; // the session's own lines
};

// `out` is some 160 KiB: keep it off small stacks. Written to even when parsing fails.
// -EMSGSIZE for a text or line beyond the limits, -E2BIG for too many m-lines, -EBADMSG for what is no SDP;
// `err` (or NULL) then names the line.
int sdp_read(struct sdp *out, struct span text, struct err_text *err);

// The next attribute `name` in a section's text. `cursor` starts as sdp_media.text or sdp.text and moves on;
// `value` is what follows "a=name:", or empty for a bare flag.
bool sdp_next_attribute(struct span *cursor, const char *name, struct span *value);
// The next candidate, from "candidate:" on, as trickled ones are written.
bool sdp_next_candidate(struct span *cursor, struct span *candidate);

bool sdp_bundled(const struct sdp *sdp, const struct sdp_media *media); // is its mid in the BUNDLE group?
// The value of "name=value" in fmtp parameters parted by ";". Names compare without case.
bool sdp_fmtp_param(struct span fmtp, const char *name, struct span *value);

const char *sdp_direction_name(enum sdp_direction direction); // "sendrecv"
const char *sdp_setup_name(enum sdp_setup setup);             // "actpass"; "" for SDP_SETUP_NONE
// The direction as the other end has to say it: sendonly <-> recvonly.
enum sdp_direction sdp_direction_turned(enum sdp_direction direction);

// Writing, into the caller's buffer. Nothing is written beyond `cap`; what does not fit sets `overflow`, and
// so does everything after it.
struct sdp_writer {
    char *buf; // borrows; terminated while it is not empty
    size_t cap, len;
    bool overflow;
};
void sdp_writer_init(struct sdp_writer *writer, char *buf, size_t cap);
// One line; CR LF is added here.
void sdp_printf(struct sdp_writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sdp_write_fingerprint(struct sdp_writer *writer, const char *hash, const uint8_t *bytes, size_t len);
// An m-line refused as RFC 3264 section 6 wants it: port 0, same kind, protocol and first format; with its
// mid.
void sdp_write_refused(struct sdp_writer *writer, const struct sdp_media *media);
int sdp_writer_done(const struct sdp_writer *writer); // bytes written, or -ENOBUFS

// For "%.*s" of a span.
#define SDP_SPAN(s) (int)(s).len, (const char *)((s).ptr ? (s).ptr : (const uint8_t *)"")

#endif
