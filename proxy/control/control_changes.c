/* SPDX-License-Identifier: Apache-2.0 */
/* Who changed what, and when: the latest, and each in the log. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "control/control_own.h"

/* The name of a program (proc(5)), "" if it is gone. */
static void name_of(pid_t pid, char ret[17])
{
	char path[32];
	ssize_t n;
	int fd;

	ret[0] = '\0';
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, ret, 16);
	close(fd);
	ret[n > 0 ? n : 0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

/* Of what strangers say one line, whoever reads it. */
static void make_plain(char *text)
{
	faults_make_utf8(text);
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
	}
}

/* Who logged in as whom, whatever he became (proc(5)); -1: nobody did. */
static uid_t login_of(pid_t pid)
{
	char path[40], text[16] = "";
	uint64_t uid;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/loginuid", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return (uid_t)-1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return util_parse_u64(text, UINT32_MAX, &uid) == 0 ? (uid_t)uid : (uid_t)-1;
}

void control_begin_change(struct change *one, uid_t uid, pid_t pid, const char *what,
			  const char *message)
{
	*one = (struct change){ .uid = uid, .pid = pid, .done = true };
	one->at = time(NULL);
	one->login = login_of(pid);
	name_of(pid, one->program);
	(void)snprintf(one->what, sizeof(one->what), "%s", what);
	(void)snprintf(one->message, sizeof(one->message), "%s", message ? message : "");
	make_plain(one->what);
	make_plain(one->message);
	make_plain(one->program);
}

struct store_change control_stored(const struct change *one)
{
	return (struct store_change){ .at = one->at,
				      .uid = one->uid,
				      .login = one->login,
				      .pid = one->pid,
				      .program = one->program,
				      .what = one->what,
				      .message = one->message,
				      .differences = "",
				      .done = one->done };
}

/* In the list of this process, and in the log. */
void control_end_change(struct control *c, const struct change *one)
{
	struct change *kept = &c->changes[c->changes_n++ % CHANGES_MAX];

	*kept = *one;
	if (!kept->number)
		kept->number = c->changes_n;
	log_info("change %llu by uid %u (%s, pid %d): %s%s%s%s",
		 (unsigned long long)kept->number, (unsigned)kept->uid,
		 kept->program[0] ? kept->program : "?", (int)kept->pid, kept->what,
		 kept->message[0] ? ": " : "", kept->message,
		 kept->done ? "" : ": refused");
}

static void note(struct control *c, struct change *one)
{
	struct store_change stored = control_stored(one);

	state_note(c->process.state, &stored);
	one->number = stored.number;
	control_end_change(c, one);
}

void control_note(struct control *c, uid_t uid, pid_t pid, const char *what, bool done)
{
	struct change one;

	if (!c)
		return;
	control_begin_change(&one, uid, pid, what, NULL);
	one.done = done;
	note(c, &one);
}

void control_changed(struct control *c, const struct server_request *r, bool done,
		     const char *fmt, ...)
{
	struct change one;
	char what[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	control_begin_change(&one, r->who.uid, r->who.pid, what,
			     server_argument(r, "message"));
	one.done = done;
	note(c, &one);
}

static void add_change(const struct store_change *one, void *arg)
{
	json_t *o =
		json_pack("{s:I, s:I, s:I, s:I, s:s, s:s, s:b}", "number",
			  (json_int_t)one->number, "at", (json_int_t)one->at, "uid",
			  (json_int_t)one->uid, "pid", (json_int_t)one->pid, "program",
			  one->program, "what", one->what, "done", one->done);

	if (one->login != (uid_t)-1)
		json_object_set_new(o, "login_uid", json_integer(one->login));
	if (one->message[0])
		json_object_set_new(o, "message", json_string(one->message));
	if (one->revision)
		json_object_set_new(o, "revision",
				    json_integer((json_int_t)one->revision));
	if (one->differences[0])
		json_object_set_new(o, "changes", json_loads(one->differences, 0, NULL));
	json_array_append_new(arg, o);
}

/* Of this process, as far as they are kept. */
static void list_own(const struct control *c, uint64_t after, json_t *list)
{
	uint64_t first = c->changes_n > CHANGES_MAX ? c->changes_n - CHANGES_MAX : 0;

	for (uint64_t i = first; i < c->changes_n; i++) {
		const struct change *one = &c->changes[i % CHANGES_MAX];
		struct store_change stored = control_stored(one);

		stored.number = one->number;
		if (one->number > after)
			add_change(&stored, list);
	}
}

json_t *control_changes_json(const struct control *c, uint64_t after)
{
	struct state *st = c->process.state;
	json_t *list = json_array();
	char why[STORE_WHY];

	if (!st || !st->store ||
	    store_changes(st->store, after, CHANGES_MAX, add_change, list, why) < 0) {
		json_array_clear(list);
		list_own(c, after, list);
	}
	return list;
}
