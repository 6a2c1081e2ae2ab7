// SPDX-License-Identifier: Apache-2.0
// The connections that others open to the SIP thread: how many one source and all together may hold
// (Sip.MaxConnectionsPerSource, Sip.MaxConnections), and an end to those that say nothing. sofia has no say in what it
// accepts, so that its accept(2) is ours (docs/decisions/0007-accept-is-ours.md). Each function belongs to the SIP thread.
#ifndef IQ_SIP_CONNECTIONS_H
#define IQ_SIP_CONNECTIONS_H

#include "gateway/core/conf.h"

#include <sofia-sip/su_wait.h>

struct msg_s; // sofia's

enum { CONNECTIONS_SILENCE_MS = 30000 };

// From here on, until connections_stop, for what this thread accepts. -ENOMEM.
int connections_start(su_root_t *root, const struct conf *conf, unsigned silence_ms);
void connections_set_conf(const struct conf *conf);
void connections_heard(struct msg_s *msg); // a whole message: who sent it may stay
void connections_stop(void);               // also when they were never started

#endif
