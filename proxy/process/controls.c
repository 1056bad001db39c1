/* SPDX-License-Identifier: Apache-2.0 */
/* What the control socket asks of the process. */
#include "base/log.h"
#include "base/sandbox.h"
#include "process/daemon.h"
#include "tls/certs.h"

static struct config *config_of(void *arg)
{
	const struct daemon *d = arg;

	return d->config;
}

static const char *text_of_config(void *arg)
{
	const struct daemon *d = arg;

	return d->text;
}

static int reload(void *arg, struct faults *f)
{
	return daemon_reload(arg, f);
}

static int look(void *arg, char **text, struct faults *f)
{
	const struct daemon *d = arg;
	struct config *c = NULL;
	int err;

	(void)sandbox_raise(CAP_DAC_READ_SEARCH); /* open() says if it was needed */
	err = certs_read_config(d->config_path, NULL, &c, text, f);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	config_put(c);
	return err;
}

static bool is_draining(void *arg)
{
	const struct daemon *d = arg;

	return *d->draining;
}

void daemon_open_control(struct daemon *d, struct ev_loop *loop, const bool *draining)
{
	const struct control_process p = { .proxy = &d->proxy,
					   .config_path = d->config_path,
					   .arg = d,
					   .config = config_of,
					   .text = text_of_config,
					   .reload = reload,
					   .look = look,
					   .is_draining = is_draining };
	int err;

	d->draining = draining;
	if (d->control_fd < 0)
		return; /* the reason was said */
	err = control_open(&p, loop, d->control_fd, &d->control);
	d->control_fd = -1;
	if (err)
		(void)log_errno(err, "nobody answers at the control socket");
}
