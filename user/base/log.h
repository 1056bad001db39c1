/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_BASE_LOG_H
#define USER_BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Set the program's name, shown before each line; the string is borrowed for ever. */
void log_init(const char *program);

/* Parse "error", "warn", "info" or "debug".  0, or -EINVAL with the level unchanged. */
int log_set_level(const char *name);

/* 1 if a line of this level would be printed. */
int log_enabled(enum log_level level);

/* One line to standard error; thread-safe; colour only on a terminal. */
void log_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The same with ": <text of err>" behind it.  err is a negative errno and is returned. */
int log_errno(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                    \
	do {                                              \
		if (log_enabled(LOG_DEBUG))               \
			log_line(LOG_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
