// SPDX-License-Identifier: Apache-2.0
// How much one source address may ask of the proxy: token buckets in a table of fixed size. Who asks too fast is told
// so, who goes on gets silence; so does who tries number after number. Pure but for the seed of its hash; the caller
// owns the clock. One thread.
#ifndef IQ_SIP_FLOOD_H
#define IQ_SIP_FLOOD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum flood_verdict {
    FLOOD_PASS,
    FLOOD_REFUSE, // 503 with Retry-After
    FLOOD_SILENT, // no answer at all
};

struct flood;

// Remembers the `sources` (rounded up to a power of two) seen last. IPv6 counts by /64. -ENOMEM.
int flood_new(struct flood **out, size_t sources);
void flood_free(struct flood *flood);
void flood_set_rate(struct flood *flood, int64_t per_second); // of requests of one source; 0 = no limit

// A request that is no retransmission. INVITEs and other methods are counted apart.
enum flood_verdict flood_request(struct flood *flood, const struct in6_addr *source, bool invite,
                                 uint64_t now_us);
// A request that is malformed, retransmission or not; it counts with the other methods, and is never refused.
enum flood_verdict flood_malformed(struct flood *flood, const struct in6_addr *source, uint64_t now_us);
// A request for what is not there. The first twenty are answered, and one each ten seconds after that.
enum flood_verdict flood_mistake(struct flood *flood, const struct in6_addr *source, uint64_t now_us);
// A request that shows that nobody of ours sent it.
void flood_scanner(struct flood *flood, const struct in6_addr *source, uint64_t now_us);

struct flood_counts {
    uint64_t refused, silent;
};
// Once a minute for each source of which requests were refused or left unanswered: what there was since the last time.
bool flood_report(struct flood *flood, const struct in6_addr *source, uint64_t now_us,
                  struct flood_counts *counts);

#endif
