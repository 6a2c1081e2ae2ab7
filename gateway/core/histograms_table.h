// SPDX-License-Identifier: Apache-2.0
// Included several times on purpose, by metrics.h and metrics.c, hence no include guard.
// HISTOGRAM(id, "name", "labels", "help", first bucket's upper bound in nanoseconds; each next is twice the last)
HISTOGRAM(HISTOGRAM_LAG_WORKER, "iqra_loop_lag_seconds", "loop=\"worker\"",
          "How late a timer of a loop fires, ten times a second", 62500)
HISTOGRAM(HISTOGRAM_LAG_CTL, "iqra_loop_lag_seconds", "loop=\"ctl\"",
          "How late a timer of a loop fires, ten times a second", 62500)
HISTOGRAM(HISTOGRAM_TICK_LATE, "iqra_tick_late_seconds", "",
          "How late media ticks run, by groups of a quarter millisecond", 62500)
HISTOGRAM(HISTOGRAM_JITTER_TARGET, "iqra_jitter_buffer_seconds", "",
          "What the jitter buffer of a stream aims at, with each RTCP report", 1000000)
HISTOGRAM(HISTOGRAM_STAGE_DECODE, "iqra_stage_seconds", "stage=\"decode\"",
          "Time of a stage of the packet path, of one frame in 61", 250)
HISTOGRAM(HISTOGRAM_STAGE_RESAMPLE, "iqra_stage_seconds", "stage=\"resample\"",
          "Time of a stage of the packet path, of one frame in 61", 250)
HISTOGRAM(HISTOGRAM_STAGE_ENCODE, "iqra_stage_seconds", "stage=\"encode\"",
          "Time of a stage of the packet path, of one frame in 61", 250)
HISTOGRAM(HISTOGRAM_STAGE_PROTECT, "iqra_stage_seconds", "stage=\"protect\"",
          "Time of a stage of the packet path, of one frame in 61", 250)
HISTOGRAM(HISTOGRAM_STAGE_SEND, "iqra_stage_seconds", "stage=\"send\"",
          "Time of a stage of the packet path, of one frame in 61", 250)
HISTOGRAM(HISTOGRAM_SETUP_BROWSER, "iqra_call_setup_seconds", "kind=\"browser\"",
          "From the browser's socket, or the trunk's INVITE, until media flows", 10000000)
HISTOGRAM(HISTOGRAM_SETUP_SIP, "iqra_call_setup_seconds", "kind=\"sip\"",
          "From the browser's socket, or the trunk's INVITE, until media flows", 10000000)
HISTOGRAM(HISTOGRAM_PLATFORM, "iqra_platform_seconds", "", "Time until the platform answered", 1000000)
HISTOGRAM(HISTOGRAM_QUEUE_WAIT, "iqra_queue_wait_seconds", "",
          "Time that those waited whom this node has served", 100000000)
