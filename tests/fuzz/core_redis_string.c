// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/redis_string.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_warning(const char *text, void *arg) {
    *(size_t *)arg += strlen(text);
}

static void must(bool holds) {
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct redis_string out;
    struct err_text err = {""};
    size_t warned = 0;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    int rc = redis_string_parse(text, &out, on_warning, &warned, &err);
    must((rc == 0) == !err.text[0]);
    if (rc == 0) {
        must((out.host_count > 0) != (out.path[0] != '\0'));
        must(out.host_count <= REDIS_HOSTS_MAX);
        for (size_t i = 0; i < out.host_count; i++)
            must(out.hosts[i].name[0] && strlen(out.hosts[i].name) <= REDIS_HOST_MAX && out.hosts[i].port);
        must(strlen(out.password) <= REDIS_SECRET_MAX && strlen(out.user) <= REDIS_NAME_MAX);
        must(!*out.password || strstr(text, out.password));
        must(out.connect_timeout_ms && out.command_timeout_ms && out.check_s);
    }
    free(text);
    return 0;
}
