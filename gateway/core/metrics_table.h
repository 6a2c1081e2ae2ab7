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
