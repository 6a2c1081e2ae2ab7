// SPDX-License-Identifier: Apache-2.0
#include "gateway/options.h"

#include <errno.h>
#include <getopt.h>

#define DEFAULT_CONFIG "/etc/iqra-gateway/appsettings.json"

int options_parse(int argc, char **argv, struct options *out) {
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
        {"print-config", no_argument, NULL, 'p'}, {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    struct options options = {.action = OPTIONS_RUN, .config = DEFAULT_CONFIG};
    optind = 1;
    for (int opt; (opt = getopt_long(argc, argv, "c:h", known, NULL)) != -1;) {
        if (opt == 'c')
            options.config = optarg;
        else if (opt == 'k')
            options.action = OPTIONS_CHECK;
        else if (opt == 'p')
            options.action = OPTIONS_PRINT_CONFIG;
        else if (opt == 'v')
            options.action = OPTIONS_VERSION;
        else if (opt == 'h')
            options.action = OPTIONS_HELP;
        else
            return -EINVAL;
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument \"%s\"; see --help\n", argv[0], argv[optind]);
        return -EINVAL;
    }
    *out = options;
    return 0;
}

void options_help(FILE *out) {
    fputs("iqra-gateway " IQ_VERSION ": a voice gateway between browsers and voice agents on WebSockets\n"
          "\n"
          "usage: iqra-gateway [--config FILE] [--check | --print-config]\n"
          "\n"
          "  -c, --config FILE   configuration; default " DEFAULT_CONFIG "\n"
          "      --check         validate it, name every bad key, exit with 0 or 1\n"
          "      --print-config  show the values in effect, with secrets masked\n"
          "      --version       print the version\n"
          "  -h, --help          this text\n"
          "\n"
          "Every key can be overridden from the environment as Section__Key (arrays: Key__0).\n"
          "SIGTERM or SIGINT: no new calls, end when the last one has ended or Gateway.DrainSeconds are "
          "over; a second\n"
          "one ends at once. SIGHUP: read the configuration again; a bad file changes nothing.\n",
          out);
}
