/* SPDX-License-Identifier: Apache-2.0 */
/* From a file or a text to what is in force. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/notify.h"
#include "base/sandbox.h"
#include "config/document.h"
#include "config/faults.h"
#include "process/daemon.h"
#include "tls/certs.h"

int daemon_read(const struct daemon *d, char **text, struct config **ret,
		struct faults *f)
{
	bool renewed = *text != NULL;
	int err = certs_read_config(d->config_path, *text, ret, renewed ? NULL : text,
				    NULL, f);

	if (err)
		faults_log(f, d->config_path);
	if (!err && renewed) { /* they were said, and have their places in the file */
		free((*ret)->warnings);
		(*ret)->warnings = NULL;
	}
	return err;
}

/* Where a configuration is kept, and as whom, is as it was when the process began. */
static int keeps_state(const struct daemon *d, const struct config *c, const char *path,
		       struct faults *f)
{
	const struct state *st = d->state;

	if (!st && c->state == STATE_FILE)
		return 0;
	if (st && c->state == STATE_DATABASE && strcmp(st->path, c->state_file) == 0 &&
	    strcmp(st->user, c->user) == 0)
		return 0;
	faults_add_file(f, path,
			"%s is changed by a restart or an upgrade, and not while it runs",
			st && c->state == STATE_DATABASE &&
					strcmp(st->path, c->state_file) == 0
				? "user: the owner of the store"
				: "state: where the configuration is kept");
	return -EINVAL;
}

/* With a text to be taken over, or NULL for the file's. */
static int reload(struct daemon *d, char *text, struct faults *f)
{
	struct config *c = NULL;
	int err;

	(void)sandbox_raise(CAP_DAC_READ_SEARCH); /* open() says if it was needed */
	err = daemon_read(d, &text, &c, f);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	if (!err) {
		err = keeps_state(d, c, d->config_path, f);
		if (err)
			faults_log(f, d->config_path);
	}
	if (!err)
		err = daemon_activate(d, c, NULL);
	config_put(c);
	book_add(err ? &d->proxy.state->reloads_failed : &d->proxy.state->reloads_ok, 1);
	if (err) {
		log_error(
			"the configuration was not changed: the one before stays in force");
		free(text);
		return err;
	}
	free(d->text);
	d->text = text;
	return 0;
}

/* Without its certificates: of those the file says nothing.  `say`: what is wrong. */
static void look_at_file(struct daemon *d, bool say)
{
	struct faults f = { .n = 0 };
	struct config *c = NULL;
	char *text = NULL;

	(void)sandbox_raise(CAP_DAC_READ_SEARCH);
	if (config_read_file(d->config_path, &c, &text, &f) < 0 && say)
		faults_log(&f, d->config_path);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	state_look_at_file(d->state, text);
	config_put(c);
	free(text);
	faults_free(&f);
}

/* What is still wrong was said. */
void daemon_look_at_file(struct daemon *d)
{
	look_at_file(d, d->state->file != NULL);
}

static int renew(struct daemon *d, struct faults *f)
{
	char *text = strdup(d->text);
	int err = text ? reload(d, text, f) : -ENOMEM;

	if (!text)
		log_error("certificates and files are not read again: no memory");
	if (!err)
		log_info("certificates and files read again");
	return err;
}

int daemon_reload(struct daemon *d, struct faults *f)
{
	int err;

	(void)notify_reloading();
	if (d->state) {
		look_at_file(d, true);
		err = renew(d, f);
		if (!err)
			err = d->state->file_differs ? -ESTALE : 0;
	} else {
		err = reload(d, NULL, f);
		if (!err)
			log_info("configuration %s read again", d->config_path);
	}
	daemon_tell_ready(d);
	return err;
}

void daemon_renew(struct daemon *d)
{
	struct faults f = { .n = 0 };

	(void)renew(d, &f);
	faults_free(&f);
}

int daemon_try(const struct daemon *d, const char *path, const char *text,
	       char **resolved, struct faults *f)
{
	struct config *c = NULL;
	char *whole = NULL;
	int err;

	(void)sandbox_raise(CAP_DAC_READ_SEARCH); /* open() says if it was needed */
	err = certs_read_config(path, text, &c, &whole, NULL, f);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	if (!err)
		err = keeps_state(d, c, path, f);
	config_put(c);
	if (err)
		free(whole);
	else
		*resolved = whole;
	return err;
}

int daemon_change(struct daemon *d, const char *path, const char *text,
		  const struct state_saving *how, struct faults *f)
{
	struct document kept = { .root = NULL };
	struct daemon_saving saving = { .how = how, .document = &kept };
	struct config *c = NULL;
	char *resolved = NULL;
	int err;

	(void)sandbox_raise(CAP_DAC_READ_SEARCH);
	err = certs_read_config(path, text, &c, &resolved, &kept, f);
	(void)sandbox_lower(CAP_DAC_READ_SEARCH);
	saving.text = resolved;
	if (!err)
		err = keeps_state(d, c, path, f);
	if (!err)
		err = daemon_activate(d, c, how ? &saving : NULL);
	config_put(c);
	if (err) {
		free(resolved);
	} else {
		free(d->text);
		d->text = resolved;
		if (how && how->keep)
			how->keep(&kept, how->arg);
	}
	document_free(&kept);
	return err;
}
