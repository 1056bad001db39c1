/* SPDX-License-Identifier: Apache-2.0 */
/* What the service manager is told. */
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/notify.h"
#include "base/util.h"
#include "process/daemon.h"

void daemon_tell_ready(const struct daemon *d)
{
	int err = notify("READY=1\nMAINPID=%d\nSTATUS=%u listeners, revision %llu",
			 (int)getpid(), d->config->listeners_count,
			 (unsigned long long)daemon_revision(d));

	if (err)
		log_limited(LOG_WARN, "the service manager cannot be told: %s",
			    strerror(-err));
}

/* Twice in its time; a worker that hangs lets it pass (pulse.h). */
void daemon_tell_alive(struct daemon *d)
{
	uint64_t every = notify_watchdog_ns(), now = util_now_ns();

	if (!every || now - d->told_ns < every / 2 - every / 8)
		return;
	d->told_ns = now;
	(void)notify("WATCHDOG=1");
}
