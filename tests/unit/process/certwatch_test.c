/* SPDX-License-Identifier: Apache-2.0 */
/* Files that change are told, whoever else is in their folder, and whatever becomes of
 * it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ev.h"
#include "process/certwatch.h"
#include "tests/unit/t.h"
#include "tls/cert_files.h"

#define NEVER_MS (3600 * 1000)

static char base[] = "/tmp/tollgate-unit-XXXXXX";
static struct ev_loop *loop;
static struct certwatch *watch;
static struct ev_timer deadline, busy;
static unsigned told, writes;

static const char *path(const char *folder, const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *p = paths[next++ % 4];

	(void)snprintf(p, sizeof(paths[0]), "%s/%s/%s", base, folder, name);
	return p;
}

static void put(const char *folder, const char *name, const char *text)
{
	FILE *f = fopen(path(folder, name), "w");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		exit(1);
}

static char pem[128], key[128], folder[128];
static bool is_read; /* by who is told; else it cannot be */
static bool of_folder;

static struct config *configuration(void)
{
	static struct certificate certificate;
	static struct listener listener = { .certificates = &certificate,
					    .certificates_count = 1 };
	static struct config c = { .listeners = &listener,
				   .listeners_count = 1,
				   .refs = 1 };

	certificate = of_folder ? (struct certificate){ .directory = folder }
				: (struct certificate){ .certificate = pem, .key = key };
	c.files_mark = cert_files_mark(&c);
	return &c;
}

static void on_told(void *arg)
{
	(void)arg;
	told++;
	if (is_read)
		CHECK_INT(0, certwatch_set(watch, configuration()));
	ev_loop_stop(loop);
}

static void on_deadline(struct ev_timer *timer)
{
	(void)timer;
	ev_loop_stop(loop);
}

/* Somebody who writes there all the time. */
static void on_busy(struct ev_timer *timer)
{
	put("live", "other", "x");
	if (++writes < 1000)
		ev_timer_set(loop, timer, 10);
}

static void run(int64_t ms)
{
	ev_timer_set(loop, &deadline, ms);
	CHECK_INT(0, ev_loop_run(loop));
	ev_timer_del(loop, &deadline);
}

static void begin(int64_t look_ms)
{
	struct config *c;

	told = 0;
	(void)mkdir(path("live", ""), 0700);
	put("live", "a.pem", "one");
	put("live", "a.key", "one");
	(void)snprintf(pem, sizeof(pem), "%s", path("live", "a.pem"));
	(void)snprintf(key, sizeof(key), "%s", path("live", "a.key"));
	(void)snprintf(folder, sizeof(folder), "%s", path("live", ""));
	is_read = true;
	c = configuration();
	CHECK_INT(0, ev_loop_open(&loop));
	CHECK_INT(0, certwatch_new(loop, look_ms, on_told, NULL, &watch));
	deadline = (struct ev_timer){ .fn = on_deadline };
	busy = (struct ev_timer){ .fn = on_busy };
	put("live", "a.key", "between"); /* it was read, and is not watched yet */
	CHECK_INT(0, certwatch_set(watch, c));
	run(10000);
	CHECK_INT(1, told);
}

static void end(void)
{
	ev_timer_del(loop, &busy);
	certwatch_free(watch);
	ev_loop_close(loop);
}

static void a_change_is_told_once(void)
{
	begin(NEVER_MS);
	put("live", "unrelated", "x");
	run(3 * CERTWATCH_QUIET_MS);
	CHECK_INT(1, told);
	put("live", "new", "two");
	CHECK_INT(0, rename(path("live", "new"), path("live", "a.pem")));
	run(10000);
	CHECK_INT(2, told);
	end();
}

static void what_cannot_be_read_is_told_again_by_looking_alone(void)
{
	begin(4 * CERTWATCH_QUIET_MS);
	is_read = false;
	put("live", "a.pem", "wrong");
	run(10000);
	CHECK_INT(2, told);
	put("live", "unrelated", "x");
	run(2 * CERTWATCH_QUIET_MS);
	CHECK_INT(2, told);
	run(10000);
	CHECK_INT(3, told);
	end();
}

/* Nobody knew of it when the rest was read. */
static void a_folder_that_is_filled_step_by_step_is_found(void)
{
	of_folder = true;
	begin(NEVER_MS);
	ev_timer_set(loop, &busy, 0); /* and others write there meanwhile */
	CHECK_INT(0, mkdir(path("live", "late"), 0700));
	run(3 * CERTWATCH_QUIET_MS);
	CHECK_INT(1, told);
	put("live", "late/fullchain.pem", "one");
	run(2 * CERTWATCH_QUIET_MS);
	CHECK_INT(1, told);
	put("live", "late/privkey.pem", "one");
	run(10000);
	CHECK_INT(2, told);
	CHECK_INT(0, unlink(path("live", "late/privkey.pem")));
	run(10000);
	CHECK_INT(3, told);
	CHECK_INT(0, unlink(path("live", "late/fullchain.pem")));
	CHECK_INT(0, rmdir(path("live", "late")));
	end();
	of_folder = false;
}

static void who_writes_beside_it_puts_nothing_off(void)
{
	begin(NEVER_MS);
	ev_timer_set(loop, &busy, 0);
	put("live", "a.pem", "three");
	run(8000);
	CHECK_INT(2, told);
	CHECK(writes > 10 && writes < 1000);
	end();
}

/* inotify(7) goes on with what is no more there. */
static void a_folder_that_is_replaced_is_found_by_looking(void)
{
	begin(200);
	CHECK_INT(0, mkdir(path("next", ""), 0700));
	put("next", "a.pem", "four");
	put("next", "a.key", "four");
	CHECK_INT(0, rename(path("live", ""), path("old", "")));
	CHECK_INT(0, rename(path("next", ""), path("live", "")));
	run(10000);
	CHECK_INT(2, told);
	end();
}

static void clean(void)
{
	static const char *const folders[] = { "live", "old" };
	static const char *const names[] = { "a.pem", "a.key", "other", "unrelated" };

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned k = 0; k < 4; k++)
			(void)unlink(path(folders[i], names[k]));
		CHECK_INT(0, rmdir(path(folders[i], "")));
	}
	CHECK_INT(0, rmdir(base));
}

int main(void)
{
	if (!mkdtemp(base))
		return 1;
	RUN(a_change_is_told_once);
	RUN(what_cannot_be_read_is_told_again_by_looking_alone);
	RUN(a_folder_that_is_filled_step_by_step_is_found);
	RUN(who_writes_beside_it_puts_nothing_off);
	RUN(a_folder_that_is_replaced_is_found_by_looking);
	clean();
	DONE();
}
