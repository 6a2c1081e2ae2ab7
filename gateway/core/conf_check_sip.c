// SPDX-License-Identifier: Apache-2.0
// What the table cannot say about telephones: listen addresses, numbers, sources, regions.
#include "gateway/core/conf_impl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_LISTEN = 16, MAX_FORWARDED_HEADERS = 16 };

static void path_at(char *path, const char *list, size_t index) {
    char number[24];
    snprintf(number, sizeof number, "%zu", index);
    conf_join(path, list, number);
}

static bool is_sip_listen(const char *text) {
    static const char *const transports[] = {"udp:", "tcp:", "tls:"};
    for (size_t i = 0; i < sizeof transports / sizeof transports[0]; i++) {
        if (strncmp(text, transports[i], 4) == 0)
            return conf_is_listen(text + 4);
    }
    return false;
}

static void check_listen(struct conf_reader *reader, const char *list, const struct conf_strings *strings) {
    char path[CONF_PATH_MAX];
    if (strings->count > MAX_LISTEN)
        conf_error(reader, list, "found %zu addresses, at most %d are allowed", strings->count, MAX_LISTEN);
    for (size_t i = 0; i < strings->count; i++) {
        path_at(path, list, i);
        if (!is_sip_listen(strings->items[i]))
            conf_error(reader, path,
                       "found \"%.64s\", expected udp:, tcp: or tls: and a numeric address with its port, as "
                       "\"udp:0.0.0.0:5060\" or \"tls:[::]:5061\"",
                       strings->items[i]);
    }
}

static bool has_string(const struct conf_strings *strings, const char *text) {
    for (size_t i = 0; i < strings->count; i++) {
        if (strcmp(strings->items[i], text) == 0)
            return true;
    }
    return false;
}

static bool has_tls(const struct conf_strings *strings) {
    for (size_t i = 0; i < strings->count; i++) {
        if (strncmp(strings->items[i], "tls:", 4) == 0)
            return true;
    }
    return false;
}

static void check_both_listens(struct conf_reader *reader, const struct conf *conf) {
    char path[CONF_PATH_MAX];
    unsigned both = CONF_ROLE_PROXY | CONF_ROLE_MEDIA;
    if ((conf->gateway.roles & both) != both)
        return;
    for (size_t i = 0; i < conf->sip.media_listen.count; i++) {
        path_at(path, "Sip.MediaListen", i);
        if (has_string(&conf->sip.proxy_listen, conf->sip.media_listen.items[i]))
            conf_error(reader, path, "found \"%.64s\", which is in Sip.ProxyListen too; give it another port",
                       conf->sip.media_listen.items[i]);
    }
}

static void check_tls(struct conf_reader *reader, const struct conf *conf) {
    static const char cure[] = "is missing: a tls: address needs it; set it to a PEM file";
    bool tls = has_tls(&conf->sip.proxy_listen) || has_tls(&conf->sip.media_listen);
    if (tls && !*conf->sip.tls_certificate)
        conf_error(reader, "Sip.TlsCertificate", "%s", cure);
    if (tls && !*conf->sip.tls_key)
        conf_error(reader, "Sip.TlsKey", "%s", cure);
    conf_check_file(reader, "Sip.TlsCertificate", conf->sip.tls_certificate);
    conf_check_file(reader, "Sip.TlsKey", conf->sip.tls_key);
    conf_check_file(reader, "Sip.TlsCaFile", conf->sip.tls_ca_file);
}

static void check_codecs(struct conf_reader *reader, const struct conf_strings *codecs) {
    static const char *const known[] = {"PCMU", "PCMA", "G722", "OPUS"};
    char path[CONF_PATH_MAX];
    if (!codecs->count)
        conf_error(reader, "Sip.Codecs", "is empty; list at least one of PCMU, PCMA, G722, OPUS");
    for (size_t i = 0; i < codecs->count; i++) {
        bool found = false;
        for (size_t j = 0; j < sizeof known / sizeof known[0]; j++)
            found |= strcasecmp(codecs->items[i], known[j]) == 0;
        path_at(path, "Sip.Codecs", i);
        if (!found)
            conf_error(reader, path, "found \"%.32s\", expected one of PCMU, PCMA, G722, OPUS",
                       codecs->items[i]);
    }
}

static void check_sources(struct conf_reader *reader, const char *list, const struct conf_strings *strings) {
    char path[CONF_PATH_MAX];
    for (size_t i = 0; i < strings->count; i++) {
        path_at(path, list, i);
        if (!conf_is_address(strings->items[i]) && !conf_is_network(strings->items[i]))
            conf_error(reader, path,
                       "found \"%.64s\", expected an address or a network, as \"203.0.113.7\" or "
                       "\"203.0.113.0/24\"",
                       strings->items[i]);
    }
}

static void check_forwarded_headers(struct conf_reader *reader, const struct conf_strings *names) {
    char path[CONF_PATH_MAX];
    if (names->count > MAX_FORWARDED_HEADERS)
        conf_error(reader, "Sip.ForwardedHeaders", "found %zu names, at most %d are allowed", names->count,
                   MAX_FORWARDED_HEADERS);
    for (size_t i = 0; i < names->count; i++) {
        path_at(path, "Sip.ForwardedHeaders", i);
        if (strncasecmp(names->items[i], "X-", 2) != 0 || !conf_is_word(names->items[i], "-_."))
            conf_error(reader, path, "found \"%.64s\", expected the name of an X- header, as \"X-Account\"",
                       names->items[i]);
    }
}

static const struct conf_region *region_of(const struct conf *conf, const char *id) {
    for (size_t i = 0; i < conf->region_count; i++) {
        if (strcmp(conf->regions[i].id, id) == 0)
            return &conf->regions[i];
    }
    return NULL;
}

static void check_number_names(struct conf_reader *reader, const struct conf *conf,
                               const struct conf_number *number, const char *path) {
    char key[CONF_PATH_MAX];
    bool fixed_agent = *conf->agent.url || *conf->agent.builtin;
    conf_join(key, path, "RouteId");
    if (!*number->route_id)
        conf_warn(reader, key, "is missing: its calls get 404 Route Not Found; set the platform's route");
    conf_join(key, path, "RegionId");
    if (!region_of(conf, number->region_id))
        conf_warn(reader, key,
                  "\"%.64s\" is not in Regions: its calls get 503 Region not enabled; add the region",
                  number->region_id);
    conf_join(key, path, "CampaignId");
    if (conf->gateway.roles & CONF_ROLE_MEDIA && !fixed_agent && !conf_campaign(conf, number->campaign_id))
        conf_warn(reader, key,
                  "\"%.64s\" is not in VoiceAiPlatform.Campaigns: its calls will fail; add the campaign",
                  number->campaign_id);
}

static void check_number(struct conf_reader *reader, const struct conf *conf,
                         const struct conf_number *number, const char *path) {
    char key[CONF_PATH_MAX];
    conf_join(key, path, "Number");
    if (!*number->number)
        conf_error(reader, key, "is missing; set it as dialled, as \"+96812345678\"");
    else if (!conf_is_word(number->number, "+*#-_.") || strlen(number->number) > 64)
        conf_error(reader, key, "found \"%.64s\", expected a number as dialled, as \"+96812345678\"",
                   number->number);
    if (strlen(number->id) > 127 || strlen(number->region_id) > 127)
        conf_error(reader, path, "its name or region has more than 127 characters; shorten it");
    conf_join(key, path, "OverrideSipPassword");
    if (*number->override_sip_username && !*number->override_sip_password)
        conf_error(reader, key, "is missing while OverrideSipUsername is set; set both or none");
    conf_join(key, path, "OverrideSipUsername");
    if (*number->override_sip_password && !*number->override_sip_username)
        conf_error(reader, key, "is missing while OverrideSipPassword is set; set both or none");
    conf_join(key, path, "AllowedSourceIps");
    check_sources(reader, key, &number->allowed_source_ips);
    if (strcasecmp(number->provider, "SIP") == 0)
        check_number_names(reader, conf, number, path);
}

static void check_business(struct conf_reader *reader, const struct conf *conf,
                           const struct conf_business *business) {
    char path[CONF_PATH_MAX], list[CONF_PATH_MAX], key[CONF_PATH_MAX];
    conf_join(path, "Businesses", business->id);
    size_t digits = strspn(business->id, "0123456789");
    if (!digits || business->id[digits] || digits > 18 || (digits > 1 && *business->id == '0'))
        conf_error(reader, path, "is no business id; write it as a whole number without zeros before it");
    conf_join(list, path, "Numbers");
    for (size_t i = 0; i < business->number_count; i++) {
        conf_join(key, list, business->numbers[i].id);
        check_number(reader, conf, &business->numbers[i], key);
    }
}

struct dialled {
    char digits[128];
    const char *business_id, *id;
};

static int compare_dialled(const void *a, const void *b) {
    const struct dialled *left = a, *right = b;
    return strcmp(left->digits, right->digits);
}

static void warn_same(struct conf_reader *reader, const struct dialled *one, const struct dialled *other) {
    char path[CONF_PATH_MAX];
    snprintf(path, sizeof path, "Businesses.%s.Numbers.%s.Number", one->business_id, one->id);
    if (*one->digits && strcmp(one->digits, other->digits) == 0)
        conf_warn(
            reader, path,
            "is that of Businesses.%s.Numbers.%s too: dialled alone it finds neither; X-Business-Id and "
            "X-Phone-Id tell them apart",
            other->business_id, other->id);
}

// A trunk may name a number by its digits alone only while one number has them.
static void check_dialled(struct conf_reader *reader, const struct conf *conf) {
    size_t count = 0;
    for (size_t i = 0; i < conf->business_count; i++)
        count += conf->businesses[i].number_count;
    struct dialled *all = calloc(count + 1, sizeof *all), *next = all;
    if (!all) {
        reader->no_memory = true;
        return;
    }
    for (size_t i = 0; i < conf->business_count; i++) {
        for (size_t j = 0; j < conf->businesses[i].number_count; j++, next++) {
            const struct conf_number *number = &conf->businesses[i].numbers[j];
            *next = (struct dialled){.business_id = conf->businesses[i].id, .id = number->id};
            if (strcasecmp(number->provider, "SIP") == 0)
                conf_digits(number->number, next->digits, sizeof next->digits);
        }
    }
    qsort(all, count, sizeof *all, compare_dialled);
    for (size_t i = 1; i < count; i++)
        warn_same(reader, &all[i], &all[i - 1]);
    free(all);
}

static void check_region(struct conf_reader *reader, const struct conf *conf,
                         const struct conf_region *region) {
    char path[CONF_PATH_MAX], list[CONF_PATH_MAX], key[CONF_PATH_MAX], server[CONF_PATH_MAX];
    conf_join(path, "Regions", region->id);
    conf_join(list, path, "FallbackRegionIds");
    for (size_t i = 0; i < region->fallback_region_ids.count; i++) {
        path_at(key, list, i);
        if (!region_of(conf, region->fallback_region_ids.items[i]))
            conf_warn(reader, key, "\"%.64s\" is not in Regions and never helps; add the region",
                      region->fallback_region_ids.items[i]);
    }
    conf_join(list, path, "Servers");
    for (size_t i = 0; i < region->server_count; i++) {
        conf_join(server, list, region->servers[i].id);
        conf_join(key, server, "Endpoint");
        const char *endpoint = region->servers[i].endpoint;
        if (*endpoint && !conf_is_address(endpoint) && !conf_is_word(endpoint, ".-"))
            conf_error(reader, key, "found \"%.64s\", expected an address or a name, as \"10.0.0.5\"",
                       endpoint);
    }
}

// Nobody is surprised by open ports: a node without numbers listens only when it is told to.
static void quiet_without_numbers(const json_t *tree, struct conf *conf) {
    const json_t *sip = json_object_get(tree, "Sip");
    if (conf->business_count)
        return;
    if (!json_object_get(sip, "ProxyListen"))
        conf_strings_clear(&conf->sip.proxy_listen);
    if (!json_object_get(sip, "MediaListen"))
        conf_strings_clear(&conf->sip.media_listen);
}

void conf_check_sip(struct conf_reader *reader, const json_t *tree, struct conf *conf) {
    quiet_without_numbers(tree, conf);
    check_listen(reader, "Sip.ProxyListen", &conf->sip.proxy_listen);
    check_listen(reader, "Sip.MediaListen", &conf->sip.media_listen);
    check_both_listens(reader, conf);
    check_tls(reader, conf);
    check_codecs(reader, &conf->sip.codecs);
    check_sources(reader, "Sip.TrustedSources", &conf->sip.trusted_sources);
    check_forwarded_headers(reader, &conf->sip.forwarded_headers);
    for (size_t i = 0; i < conf->business_count; i++)
        check_business(reader, conf, &conf->businesses[i]);
    check_dialled(reader, conf);
    for (size_t i = 0; i < conf->region_count; i++)
        check_region(reader, conf, &conf->regions[i]);
}
