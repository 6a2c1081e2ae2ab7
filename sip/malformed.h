// SPDX-License-Identifier: Apache-2.0
// The class of messages that is given to nta by NTATAG_MCLASS. With sofia's own, a request whose start line cannot be
// read is dropped without a word, a method of rarer characters (RFC 3261 section 25.1: token) counts as such, and every
// other malformed request is answered, by 400 or 505 and however many there are, before nta's user hears of it. With
// this one all of them are answered, if they have a Via to answer to, but only when the user says so; and each method
// is read. An ACK is never answered (section 17). SIP thread.
#ifndef IQ_SIP_MALFORMED_H
#define IQ_SIP_MALFORMED_H

#include <sofia-sip/msg_mclass.h>
#include <stdbool.h>

struct malformed;

// `may_answer` is asked before a malformed request is answered, and finds its source in msg_addr. -ENOMEM.
int malformed_new(struct malformed **out, bool (*may_answer)(msg_t *msg, void *arg), void *arg);
void malformed_free(struct malformed *malformed); // after the agent; may be NULL
msg_mclass_t const *malformed_class(const struct malformed *malformed);

// For NTATAG_BAD_REQ_MASK: faults in other headers do not make a request malformed.
#define MALFORMED_MASK                                                                                       \
    (~(unsigned)(sip_mask_response | sip_mask_proxy | sip_mask_registrar | sip_mask_pref | sip_mask_privacy))

#endif
