/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/util.h"
#include "tls/loading.h"

#define FILE_MAX (1u << 20)

int loading_wrong(const struct loading *l, const char *file, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!l->listener)
		(void)snprintf(l->why, CONFIG_ERROR_MAX, "%s: %.200s: %s", l->what, file,
			       text);
	else if (l->route)
		(void)snprintf(l->why, CONFIG_ERROR_MAX,
			       "listener '%s', route '%s', %s: %.200s: %s",
			       l->listener->name, l->route->name, l->what, file, text);
	else
		(void)snprintf(l->why, CONFIG_ERROR_MAX,
			       "listener '%s', certificates[%u]: %.200s: %s",
			       l->listener->name, l->index, file, text);
	ERR_clear_error();
	return -EINVAL;
}

const char *loading_said(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "not PEM";
}

bool loading_is_end(void)
{
	unsigned long err = ERR_peek_last_error();

	return ERR_GET_LIB(err) == ERR_LIB_PEM &&
	       ERR_GET_REASON(err) == PEM_R_NO_START_LINE;
}

void loading_warn(const struct loading *l, const char *file, const char *fmt, ...)
{
	struct config *c = l->config;
	size_t had = c->warnings ? strlen(c->warnings) : 0;
	char text[512], line[1024], *all;
	va_list args;
	int n;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!l->listener)
		n = snprintf(line, sizeof(line), "%s: %.300s: %s\n", l->what, file, text);
	else if (l->route)
		n = snprintf(line, sizeof(line),
			     "listener '%s', route '%s': %.300s: %s\n", l->listener->name,
			     l->route->name, file, text);
	else
		n = snprintf(line, sizeof(line),
			     "listener '%s', certificates[%u]: %.300s: %s\n",
			     l->listener->name, l->index, file, text);
	all = realloc(c->warnings, had + (size_t)n + 1);
	if (!all)
		return;
	memcpy(all + had, line, (size_t)n + 1);
	c->warnings = all;
}

int loading_read(const struct loading *l, const char *file, char **ret, size_t *len)
{
	/* whoever renews certificates may be no root: no pipe of theirs holds us up */
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int err = fd < 0 ? -errno : util_read_fd(fd, FILE_MAX, ret, len);

	if (fd >= 0)
		close(fd);

	return err ? loading_wrong(l, file, "cannot be read: %s", strerror(-err)) : 0;
}

uint64_t loading_generation(void)
{
	static uint64_t generation;

	return ++generation;
}
