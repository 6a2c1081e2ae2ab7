// SPDX-License-Identifier: Apache-2.0
#include "sip/start_line.h"

#include <pthread.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_protos.h>
#include <stdbool.h>
#include <string.h>

static msg_mclass_t *message_class;

// What stands in for a line that cannot be read: its URI fails nta's check of sanity (sip_sanity_check).
static void stand_in(sip_request_t *request, bool ack) {
    url_init(request->rq_url, url_invalid);
    request->rq_method = ack ? sip_method_ack : sip_method_unknown;
    request->rq_method_name = ack ? "ACK" : "UNREADABLE";
    request->rq_version = SIP_VERSION_CURRENT;
}

static issize_t parse_request(su_home_t *home, msg_header_t *header, char *line, isize_t len) {
    bool ack = strncmp(line, "ACK", 3) == 0 && (line[3] == ' ' || line[3] == '\t');
    header->sh_class = sip_request_class; // so that nobody else sees a difference
    if (sip_request_class->hc_parse(home, header, line, len) < 0)
        stand_in((sip_request_t *)(void *)header, ack);
    return 0;
}

static void make_class(void) {
    static struct msg_hclass_s lenient;
    msg_mclass_t *made = msg_mclass_clone(sip_default_mclass(), 0, 0);
    if (!made)
        return;
    lenient = *sip_request_class;
    lenient.hc_parse = parse_request;
    made->mc_request->hr_class = &lenient;
    message_class = made;
}

msg_mclass_t const *start_line_class(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_class);
    return message_class;
}
