// SPDX-License-Identifier: Apache-2.0
// The command line.
#ifndef IQ_GATEWAY_OPTIONS_H
#define IQ_GATEWAY_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

enum options_action { OPTIONS_RUN, OPTIONS_CHECK, OPTIONS_PRINT_CONFIG, OPTIONS_VERSION, OPTIONS_HELP };

struct options {
    enum options_action action;
    const char *config; // borrows argv
};

int options_parse(int argc, char **argv, struct options *out); // -EINVAL after a line on stderr
void options_help(FILE *out);

#endif
