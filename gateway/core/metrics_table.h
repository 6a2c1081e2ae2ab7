// SPDX-License-Identifier: Apache-2.0
// Included several times on purpose, by metrics.h and metrics.c, hence no include guard.
// METRIC(id, type, "name", "labels", "help")
METRIC(METRIC_CALLS, gauge, "iqra_calls", "", "Calls alive now")
METRIC(METRIC_CALLS_STARTED, counter, "iqra_calls_started_total", "", "Calls begun")
METRIC(METRIC_CALLS_CONNECTED, counter, "iqra_calls_connected_total", "",
       "Calls whose media came up on both sides")
METRIC(METRIC_CALLS_FAILED, counter, "iqra_calls_failed_total", "", "Calls that ended with an error")
METRIC(METRIC_SESSIONS_PENDING, gauge, "iqra_sessions_pending", "",
       "Sessions admitted whose browser has not come yet")
METRIC(METRIC_SESSION_OK, counter, "iqra_session_requests_total", "outcome=\"admitted\"",
       "Session requests by outcome")
METRIC(METRIC_SESSION_INVALID, counter, "iqra_session_requests_total", "outcome=\"invalid\"",
       "Session requests by outcome")
METRIC(METRIC_SESSION_REFUSED, counter, "iqra_session_requests_total", "outcome=\"refused\"",
       "Session requests by outcome")
METRIC(METRIC_SESSION_FAILED, counter, "iqra_session_requests_total", "outcome=\"failed\"",
       "Session requests by outcome")
METRIC(METRIC_SESSION_QUEUED, counter, "iqra_session_requests_total", "outcome=\"queued\"",
       "Session requests by outcome")
METRIC(METRIC_SLOTS, gauge, "iqra_slots", "", "Slots taken on all nodes, as this one saw it last")
METRIC(METRIC_QUEUE_LENGTH, gauge, "iqra_queue_length", "",
       "Requests that wait, on all nodes, as this one saw it last")
METRIC(METRIC_QUEUE_READY, counter, "iqra_queue_outcomes_total", "outcome=\"ready\"",
       "Waiters by what became of them")
METRIC(METRIC_QUEUE_FAILED, counter, "iqra_queue_outcomes_total", "outcome=\"failed\"",
       "Waiters by what became of them")
METRIC(METRIC_QUEUE_LEFT, counter, "iqra_queue_outcomes_total", "outcome=\"left\"",
       "Waiters by what became of them")
METRIC(METRIC_QUEUE_AGAIN, counter, "iqra_queue_returned_total", "",
       "Waiters that went back to the front, since the platform or this node had no room")
METRIC(METRIC_PLATFORM_REQUESTS, counter, "iqra_platform_requests_total", "",
       "Sessions asked of the platform")
METRIC(METRIC_SIGNALLING_REFUSED, counter, "iqra_signalling_refused_total", "",
       "Signalling sockets refused for their token or origin")
METRIC(METRIC_RTP_IN, counter, "iqra_rtp_packets_total", "direction=\"in\"",
       "RTP packets of authenticated streams")
METRIC(METRIC_RTP_OUT, counter, "iqra_rtp_packets_total", "direction=\"out\"",
       "RTP packets of authenticated streams")
METRIC(METRIC_RTP_LOST, counter, "iqra_rtp_lost_total", "",
       "RTP packets that never came or came too late to play")
METRIC(METRIC_RTP_CONCEALED_MS, counter, "iqra_rtp_concealed_milliseconds_total", "",
       "Caller audio made up by concealment")
METRIC(METRIC_SRTP_REJECTED, counter, "iqra_srtp_rejected_total", "",
       "Packets that failed authentication or were replayed")
METRIC(METRIC_RTP_REFUSED_SOURCE, counter, "iqra_rtp_refused_total", "reason=\"source\"",
       "Datagrams on a trunk's media ports that were not taken")
METRIC(METRIC_RTP_REFUSED_FLOOD, counter, "iqra_rtp_refused_total", "reason=\"flood\"",
       "Datagrams on a trunk's media ports that were not taken")
METRIC(METRIC_RTP_REFUSED_KIND, counter, "iqra_rtp_refused_total", "reason=\"kind\"",
       "Datagrams on a trunk's media ports that were not taken")
METRIC(METRIC_AGENT_CONNECTED, counter, "iqra_agent_connections_total", "outcome=\"connected\"",
       "Agent sockets by outcome")
METRIC(METRIC_AGENT_FAILED, counter, "iqra_agent_connections_total", "outcome=\"failed\"",
       "Agent sockets by outcome")
METRIC(METRIC_AGENT_FRAMES_OUT, counter, "iqra_agent_frames_total", "direction=\"out\"",
       "Audio frames on agent sockets")
METRIC(METRIC_AGENT_FRAMES_IN, counter, "iqra_agent_frames_total", "direction=\"in\"",
       "Audio frames on agent sockets")
METRIC(METRIC_AGENT_DROPPED, counter, "iqra_agent_frames_dropped_total", "",
       "Audio frames not sent because the agent did not read")
METRIC(METRIC_PACER_UNDERRUN, counter, "iqra_pacer_underruns_total", "",
       "Times an agent's speech ran dry before its next chunk came")
METRIC(METRIC_HTTP_REQUESTS, counter, "iqra_http_requests_total", "", "HTTP requests answered")
METRIC(METRIC_LOG_DROPPED, counter, "iqra_log_lines_dropped_total", "", "Log lines dropped by the rate limit")
METRIC(METRIC_RATELIMIT_OK, counter, "iqra_rate_limit_total", "verdict=\"ok\"",
       "Session requests by what the limits of their address said")
METRIC(METRIC_RATELIMIT_CONCURRENT, counter, "iqra_rate_limit_total", "verdict=\"concurrent\"",
       "Session requests by what the limits of their address said")
METRIC(METRIC_RATELIMIT_HOURLY, counter, "iqra_rate_limit_total", "verdict=\"hourly\"",
       "Session requests by what the limits of their address said")
METRIC(METRIC_RATELIMIT_DAILY, counter, "iqra_rate_limit_total", "verdict=\"daily\"",
       "Session requests by what the limits of their address said")
METRIC(METRIC_IPCHECK_ALLOWED, counter, "iqra_ip_checks_total", "verdict=\"allowed\"",
       "Client addresses by what their reputation came to")
METRIC(METRIC_IPCHECK_VPN, counter, "iqra_ip_checks_total", "verdict=\"vpn\"",
       "Client addresses by what their reputation came to")
METRIC(METRIC_IPCHECK_PROXY, counter, "iqra_ip_checks_total", "verdict=\"proxy\"",
       "Client addresses by what their reputation came to")
METRIC(METRIC_IPCHECK_DATACENTER, counter, "iqra_ip_checks_total", "verdict=\"datacenter\"",
       "Client addresses by what their reputation came to")
METRIC(METRIC_IPCHECK_TOR, counter, "iqra_ip_checks_total", "verdict=\"tor\"",
       "Client addresses by what their reputation came to")
METRIC(METRIC_IPCHECK_ABUSER, counter, "iqra_ip_checks_total", "verdict=\"abuser\"",
       "Client addresses by what their reputation came to")
METRIC(METRIC_IPCHECK_UNKNOWN, counter, "iqra_ip_checks_total", "verdict=\"unknown\"",
       "Client addresses by what their reputation came to")
METRIC(METRIC_IPCHECK_CACHE_HIT, counter, "iqra_ip_check_cache_total", "result=\"hit\"",
       "Address facts looked for in Redis")
METRIC(METRIC_IPCHECK_CACHE_MISS, counter, "iqra_ip_check_cache_total", "result=\"miss\"",
       "Address facts looked for in Redis")
METRIC(METRIC_IPCHECK_LOOKUP_OK, counter, "iqra_ip_check_lookups_total", "outcome=\"ok\"",
       "Requests to IpApi by outcome")
METRIC(METRIC_IPCHECK_LOOKUP_FAILED, counter, "iqra_ip_check_lookups_total", "outcome=\"failed\"",
       "Requests to IpApi by outcome")
METRIC(METRIC_IPCHECK_LOOKUPS_NOW, gauge, "iqra_ip_check_lookups", "", "Requests to IpApi in flight")
METRIC(METRIC_IPCHECK_BREAKER, gauge, "iqra_ip_check_breaker_open", "",
       "1 while IpApi is not asked because it kept failing")
METRIC(METRIC_USAGE_KNOWN, counter, "iqra_platform_usage_polls_total", "outcome=\"known\"",
       "Polls of the platform's own figures by outcome")
METRIC(METRIC_USAGE_FAILED, counter, "iqra_platform_usage_polls_total", "outcome=\"failed\"",
       "Polls of the platform's own figures by outcome")
METRIC(METRIC_PLATFORM_CALLS, gauge, "iqra_platform_calls", "",
       "Calls the platform counts for our plan, -1 when it does not say")
METRIC(METRIC_PLATFORM_CALLS_MAX, gauge, "iqra_platform_calls_max", "",
       "Calls our plan allows, -1 for no limit")
METRIC(METRIC_WEBHOOK_ENDED, counter, "iqra_webhooks_total", "outcome=\"ended\"",
       "Session-ended webhooks by outcome")
METRIC(METRIC_WEBHOOK_UNKNOWN, counter, "iqra_webhooks_total", "outcome=\"unknown\"",
       "Session-ended webhooks by outcome")
METRIC(METRIC_WEBHOOK_INVALID, counter, "iqra_webhooks_total", "outcome=\"invalid\"",
       "Session-ended webhooks by outcome")
METRIC(METRIC_WEBHOOK_UNAUTHORIZED, counter, "iqra_webhooks_total", "outcome=\"unauthorized\"",
       "Session-ended webhooks by outcome")
METRIC(METRIC_WEBHOOK_FAILED, counter, "iqra_webhooks_total", "outcome=\"failed\"",
       "Session-ended webhooks by outcome")
METRIC(METRIC_REDIS_UP, gauge, "iqra_redis_up", "", "1 while Redis takes commands")
METRIC(METRIC_REDIS_CONNECTS, counter, "iqra_redis_connects_total", "",
       "Connections to Redis that came up, the first one included")
METRIC(METRIC_REDIS_COMMANDS, counter, "iqra_redis_commands_total", "", "Commands sent to Redis")
METRIC(METRIC_REDIS_ERRORS, counter, "iqra_redis_errors_total", "",
       "Commands that Redis refused or never answered")
METRIC(METRIC_REDIS_ANSWERS, counter, "iqra_redis_answers_total", "", "Commands that Redis answered")
METRIC(METRIC_REDIS_ANSWER_US, counter, "iqra_redis_answer_microseconds_total", "",
       "Time from each command to its answer, summed up")
METRIC(METRIC_SIP_PENDING, gauge, "iqra_sip_proxy_pending", "",
       "INVITEs at the proxy that wait for their verdict")
METRIC(METRIC_SIP_INVITES, counter, "iqra_sip_proxy_invites_total", "",
       "INVITEs at the proxy, without those sent again and those beyond the rate")
METRIC(METRIC_SIP_REDIRECTED, counter, "iqra_sip_proxy_answers_total", "outcome=\"redirected\"",
       "INVITEs at the proxy by outcome")
METRIC(METRIC_SIP_REFUSED, counter, "iqra_sip_proxy_answers_total", "outcome=\"refused\"",
       "INVITEs at the proxy by outcome")
METRIC(METRIC_SIP_CANCELLED, counter, "iqra_sip_proxy_answers_total", "outcome=\"cancelled\"",
       "INVITEs at the proxy by outcome")
METRIC(METRIC_SIP_LIMITED, counter, "iqra_sip_proxy_limited_total", "answer=\"503\"",
       "Requests at the proxy beyond the rate of one source, and those of scanners")
METRIC(METRIC_SIP_SILENT, counter, "iqra_sip_proxy_limited_total", "answer=\"none\"",
       "Requests at the proxy beyond the rate of one source, and those of scanners")
METRIC(METRIC_SIP_CONNECTIONS_SOURCE, counter, "iqra_sip_connections_ended_total", "reason=\"source\"",
       "TCP and TLS connections refused for a limit, or ended for their silence")
METRIC(METRIC_SIP_CONNECTIONS_TOTAL, counter, "iqra_sip_connections_ended_total", "reason=\"total\"",
       "TCP and TLS connections refused for a limit, or ended for their silence")
METRIC(METRIC_SIP_CONNECTIONS_SILENT, counter, "iqra_sip_connections_ended_total", "reason=\"silent\"",
       "TCP and TLS connections refused for a limit, or ended for their silence")
METRIC(METRIC_SIP_DIALOGS, gauge, "iqra_sip_dialogs", "",
       "Calls at the listener now, with those whose last BYE waits for its answer")
METRIC(METRIC_SIP_LISTENER_LIMITED, counter, "iqra_sip_listener_limited_total", "answer=\"503\"",
       "New requests at the listener beyond the rate of one source, or beyond its room for calls")
METRIC(METRIC_SIP_LISTENER_SILENT, counter, "iqra_sip_listener_limited_total", "answer=\"none\"",
       "New requests at the listener beyond the rate of one source, or beyond its room for calls")
METRIC(METRIC_SIP_LOGIN_ASKED, counter, "iqra_sip_logins_total", "outcome=\"asked\"",
       "Digest logins by outcome")
METRIC(METRIC_SIP_LOGIN_GOOD, counter, "iqra_sip_logins_total", "outcome=\"good\"",
       "Digest logins by outcome")
METRIC(METRIC_SIP_LOGIN_WRONG, counter, "iqra_sip_logins_total", "outcome=\"wrong\"",
       "Digest logins by outcome")
METRIC(METRIC_HUB_CONNECTIONS, gauge, "iqra_hub_connections", "", "Clients connected to the SignalR hub now")
METRIC(METRIC_HUB_REFUSED, counter, "iqra_hub_refused_total", "",
       "Hub connections refused for a limit or while draining")
METRIC(METRIC_HUB_EVENTS, counter, "iqra_hub_events_total", "", "Events sent to clients of the hub")
METRIC(METRIC_HUB_RELAYED, counter, "iqra_hub_relayed_total", "",
       "Requests of hub connections that another node answered")
METRIC(METRIC_SIP_CALLS_OFFERED, counter, "iqra_sip_invites_total", "", "INVITEs that came to the listener")
METRIC(METRIC_SIP_CALLS_ANSWERED, counter, "iqra_sip_calls_total", "outcome=\"answered\"",
       "Calls of trunks by how their setup ended")
METRIC(METRIC_SIP_CALLS_FAILED, counter, "iqra_sip_calls_total", "outcome=\"rejected\"",
       "Calls of trunks by how their setup ended")
METRIC(METRIC_SIP_CALLS_GIVEN_UP, counter, "iqra_sip_calls_total", "outcome=\"given_up\"",
       "Calls of trunks by how their setup ended")
METRIC(METRIC_SIP_SETUP_MS, counter, "iqra_sip_setup_milliseconds_total", "",
       "From the INVITE to the answer, of answered calls together")
METRIC(METRIC_SETUP_CLAIM_MS, counter, "iqra_call_setup_milliseconds_total", "step=\"claim\"",
       "Time of the steps before a conversation, of all calls together")
METRIC(METRIC_SETUP_PLATFORM_MS, counter, "iqra_call_setup_milliseconds_total", "step=\"platform\"",
       "Time of the steps before a conversation, of all calls together")
METRIC(METRIC_SETUP_AGENT_MS, counter, "iqra_call_setup_milliseconds_total", "step=\"agent\"",
       "Time of the steps before a conversation, of all calls together")
METRIC(METRIC_SETUP_CONFIRM_MS, counter, "iqra_call_setup_milliseconds_total", "step=\"confirm\"",
       "Time of the steps before a conversation, of all calls together")
METRIC(METRIC_CALLS_PCMU, counter, "iqra_calls_talked_total", "codec=\"PCMU\"",
       "Calls that ended after a conversation")
METRIC(METRIC_CALLS_PCMA, counter, "iqra_calls_talked_total", "codec=\"PCMA\"",
       "Calls that ended after a conversation")
METRIC(METRIC_CALLS_G722, counter, "iqra_calls_talked_total", "codec=\"G722\"",
       "Calls that ended after a conversation")
METRIC(METRIC_CALLS_OPUS, counter, "iqra_calls_talked_total", "codec=\"opus\"",
       "Calls that ended after a conversation")
METRIC(METRIC_CALL_TALKED_MS, counter, "iqra_call_talked_milliseconds_total", "", "Conversations together")
METRIC(METRIC_CALL_JITTER_US, counter, "iqra_call_jitter_microseconds_total", "",
       "Interarrival jitter at the end of each of these calls, summed")
METRIC(METRIC_CALL_RTT_US, counter, "iqra_call_rtt_microseconds_total", "",
       "Round trip time at the end of each of these calls, summed; 0 where it is not known")
METRIC(METRIC_CALL_MOS_HEARD, counter, "iqra_call_mos_hundredths_total", "direction=\"in\"",
       "Estimated MOS of each of these calls, summed, times 100")
METRIC(METRIC_CALL_MOS_SENT, counter, "iqra_call_mos_hundredths_total", "direction=\"out\"",
       "Estimated MOS of each of these calls, summed, times 100")
