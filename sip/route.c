// SPDX-License-Identifier: Apache-2.0
#include "sip/route.h"

#include "gateway/core/err.h"
#include "gateway/core/network.h"
#include "gateway/core/span.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct route_number {
    char digits[SIP_TEXT_ID];
    struct route_found found;
    const struct network *sources;
    size_t source_count; // 0 = anybody
    size_t order;        // in the file
};

struct route_business {
    const struct conf_business *business;
};

struct route_table {
    struct route_business *businesses; // by id
    size_t business_count;
    struct route_number *numbers; // by digits
    size_t number_count;
    struct network *sources; // of all numbers
};

static bool is_telephone(const char *digits) {
    return *digits && strspn(digits, "0123456789*#") == strlen(digits);
}

static int compare_businesses(const void *a, const void *b) {
    const struct route_business *left = a, *right = b;
    return strcmp(left->business->id, right->business->id);
}

static int compare_numbers(const void *a, const void *b) {
    const struct route_number *left = a, *right = b;
    int order = strcmp(left->digits, right->digits);
    return order ? order : (left->order > right->order) - (left->order < right->order);
}

static bool is_sip(const struct conf_number *number) {
    return strcasecmp(number->provider, "SIP") == 0;
}

static void count(const struct conf *conf, size_t *numbers, size_t *sources) {
    *numbers = *sources = 0;
    for (size_t i = 0; i < conf->business_count; i++) {
        *numbers += conf->businesses[i].number_count;
        for (size_t j = 0; j < conf->businesses[i].number_count; j++)
            *sources += conf->businesses[i].numbers[j].allowed_source_ips.count;
    }
}

// An entry that is no address (conf_check has refused the file) allows nobody, rather than everybody.
static size_t fill_sources(struct network *to, const struct conf_strings *texts) {
    for (size_t i = 0; i < texts->count; i++) {
        if (!network_parse(texts->items[i], &to[i]))
            to[i] = (struct network){.bits = 128};
    }
    return texts->count;
}

static void fill(struct route_table *table, const struct conf *conf) {
    size_t sources = 0;
    for (size_t i = 0; i < conf->business_count; i++) {
        const struct conf_business *business = &conf->businesses[i];
        table->businesses[table->business_count++].business = business;
        for (size_t j = 0; j < business->number_count; j++) {
            const struct conf_number *number = &business->numbers[j];
            if (!is_sip(number))
                continue;
            struct route_number *entry = &table->numbers[table->number_count];
            *entry = (struct route_number){.found = {business, number}, .order = table->number_count++};
            conf_digits(number->number, entry->digits, sizeof entry->digits);
            entry->sources = table->sources + sources;
            entry->source_count = fill_sources(table->sources + sources, &number->allowed_source_ips);
            sources += entry->source_count;
        }
    }
}

int route_table_new(struct route_table **out, const struct conf *conf) {
    size_t numbers, sources;
    count(conf, &numbers, &sources);
    struct route_table *table = calloc(1, sizeof *table);
    if (!table)
        return -ENOMEM;
    table->businesses = calloc(conf->business_count + 1, sizeof *table->businesses);
    table->numbers = calloc(numbers + 1, sizeof *table->numbers);
    table->sources = calloc(sources + 1, sizeof *table->sources);
    if (!table->businesses || !table->numbers || !table->sources) {
        route_table_free(table);
        return -ENOMEM;
    }
    fill(table, conf);
    qsort(table->businesses, table->business_count, sizeof *table->businesses, compare_businesses);
    qsort(table->numbers, table->number_count, sizeof *table->numbers, compare_numbers);
    *out = table;
    return 0;
}

void route_table_free(struct route_table *table) {
    if (!table)
        return;
    free(table->businesses);
    free(table->numbers);
    free(table->sources);
    free(table);
}

static bool refuse(struct route_refusal *refusal, unsigned status, const char *reason) {
    *refusal = (struct route_refusal){status, reason};
    return false;
}

// The id as the file has it: "007" is 7. False when it is no whole number.
static bool parse_business_id(const char *text, char *out, size_t out_size) {
    struct span rest = span_str(text);
    uint64_t id;
    if (!span_u64(&rest, INT64_MAX, &id) || rest.len)
        return false;
    snprintf(out, out_size, "%llu", (unsigned long long)id);
    return true;
}

static int compare_id(const void *key, const void *entry) {
    const struct route_business *business = entry;
    return strcmp(key, business->business->id);
}

static int compare_digits(const void *key, const void *entry) {
    return strcmp(key, ((const struct route_number *)entry)->digits);
}

static const struct conf_business *find_business(const struct route_table *table, const char *id) {
    const struct route_business *entry =
        bsearch(id, table->businesses, table->business_count, sizeof *table->businesses, compare_id);
    return entry && entry->business->active ? entry->business : NULL;
}

// The range of entries with these digits.
static const struct route_number *find_digits(const struct route_table *table, const char *digits,
                                              size_t *found_count) {
    const struct route_number *entry =
        bsearch(digits, table->numbers, table->number_count, sizeof *table->numbers, compare_digits);
    if (!entry)
        return NULL;
    const struct route_number *end = table->numbers + table->number_count;
    while (entry > table->numbers && strcmp(entry[-1].digits, digits) == 0)
        entry--;
    *found_count = 0;
    while (entry + *found_count < end && strcmp(entry[*found_count].digits, digits) == 0)
        ++*found_count;
    return entry;
}

static const struct conf_number *find_phone(const struct conf_business *business, const char *phone_id) {
    for (size_t i = 0; i < business->number_count; i++) {
        if (strcmp(business->numbers[i].id, phone_id) == 0)
            return is_sip(&business->numbers[i]) ? &business->numbers[i] : NULL;
    }
    return NULL;
}

static const struct route_number *entry_of(const struct route_table *table,
                                           const struct conf_number *number) {
    char digits[SIP_TEXT_ID];
    size_t same = 0;
    conf_digits(number->number, digits, sizeof digits);
    const struct route_number *entry = find_digits(table, digits, &same);
    for (size_t i = 0; i < same; i++) {
        if (entry[i].found.number == number)
            return &entry[i];
    }
    return NULL;
}

static const struct route_number *by_keys(const struct route_table *table, const struct sip_request *request,
                                          struct route_refusal *refusal) {
    char id[32];
    if (!parse_business_id(request->business_id, id, sizeof id)) {
        refuse(refusal, 404, "Unable to parse business id to long");
        return NULL;
    }
    const struct conf_business *business = find_business(table, id);
    if (!business) {
        refuse(refusal, 404, "Business Not Found");
        return NULL;
    }
    if (!*request->phone_id) {
        refuse(refusal, 404, "Phone id in request empty or not found");
        return NULL;
    }
    const struct conf_number *number = find_phone(business, request->phone_id);
    if (!number)
        refuse(refusal, 404, "Number Not Found");
    return number ? entry_of(table, number) : NULL;
}

// A number that two have is nobody's: it takes the keys to tell them apart.
static const struct route_number *by_digits(const struct route_table *table, const char *digits,
                                            struct route_refusal *refusal) {
    size_t same = 0;
    const struct route_number *entry = find_digits(table, digits, &same);
    if (entry && same == 1 && entry->found.business->active)
        return entry;
    refuse(refusal, 404, "Number Not Found");
    return NULL;
}

static bool may_call(const struct route_number *entry, const struct in6_addr *source) {
    for (size_t i = 0; i < entry->source_count; i++) {
        if (network_has(&entry->sources[i], source))
            return true;
    }
    return !entry->source_count;
}

bool route_check(const struct route_table *table, const struct sip_request *request,
                 const struct in6_addr *source, struct route_found *found, struct route_refusal *refusal) {
    char digits[SIP_TEXT_ID];
    conf_digits(request->called, digits, sizeof digits);
    bool keys = *request->business_id || *request->phone_id || !is_telephone(digits);
    const struct route_number *entry =
        keys ? by_keys(table, request, refusal) : by_digits(table, digits, refusal);
    if (!entry)
        return false;
    if (!*entry->found.number->route_id)
        return refuse(refusal, 404, "Route Not Found");
    if (!may_call(entry, source))
        return refuse(refusal, 403, "Unauthorized Source IP");
    *found = entry->found;
    return true;
}
