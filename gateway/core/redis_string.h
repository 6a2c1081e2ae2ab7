// SPDX-License-Identifier: Apache-2.0
// RedisConnectionString, in the form of StackExchange.Redis, so that a string in use today works unchanged:
//
//   host[:port],host[:port],option=value,...      or  unix:PATH,option=value,...
//
// Hosts are names, IPv4 addresses, IPv6 addresses in brackets. Names of options and blanks around them do not
// matter. A value goes on to the next comma; one that holds a comma stands in double quotes, "a,b", which
// StackExchange cannot say at all. Pure; here and not in middleware, so that --check can judge it.
#ifndef IQ_CORE_REDIS_STRING_H
#define IQ_CORE_REDIS_STRING_H

#include "gateway/core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REDIS_HOSTS_MAX = 16,
    REDIS_HOST_MAX = 253,
    REDIS_PATH_MAX = 107,
    REDIS_SECRET_MAX = 4096,
    REDIS_NAME_MAX = 255
};

struct redis_host {
    char name[REDIS_HOST_MAX + 1]; // a name or an address, without brackets
    uint16_t port;                 // the default is 6379, 6380 with ssl, 26379 of a Sentinel
};

// Strings are empty when not given.
struct redis_string {
    struct redis_host hosts[REDIS_HOSTS_MAX]; // of servers, or of Sentinels when there is a service
    size_t host_count;                        // 0: `path`
    char path[REDIS_PATH_MAX + 1];            // a unix socket
    char service[REDIS_NAME_MAX + 1];         // serviceName: the master's name at the Sentinels
    char user[REDIS_NAME_MAX + 1];
    char password[REDIS_SECRET_MAX + 1]; // secret
    char client_name[REDIS_NAME_MAX + 1];
    char tls_host[REDIS_HOST_MAX + 1];    // sslHost: what the certificate must name instead of the host
    char tls_ca_file[REDIS_NAME_MAX + 1]; // sslCaFile, which is ours: trust anchors beside the system's
    bool tls;
    uint32_t database;
    uint32_t connect_timeout_ms; // 5000
    uint32_t command_timeout_ms; // syncTimeout or asyncTimeout, the last of them; 5000
    uint32_t check_s;            // configCheckSeconds: Sentinels are asked again after so long; 10
    uint32_t keep_alive_s;       // a PING after so long without a command, 0 = never; 15
};

// -EINVAL: `err` (may be NULL) says what is wrong, never a value that could be a secret. `on_warning` (may be NULL) is told
// of options that are unknown or mean nothing here.
int redis_string_parse(const char *text, struct redis_string *out,
                       void (*on_warning)(const char *text, void *arg), void *arg, struct err_text *err);

#endif
