/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for people on standard error; one write each, so threads do not mix them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define LINE_MAX_BYTES 2048

static const char *program_name = "tollgate";
static enum log_level max_level = LOG_INFO;
static int with_time, as_json;
static unsigned long long *kept_back_total;

static const struct {
	const char *name;
	const char *colour;
} levels[] = {
	[LOG_ERROR] = { "error", "\033[31m" },
	[LOG_WARN] = { "warn", "\033[33m" },
	[LOG_INFO] = { "info", "" },
	[LOG_DEBUG] = { "debug", "\033[2m" },
};

void log_init(const char *program)
{
	program_name = program;
	with_time = !isatty(STDERR_FILENO) && !getenv("JOURNAL_STREAM");
}

/* "2026-11-25T13:31:16.123Z" (RFC 3339). */
static const char *time_now(char *buf, size_t len)
{
	struct timespec now;
	char text[32];
	struct tm tm;

	buf[0] = '\0';
	if (clock_gettime(CLOCK_REALTIME, &now) < 0 || !gmtime_r(&now.tv_sec, &tm))
		return buf;
	if (strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		(void)snprintf(buf, len, "%s.%03dZ", text, (int)(now.tv_nsec / 1000000));
	return buf;
}

int log_set_level(const char *name)
{
	for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(levels[i].name, name) == 0) {
			max_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *log_level_name(void)
{
	return levels[max_level].name;
}

int log_enabled(enum log_level level)
{
	return level <= max_level;
}

int log_set_format(const char *name)
{
	if (strcmp(name, "json") != 0 && strcmp(name, "text") != 0)
		return -EINVAL;
	as_json = name[0] == 'j';
	return 0;
}

/* One line, whatever is in it: what strangers say may be. */
static void make_plain(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
	}
}

/* Quotes and backslashes; the length. */
static size_t escape(const char *text, char *buf, size_t cap)
{
	size_t n = 0;

	for (; *text && n + 3 < cap; text++) {
		if (*text == '"' || *text == '\\')
			buf[n++] = '\\';
		buf[n++] = *text;
	}
	buf[n] = '\0';
	return n;
}

static int make_json(enum log_level level, const char *text, char *line, size_t cap)
{
	char escaped[2 * LINE_MAX_BYTES], when[48];

	(void)escape(text, escaped, sizeof(escaped));
	return snprintf(line, cap,
			"{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\","
			"\"message\":\"%s\"}\n",
			time_now(when, sizeof(when)), levels[level].name, program_name,
			escaped);
}

static _Thread_local char first_error[LOG_ERROR_MAX];

void log_forget_error(void)
{
	first_error[0] = '\0';
}

const char *log_first_error(void)
{
	return first_error;
}

static void log_write(enum log_level level, char *text)
{
	int colour = levels[level].colour[0] && isatty(STDERR_FILENO);
	char line[2 * LINE_MAX_BYTES + 256], when[48];
	int n;

	make_plain(text);
	if (level == LOG_ERROR && !first_error[0])
		(void)snprintf(first_error, sizeof(first_error), "%s", text);
	if (as_json)
		n = make_json(level, text, line, sizeof(line));
	else
		n = snprintf(line, sizeof(line), "%s%s%s: %s%s%s: %s\n",
			     with_time ? time_now(when, sizeof(when)) : "",
			     with_time ? " " : "", program_name,
			     colour ? levels[level].colour : "", levels[level].name,
			     colour ? "\033[0m" : "", text);
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nowhere left to say so */
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_write(level, text);
}

void log_count_kept_back(unsigned long long *word)
{
	__atomic_store_n(&kept_back_total, word, __ATOMIC_RELEASE);
}

void log_line_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
{
	struct timespec now = { 0, 0 };
	char text[LINE_MAX_BYTES];
	uint64_t now_ns, last;
	uint32_t kept_back;
	va_list ap;
	int n;

	if (!log_enabled(level))
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	last = __atomic_load_n(&limit->last_ns, __ATOMIC_RELAXED);
	if ((last && now_ns - last < 1000000000u) ||
	    !__atomic_compare_exchange_n(&limit->last_ns, &last, now_ns, 0,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		unsigned long long *total =
			__atomic_load_n(&kept_back_total, __ATOMIC_ACQUIRE);

		__atomic_add_fetch(&limit->kept_back, 1, __ATOMIC_RELAXED);
		if (total)
			__atomic_add_fetch(total, 1, __ATOMIC_RELAXED);
		return;
	}
	kept_back = __atomic_exchange_n(&limit->kept_back, 0, __ATOMIC_RELAXED);
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (kept_back && n >= 0 && (size_t)n < sizeof(text))
		(void)snprintf(text + n, sizeof(text) - (size_t)n,
			       " (and %u more like it)", kept_back);
	log_write(level, text);
}

int log_errno(int err, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	len = strlen(text);
	(void)snprintf(text + len, sizeof(text) - len, ": %s", strerror(-err));
	log_write(LOG_ERROR, text);
	return err;
}
