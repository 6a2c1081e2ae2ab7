// SPDX-License-Identifier: Apache-2.0
// sofia drops a request whose start line it cannot read, without a word. With this class of messages, given to nta by
// NTATAG_MCLASS, it answers 400 to it as to any other that is malformed, if it has a Via to answer to; an ACK gets
// nothing (RFC 3261 section 17).
#ifndef IQ_SIP_START_LINE_H
#define IQ_SIP_START_LINE_H

#include <sofia-sip/msg_mclass.h>

msg_mclass_t const *start_line_class(void); // lives for ever; NULL when memory is out

#endif
