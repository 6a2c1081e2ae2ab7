// SPDX-License-Identifier: Apache-2.0
// A fake HTTP client that stands for the platform: keeps what it was asked, and answers when told to.
#ifndef IQ_TESTS_FAKE_PLATFORM_H
#define IQ_TESTS_FAKE_PLATFORM_H

#include "signaling/httpc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

// What the fake platform was asked, and how to answer it.
static struct {
    int asked, refuse_err;
    char url[512], headers[512], body[4096];
    void (*on_done)(const struct httpc_response *response, void *arg);
    void *arg;
} platform;

int httpc_send(struct httpc *client, const struct httpc_request *request,
               void (*on_done)(const struct httpc_response *response, void *arg), void *arg) {
    (void)client;
    if (platform.refuse_err)
        return platform.refuse_err;
    platform.asked++;
    assert_string_equal(request->method, "POST");
    assert_true(request->timeout_ms > 0);
    snprintf(platform.url, sizeof platform.url, "%s", request->url);
    snprintf(platform.body, sizeof platform.body, "%.*s", (int)request->body_len, request->body);
    platform.headers[0] = '\0';
    for (size_t i = 0; i < request->header_count; i++) {
        size_t n = strlen(platform.headers);
        snprintf(platform.headers + n, sizeof platform.headers - n, "%s\n", request->headers[i]);
    }
    platform.on_done = on_done;
    platform.arg = arg;
    return 0;
}

static void platform_answers(long status, const char *body) {
    struct httpc_response response = {.status = status, .body = body, .body_len = strlen(body), .text = ""};
    assert_non_null(platform.on_done);
    platform.on_done(&response, platform.arg);
    platform.on_done = NULL;
}

__attribute__((unused)) static void platform_fails(int err) {
    struct httpc_response response = {.err = err, .body = "", .text = "it did not answer"};
    platform.on_done(&response, platform.arg);
    platform.on_done = NULL;
}

#define PLATFORM                                                                                             \
    "\"VoiceAiPlatform\":{\"ApiSecretToken\":\"TOKEN1\",\"BaseUrl\":\"https://p.example/api/v1/"             \
    "\",\"Campaigns\":"                                                                                      \
    "{\"Example\":{\"BusinessId\":\"12\",\"WebCampaignId\":\"web-1\",\"AllowedRegionIds\":[\"EU-DE\","       \
    "\"us\"]}}}"
#define CAMPAIGNS_ONLY                                                                                       \
    "\"VoiceAiPlatform\":{\"Campaigns\":{\"Example\":{\"BusinessId\":\"12\",\"WebCampaignId\":\"web-1\","    \
    "\"AllowedRegionIds\":[\"EU-DE\"]}}}"

static const char platform_good[] =
    "{\"success\":true,\"message\":\"\",\"code\":\"\",\"data\":{\"webSessionId\":\"w1\","
    "\"conversationSessionId\":"
    "\"ses_abc\",\"sessionWebSocketURL\":\"wss://agent.example/ws?token=SECRET\"}}";

#endif
