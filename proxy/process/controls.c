/* SPDX-License-Identifier: Apache-2.0 */
/* What the control socket asks of the process. */
#include "base/log.h"
#include "process/daemon.h"

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

static int look(void *arg, const char *given, char **text, struct faults *f)
{
	const struct daemon *d = arg;

	return daemon_try(d, given ? CONTROL_REQUEST : d->config_path, given, text, f);
}

static int change(void *arg, const char *text, const struct state_saving *how,
		  struct faults *f)
{
	struct daemon *d = arg;
	int err = daemon_change(d, CONTROL_REQUEST, text, how, f);

	book_add(err ? &d->proxy.state->reloads_failed : &d->proxy.state->reloads_ok, 1);
	if (!err && how->source == SOURCE_FILE)
		state_look_again(d->state);
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
					   .state = d->state,
					   .change = change,
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
