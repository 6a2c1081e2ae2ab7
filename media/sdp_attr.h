// SPDX-License-Identifier: Apache-2.0
// Internal to media/sdp*.c: the a= lines. Nobody else includes it.
#ifndef IQ_MEDIA_SDP_ATTR_H
#define IQ_MEDIA_SDP_ATTR_H

#include "media/sdp.h"

// `value` is the line after "a=". `media` is NULL at session level. Unknown attributes are none of our
// business; known ones that decide the call must be right, or -EBADMSG with `problem` set to a static text.
// Optional ones that make no sense are left out.
int sdp_attr_read(struct sdp *sdp, struct sdp_media *media, struct span value, const char **problem);

// Once all lines are read: gives every m-line what the session said for it.
void sdp_attr_inherit(struct sdp *sdp);

#endif
