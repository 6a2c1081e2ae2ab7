// SPDX-License-Identifier: Apache-2.0
// What a call leaves behind when it ends: one line in the log (who ended it and why, how long, codec, packets, loss,
// jitter, how it sounded), and its share of the metrics.
#ifndef IQ_GATEWAY_CALL_REPORT_H
#define IQ_GATEWAY_CALL_REPORT_H

#include "gateway/call_figures.h"

// Borrowed for the call.
struct call_report {
    const char *call_id;
    const struct call_figures *figures;
    uint64_t began_us;
    const char *code, *message;
};

void call_report(const struct call_report *report);

#endif
