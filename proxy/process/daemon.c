/* SPDX-License-Identifier: Apache-2.0 */
/* From the books to a proxy that serves, and back. */
#include <errno.h>
#include <stdlib.h>

#include "base/host.h"
#include "base/log.h"
#include "book/explain.h"
#include "book/pin.h"
#include "decide/auth.h"
#include "decide/limits.h"
#include "process/daemon.h"
#include "process/orders.h"

int daemon_check(const struct daemon *d)
{
	struct faults f = { .n = 0 };
	struct config *c;
	char *text = NULL;
	int err = daemon_read(d, &text, &c, &f);

	if (!err) {
		log_info("%s: fine, %u listener%s", d->config_path, c->listeners_count,
			 c->listeners_count == 1 ? "" : "s");
		config_put(c);
	}
	faults_free(&f);
	free(text);
	return err ? EXIT_BAD : EXIT_OK;
}

/* Children that must not have what comes next, and the books.  What to exit with, or -1.
 */
static int open_books(struct daemon *d, char **argv)
{
	int err = starter_begin(argv, d->config_path, d->pins, &d->starter);

	if (err)
		(void)log_errno(err, "SIGUSR2 will start no successor");
	err = keep_begin(d->pins, &d->keep);
	if (err)
		(void)log_errno(err, "nobody attaches again what is detached");
	err = writer_open(d->pins, d->upgrade, &d->proxy.writer);
	if (!err)
		return -1;
	book_explain(err, d->pins);
	starter_end(&d->starter);
	keep_end(&d->keep);
	return err == -EBUSY ? EXIT_BAD : EXIT_NOT_LOADED;
}

static int serve(struct daemon *d, struct config *c, const struct daemon_saving *saving)
{
	d->proxy.state = writer_state(d->proxy.writer);
	log_count_kept_back(&d->proxy.state->log_suppressed);
	d->proxy.io_uring = !c->no_io_uring;
	d->proxy.netns_cookie = host_netns_cookie();
	(void)host_ephemeral_ports(&d->proxy.ephemeral_min, &d->proxy.ephemeral_max);
	d->load = pin_map_id(d->pins, "meta");
	d->proxy.workers_n = c->workers ? c->workers : (unsigned)daemon_cpus();
	return daemon_serve(d, c, saving);
}

static void end(struct daemon *d)
{
	keeper_stop(d->keeper);
	/* all of them, before what one may still post to is gone */
	for (unsigned i = 0; d->proxy.workers && i < d->proxy.workers_n; i++)
		worker_join(&d->proxy.workers[i]);
	access_log_free(d->access_log);
	auth_stop(d->proxy.auth);
	for (unsigned i = 0; d->proxy.workers && i < d->proxy.workers_n; i++) {
		orders_close(&d->proxy.workers[i]);
		worker_close(&d->proxy.workers[i]);
	}
	free(d->proxy.workers);
	config_put(d->config);
	free(d->fds);
	free(d->text);
	state_close(d->state);
	limits_free(d->proxy.limits);
	auth_free(d->proxy.auth);
	zombies_free(d->zombies);
	pulse_free(d->pulse);
	log_count_kept_back(NULL);
	writer_close(d->proxy.writer);
	starter_end(&d->starter);
	keep_end(&d->keep);
}

int daemon_run(struct daemon *d, char **argv)
{
	struct stored_start start = { .file = NULL };
	struct faults f = { .n = 0 };
	struct config *c;
	int ret, err = daemon_read(d, &d->text, &c, &f);

	faults_free(&f);
	if (err && (d->apply_at_start || config_read_state(d->config_path, &c) < 0))
		return EXIT_BAD;
	if (err)
		log_error("%s: it is wrong, and what is kept is served in its place",
			  d->config_path);
	ret = open_books(d, argv);
	if (ret >= 0) {
		config_put(c);
		free(d->text);
		return ret;
	}
	err = daemon_open_state(d, &c, &start);
	if (err) {
		config_put(c);
	} else {
		const struct daemon_saving saving = { d->text, NULL, &start.how };

		err = serve(d, c, start.how.change ? &saving : NULL);
	}
	end(d);
	free(start.file);
	return err ? EXIT_BAD : EXIT_OK;
}
