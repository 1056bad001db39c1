/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_BASE_LOG_H
#define USER_BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

#include <stdint.h>

/* Set the program's name, shown before each line; the string is borrowed for ever. */
void log_init(const char *program);

/* Parse "error", "warn", "info" or "debug".  0, or -EINVAL with the level unchanged. */
int log_set_level(const char *name);

/* Its name. */
const char *log_level_name(void);

/*
 * "text", or "json": an object a line, with time, level, program and message.  0, or
 * -EINVAL with the format unchanged.
 */
int log_set_format(const char *name);

/* 1 if a line of this level would be printed. */
int log_enabled(enum log_level level);

/* One line to standard error; thread-safe; colour only on a terminal.  To a file or a
 * pipe each line begins with the time (RFC 3339, UTC); to the journal it does not, which
 * has its own. */
void log_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The same with ": <text of err>" behind it.  err is a negative errno and is returned. */
int log_errno(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * The first error that this thread has logged since it forgot the one before, "" if none:
 * for who has to say why something failed that says so in the log only.
 */
#define LOG_ERROR_MAX 400
void log_forget_error(void);
const char *log_first_error(void);

/*
 * How often one place in the program has spoken: for lines that strangers can cause.  At
 * most one a second is printed; how many were kept back is said by the next that is.
 */
struct log_limit {
	uint64_t last_ns;
	uint32_t kept_back;
};

/* Count lines that are kept back there, too; any thread; NULL: nowhere. */
void log_count_kept_back(unsigned long long *word);

void log_line_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_limited(level, ...)                                  \
	do {                                                     \
		static struct log_limit limit_;                  \
		log_line_limited(&limit_, (level), __VA_ARGS__); \
	} while (0)

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                    \
	do {                                              \
		if (log_enabled(LOG_DEBUG))               \
			log_line(LOG_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
