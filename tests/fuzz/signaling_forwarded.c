// SPDX-License-Identifier: Apache-2.0
// An X-Forwarded-For of anybody's, behind a trusted proxy: the client is a numeric address that is not trusted
// itself, or the last trusted hop; and what stands left of an untrusted hop changes nothing.
#include "signaling/forwarded.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHAIN_MAX = 4096 };

static void client_of(const struct forwarded *forwarded, const char *chain, char out[FORWARDED_ADDRESS_MAX]) {
    unsigned char bytes[16];
    forwarded_client(forwarded, "10.0.0.1", chain, out, FORWARDED_ADDRESS_MAX);
    if (inet_pton(AF_INET, out, bytes) != 1 && inet_pton(AF_INET6, out, bytes) != 1)
        abort();
    if (strncmp(out, "::ffff:", 7) == 0 && strchr(out, '.'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const networks[] = {"10.0.0.0/8", "fd00::/8"};
    char chain[CHAIN_MAX], longer[CHAIN_MAX + 64], client[FORWARDED_ADDRESS_MAX], same[FORWARDED_ADDRESS_MAX];
    struct forwarded *forwarded;
    if (size >= CHAIN_MAX || forwarded_new(&forwarded, NULL, 0, networks, 2, NULL) != 0)
        return 0;
    memcpy(chain, data, size);
    chain[size] = '\0';
    client_of(forwarded, chain, client);
    if (!forwarded_trusted(forwarded, client)) {
        snprintf(longer, sizeof longer, "198.51.100.99, %s", chain);
        client_of(forwarded, longer, same);
        if (strcmp(client, same) != 0)
            abort();
    }
    forwarded_free(forwarded);
    return 0;
}
