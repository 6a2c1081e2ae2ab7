// SPDX-License-Identifier: Apache-2.0
// A message as it comes from the network, through sofia's parser with our part of it (sip/malformed.h): what is copied out of it is terminated, well-formed
// and free of control characters, and every verdict on it is one of ours.
#include "gateway/core/utf8.h"
#include "sip/malformed.h"
#include "sip/route.h"
#include "sip/sipreq.h"

#include <sofia-sip/msg_parser.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_util.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *const names[] = {"X-Account", "Diversion"};
static const struct conf_strings forwarded = {.items = (char **)(uintptr_t)names, .count = 2};

static void check(const char *text, size_t size) {
    size_t len = strnlen(text, size);
    if (len == size || !utf8_valid(text, len))
        abort();
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            abort();
    }
}

static void check_request(const struct sip_request *request) {
    check(request->call_id, sizeof request->call_id);
    check(request->from_tag, sizeof request->from_tag);
    check(request->business_id, sizeof request->business_id);
    check(request->phone_id, sizeof request->phone_id);
    check(request->queue_id, sizeof request->queue_id);
    check(request->called, sizeof request->called);
    check(request->caller, sizeof request->caller);
    check(request->caller_name, sizeof request->caller_name);
    check(request->user_agent, sizeof request->user_agent);
    for (size_t i = 0; i < request->header_count; i++)
        check(request->headers[i].value, 1024);
}

static void check_verdict(const struct sip_request *request, const struct in6_addr *source) {
    static struct conf_number number = {
        .id = "abc", .number = "+96812345678", .provider = "SIP", .route_id = "r"};
    static struct conf_business business = {
        .id = "123", .active = true, .numbers = &number, .number_count = 1};
    static const struct conf conf = {.businesses = &business, .business_count = 1};
    static struct route_table *table;
    struct route_found found;
    struct route_refusal refusal = {0};
    if (!table && route_table_new(&table, &conf) != 0)
        abort();
    if (route_check(table, request, source, &found, &refusal) ? found.number != &number
                                                              : refusal.status != 404)
        abort();
}

static bool may_answer(msg_t *msg, void *arg) {
    (void)arg;
    return sip_object(msg)->sip_via != NULL; // some may, some may not
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct malformed *malformed;
    if (!malformed && malformed_new(&malformed, may_answer, NULL) != 0)
        abort();
    static const struct network everybody = {.bits = 0};
    const struct sipreq_policy policies[] = {
        {.forwarded_headers = &forwarded},
        {.forwarded_headers = &forwarded, .trusted = &everybody, .trusted_count = 1}};
    const struct sipreq_source source = {.port = 5060};
    struct sip_request request;
    msg_t *msg = msg_make(malformed_class(malformed), 0, data, (ssize_t)size);
    sip_t *sip = msg ? sip_object(msg) : NULL;
    // What nta lets through to us.
    bool sane = sip && sip->sip_request && !sip->sip_error && sip_sanity_check(sip) == 0;
    for (size_t i = 0; sane && i < sizeof policies / sizeof policies[0]; i++) {
        const char *phrase = NULL;
        int err = sipreq_copy(&request, sip, &source, &policies[i], &phrase);
        if (!phrase != (err != -EINVAL))
            abort();
        if (err)
            continue;
        check_request(&request);
        check_verdict(&request, &source.address);
        sip_request_clear(&request);
    }
    msg_destroy(msg);
    return 0;
}
