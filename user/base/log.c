/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for people on standard error; one write each, so threads do not mix them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define LINE_MAX_BYTES 2048

static const char *program_name = "tollgate";
static enum log_level max_level = LOG_INFO;

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

int log_enabled(enum log_level level)
{
	return level <= max_level;
}

static void log_write(enum log_level level, const char *text)
{
	int colour = levels[level].colour[0] && isatty(STDERR_FILENO);
	char line[LINE_MAX_BYTES + 128];
	int n;

	n = snprintf(line, sizeof(line), "%s: %s%s%s: %s\n", program_name,
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
