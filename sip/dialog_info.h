// SPDX-License-Identifier: Apache-2.0
// DTMF in the body of an INFO, as PBXs have long sent it. No RFC says how; the two forms in use are
//   application/dtmf-relay   "Signal=5\r\nDuration=160\r\n"
//   application/dtmf         "5"
// with a key as 0-9 * # A-D, or as its RFC 4733 event number from 10 (*) to 16 (flash). Pure.
#ifndef IQ_SIP_DIALOG_INFO_H
#define IQ_SIP_DIALOG_INFO_H

#include "gateway/core/span.h"

#define DIALOG_INFO_TYPES "application/dtmf-relay, application/dtmf"

// `type` is the Content-Type without parameters. *key is '\0' for a hook flash, which is no key.
// -ENOTSUP: another type (415). -EINVAL: no key in it (400).
int dialog_info_key(const char *type, struct span body, char *key);

#endif
