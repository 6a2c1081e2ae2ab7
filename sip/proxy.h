// SPDX-License-Identifier: Apache-2.0
// The proxy: the addresses of Sip.ProxyListen, where trunks call. It checks who calls which number, asks ctl for
// servers and redirects (RFC 3261 section 8.3); it never sees the dialog that follows. Belongs to the SIP thread.
//
//   in    nta -> on_message: limits, scanners -> checks (route) -> SIP_ROUTE -> ctl
//   out   SIP_ROUTED -> proxy_mail -> 302 with up to three Contacts, or the refusal
//
// INVITEs are server transactions (section 17.2.1): what is sent again gets the same answer, ACK ends them, CANCEL
// gives up. All else is answered without state.
#ifndef IQ_SIP_PROXY_H
#define IQ_SIP_PROXY_H

#include "gateway/core/conf.h"
#include "gateway/core/err.h"
#include "sip/sip_msg.h"

#include <sofia-sip/su_wait.h>

struct proxy;

// Zero means the usual value; tests make them short.
struct proxy_limits {
    unsigned verdict_ms;  // without a verdict for so long: 503. 4000
    unsigned max_pending; // INVITEs that wait for their verdict; one more gets 503. 16384
    unsigned t1_ms;       // RFC 3261 T1. 500
};

struct proxy_config {
    su_root_t *root;         // borrowed
    const struct conf *conf; // borrowed until proxy_set_conf gives another one
    const char *tls_folder;  // with agent.pem and cafile.pem, for tls: addresses; read in proxy_new
    int (*post)(struct mail mail, void *arg); // to ctl, as mailbox_post
    void *post_arg;
    struct proxy_limits limits;
};

// Binds every address; `err` names the one that cannot be had.
int proxy_new(struct proxy **out, const struct proxy_config *config, struct err_text *err);
void proxy_set_conf(struct proxy *proxy, const struct conf *conf);
void proxy_mail(struct proxy *proxy,
                struct mail *mail);    // SIP_ROUTED; for an INVITE that is gone it does nothing
void proxy_drain(struct proxy *proxy); // INVITE and OPTIONS get 503 with Retry-After from here on
void proxy_free(struct proxy *proxy);  // what waits gets 503; may be NULL

#endif
