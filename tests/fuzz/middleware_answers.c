// SPDX-License-Identifier: Apache-2.0
// First byte: which parser. 'c' and 'm' the platform's usage, 'i' IpApi's answer, 'w' the webhook's body, 'a' a
// client address. Each says yes with values in their range, or no with a reason and its output untouched.
#include "middleware/address.h"
#include "middleware/ipcheck.h"
#include "middleware/usage.h"
#include "middleware/webhook.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_usage(int (*parse)(const char *, size_t, double *, struct err_text *), const char *text,
                       size_t len, double absent) {
    double out = 42;
    struct err_text err = {""};
    int rc = parse(text, len, &out, &err);
    if (rc ? (out != 42 || !err.text[0]) : (!(out >= 0) && out != absent) || isnan(out))
        abort();
}

static void fuzz_ipcheck(const char *text, size_t len) {
    struct ipcheck_facts facts = {.abuser = true};
    struct err_text err = {""};
    if (ipcheck_parse(text, len, &facts, &err) && (!facts.abuser || !err.text[0]))
        abort();
}

static void fuzz_webhook(const char *text, size_t len) {
    char id[WEBHOOK_ID_MAX + 1] = "?";
    int rc = webhook_parse(span_of(text, len), id);
    size_t id_len = strnlen(id, sizeof id);
    if (rc ? strcmp(id, "?") != 0 : !id_len || id_len > WEBHOOK_ID_MAX || strpbrk(id, " \r\n"))
        abort();
}

// A key is its own key, and all of a network has the same.
static void fuzz_address(const char *text, size_t len) {
    char address[256], key[ADDRESS_KEY_SIZE] = "?", again[ADDRESS_KEY_SIZE];
    if (len >= sizeof address)
        return;
    memcpy(address, text, len);
    address[len] = '\0';
    (void)address_is_private(address);
    if (address_key(address, key) != 0) {
        if (strcmp(key, "?") != 0 || address_is_private(address))
            abort();
        return;
    }
    char *slash = strchr(key, '/');
    if (slash)
        *slash = '\0';
    if (address_key(key, again) != 0)
        abort();
    if (slash)
        *slash = '/';
    if (strcmp(key, again) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    switch (*data) {
    case 'c':
        fuzz_usage(usage_parse_current, text, len, -1);
        break;
    case 'm':
        fuzz_usage(usage_parse_max, text, len, INFINITY);
        break;
    case 'i':
        fuzz_ipcheck(text, len);
        break;
    case 'w':
        fuzz_webhook(text, len);
        break;
    default:
        fuzz_address(text, len);
        break;
    }
    return 0;
}
