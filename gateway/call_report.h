// SPDX-License-Identifier: Apache-2.0
// The one line a call leaves in the log when it ends: who ended it and why, how long, codec, packets, loss,
// jitter.
#ifndef IQ_GATEWAY_CALL_REPORT_H
#define IQ_GATEWAY_CALL_REPORT_H

#include "gateway/bridge.h"
#include "media/leg.h"

// `bridge` may be NULL when the call never came so far.
void call_report(const char *call_id, const struct leg *leg, const struct bridge *bridge, uint64_t began_us,
                 uint64_t up_us, const char *code, const char *message);

#endif
