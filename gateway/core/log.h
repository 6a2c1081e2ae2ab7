// SPDX-License-Identifier: Apache-2.0
// Logs: one JSON object a line on stderr: {"ts","level","call","mod","msg"}. `call` is the session id (or
// NULL), so that `grep` by it shows one call whole. Never pass a token, key or agent URL with its query. Any
// thread; never on the packet path. Each (level, module) is limited to a burst of 200 lines and 50 a second
// after that; what was dropped is counted and said in the next line that passes.
#ifndef IQ_CORE_LOG_H
#define IQ_CORE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level); // default LOG_INFO
int log_level_parse(const char *text,
                    enum log_level *out); // "Debug", "Information", "Warning", "Error" as in Logging.LogLevel

void log_write(enum log_level level, const char *call, const char *module, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define log_debug(call, module, ...) log_write(LOG_DEBUG, call, module, __VA_ARGS__)
#define log_info(call, module, ...) log_write(LOG_INFO, call, module, __VA_ARGS__)
#define log_warn(call, module, ...) log_write(LOG_WARN, call, module, __VA_ARGS__)
#define log_error(call, module, ...) log_write(LOG_ERROR, call, module, __VA_ARGS__)

#endif
