// SPDX-License-Identifier: Apache-2.0
// Input: the file's text, then (each after a zero byte) environment variables.
#include "gateway/core/conf.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_VARIABLES = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct conf *conf) {
    char *printed = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&printed, &len);
    if (!out)
        return;
    if (conf_print(conf, out) != 0 || conf_restart_needed(conf, conf, out) != 0)
        abort();
    fclose(out);
    free(printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    char *env[MAX_VARIABLES + 1] = {NULL};
    size_t text_len = strlen(text), count = 0;
    for (size_t at = text_len + 1; at < size && count < MAX_VARIABLES; at += strlen(text + at) + 1)
        env[count++] = text + at;
    char *said = NULL;
    size_t said_len = 0;
    struct conf_report report = {.out = open_memstream(&said, &said_len)};
    struct conf *conf = NULL;
    int err = conf_parse(&conf, "fuzz", text, text_len, env, &report);
    if ((err == 0) != (conf != NULL) || (err == 0) != (report.errors == 0))
        abort();
    if (conf)
        use(conf);
    conf_free(conf);
    fclose(report.out);
    free(said);
    free(text);
    return 0;
}
