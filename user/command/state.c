/* SPDX-License-Identifier: Apache-2.0 */
/* All of what is kept: a file is taken, a revision comes back, a copy is made. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "command/answer.h"
#include "command/ask.h"
#include "command/options.h"
#include "command/settings.h"
#include "command/state.h"

int state_change(const struct options *o, struct ask *a, char *path, unsigned long cap)
{
	json_t *answer;
	int done;

	if (o->dry_run)
		ask_add(path, cap, "dry_run", "1");
	ask_add(path, cap, "message", o->message);
	a->path = path;
	a->changes = true;
	a->revision = o->if_revision;
	done = answer_ask_as(o, a, &answer);
	if (done >= 0)
		return done;
	answer_changes(answer, o->dry_run, "to that");
	json_decref(answer);
	return EXIT_OK;
}

int cmd_apply(struct options *o)
{
	char path[1024] = "/v1/config/apply", *text;
	struct ask a = { .method = "POST" };
	int ret;

	if (o->args_n != 1) {
		log_error("apply: name one file");
		return EXIT_USAGE;
	}
	/* here, for what it includes, and has of the environment */
	text = settings_resolve(o->args[0]);
	if (!text)
		return EXIT_BAD;
	a.body = text;
	if (o->prune)
		ask_add(path, sizeof(path), "prune", "1");
	if (o->take)
		ask_add(path, sizeof(path), "take", "1");
	ret = state_change(o, &a, path, sizeof(path));
	free(text);
	return ret;
}

int cmd_restore(struct options *o)
{
	struct ask a = { .method = "POST" };
	char path[1024];
	uint64_t revision;

	if (o->args_n != 1 || util_parse_u64(o->args[0], INT64_MAX, &revision) < 0 ||
	    !revision) {
		log_error("restore: name one revision, as 'tollgate changes' has it");
		return EXIT_USAGE;
	}
	(void)snprintf(path, sizeof(path), "/v1/revisions/%s/restore", o->args[0]);
	return state_change(o, &a, path, sizeof(path));
}

/* All of it or nothing, and never instead of what is there. */
static int write_new(const char *path, const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ssize_t done = 0;
	int err = 0;

	if (fd < 0)
		return log_errno(-errno, "snapshot %s", path);
	while (n && (done = write(fd, text, n)) > 0) {
		text += done;
		n -= (size_t)done;
	}
	if (n || fsync(fd) < 0)
		err = -errno;
	if (close(fd) < 0 && !err)
		err = -errno;
	if (err)
		(void)unlink(path);
	return err ? log_errno(err, "snapshot %s", path) : 0;
}

int cmd_snapshot(struct options *o)
{
	const struct ask a = { .method = "GET", .path = "/v1/snapshot" };
	char *text;
	size_t n;
	int err;

	if (o->args_n != 1) {
		log_error("snapshot: name the file to be made");
		return EXIT_USAGE;
	}
	err = ask_text(o->pins, &a, &text, &n);
	if (err)
		return answer_exit(err);
	err = write_new(o->args[0], text, n);
	free(text);
	if (!err && o->json)
		printf("{\"file\": \"%s\", \"bytes\": %zu}\n", o->args[0], n);
	else if (!err)
		printf("%s: %zu bytes\n", o->args[0], n);
	return err ? EXIT_BAD : EXIT_OK;
}

int state_diff(const struct options *o, const char *file)
{
	const struct ask a = { .method = "GET", .path = "/v1/config" };
	char *text;
	size_t n;
	int err = ask_text(o->pins, &a, &text, &n);

	if (err)
		return answer_exit(err);
	err = settings_diff_text(text, file, o->json);
	free(text);
	return err;
}
