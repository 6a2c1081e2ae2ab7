// SPDX-License-Identifier: Apache-2.0
// Candidate lines (RFC 8839 section 5.1), read and written. Pure; any thread.
#ifndef IQ_WEBRTC_ICE_CANDIDATE_H
#define IQ_WEBRTC_ICE_CANDIDATE_H

#include "gateway/core/err.h"
#include "gateway/core/span.h"

enum ice_transport { ICE_UDP, ICE_TCP, ICE_OTHER_TRANSPORT };
enum ice_type { ICE_HOST, ICE_SRFLX, ICE_PRFLX, ICE_RELAY };
enum ice_address { ICE_ADDRESS_NUMERIC, ICE_ADDRESS_MDNS, ICE_ADDRESS_NAME };

enum { ICE_CANDIDATE_TEXT = 384 }; // room for a written line and its terminator

struct ice_candidate {
    char foundation[33];
    uint32_t component;
    enum ice_transport transport;
    uint32_t priority;
    char address[254]; // numeric or a name
    enum ice_address address_kind;
    uint16_t port;
    enum ice_type type;
    char related_address[64]; // empty when there is none
    uint16_t related_port;
    char ufrag[257]; // the extension of that name, empty when there is none
};

// "candidate:..." (a leading "a=" and a trailing CR LF do no harm). -EINVAL when it is none.
int ice_candidate_parse(struct ice_candidate *out, struct span text);
// Without "a=" and without extensions. Bytes written, or -ENOSPC.
int ice_candidate_write(const struct ice_candidate *candidate, char *out, size_t cap);

// Numeric addresses, both families. A text that is no address is in none of these classes.
bool ice_address_private(const char *address); // RFC 1918, RFC 6598, RFC 4193
bool ice_address_loopback(const char *address);
bool ice_address_sendable(const char *address); // unicast and neither unspecified nor link-local
bool ice_address_same_family(const char *a, const char *b);

// ice-ufrag and ice-pwd as RFC 8839 section 5.4 has them.
bool ice_credentials_valid(const char *ufrag, const char *pwd);

#endif
