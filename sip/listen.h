// SPDX-License-Identifier: Apache-2.0
// Listen addresses of the configuration as sofia wants them. SIP thread.
#ifndef IQ_SIP_LISTEN_H
#define IQ_SIP_LISTEN_H

#include "gateway/core/conf.h"
#include "gateway/core/err.h"

#include <stdbool.h>
#include <stddef.h>

struct nta_agent_s; // sofia's

// "udp:0.0.0.0:5060" -> "sip:0.0.0.0:5060;transport=udp", "tls:[::]:5061" -> "sips:[::]:5061;transport=tls".
// -EINVAL.
int listen_url(const char *text, char *url, size_t url_size);
bool listen_has_tls(const struct conf_strings *list);

// sofia reads a certificate, its key and the authorities from a folder, where they have names of their own. Made
// of Sip.TlsCertificate, TlsKey and TlsCaFile, which are checked, for as long as addresses are bound, for this
// user only. `err` names the key.
int listen_tls_folder_new(char **out, const struct conf *conf, struct err_text *err);
void listen_tls_folder_free(char *folder); // removes it; may be NULL

// One address of a listen list, whose key is named in `err`. A wildcard is each address that this machine has now, and
// each has a name of its own (TPTAG_IDENT): so that what we send leaves by the address that the peer knows.
int listen_bind(struct nta_agent_s *agent, const char *key, const char *address, const struct conf *conf,
                const char *tls_folder, struct err_text *err);

#endif
