/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/notify.h"
#include "base/util.h"

/* A path, or a name of the abstract space, which begins with '@'. */
static socklen_t name_of(const char *text, struct sockaddr_un *ret)
{
	size_t n = strlen(text);

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((text[0] != '/' && text[0] != '@') || n < 2 || n >= sizeof(ret->sun_path))
		return 0;
	memcpy(ret->sun_path, text, n);
	if (text[0] == '@')
		ret->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

static int send_text(const char *text, size_t n)
{
	const char *where = getenv("NOTIFY_SOCKET");
	struct sockaddr_un name;
	socklen_t len;
	int fd, err = 0;

	if (!where || !where[0])
		return 0;
	len = name_of(where, &name);
	if (!len)
		return -EINVAL;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* not waiting: a manager that is busy must not hold the main thread up */
	if (sendto(fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&name,
		   len) < 0)
		err = -errno;
	close(fd);
	return err;
}

int notify(const char *fmt, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return n < 0 || (size_t)n >= sizeof(text) ? -EMSGSIZE
						  : send_text(text, (size_t)n);
}

int notify_reloading(void)
{
	return notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, util_now_ns() / 1000);
}

/*
 * WATCHDOG_PID is not looked at: a successor is another process of the same unit, which
 * it becomes the main process of.
 */
uint64_t notify_watchdog_ns(void)
{
	const char *text = getenv("WATCHDOG_USEC");
	uint64_t us;

	if (!text || util_parse_u64(text, UINT64_MAX / 1000, &us) < 0)
		return 0;
	return us * 1000;
}
