/* SPDX-License-Identifier: Apache-2.0 */
/* Who changed what, and when: the latest, and each in the log. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
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

void control_note(struct control *c, uid_t uid, pid_t pid, const char *what, bool done)
{
	struct change *one;

	if (!c)
		return;
	one = &c->changes[c->changes_n % CHANGES_MAX];
	*one = (struct change){ .number = ++c->changes_n,
				.at = time(NULL),
				.uid = uid,
				.pid = pid,
				.done = done };
	name_of(pid, one->program);
	(void)snprintf(one->what, sizeof(one->what), "%s", what);
	make_plain(one->what);
	make_plain(one->program);
	log_info("change %llu by uid %u (%s, pid %d): %s%s",
		 (unsigned long long)one->number, (unsigned)uid,
		 one->program[0] ? one->program : "?", (int)pid, one->what,
		 done ? "" : ": refused");
}

void control_changed(struct control *c, const struct server_request *r, bool done,
		     const char *fmt, ...)
{
	char what[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	control_note(c, r->who.uid, r->who.pid, what, done);
}

json_t *control_changes_json(const struct control *c, uint64_t after)
{
	uint64_t first = c->changes_n > CHANGES_MAX ? c->changes_n - CHANGES_MAX : 0;
	json_t *list = json_array();

	for (uint64_t i = first > after ? first : after; i < c->changes_n; i++) {
		const struct change *one = &c->changes[i % CHANGES_MAX];

		json_array_append_new(
			list,
			json_pack("{s:I, s:I, s:I, s:I, s:s, s:s, s:b}", "number",
				  (json_int_t)one->number, "at", (json_int_t)one->at,
				  "uid", (json_int_t)one->uid, "pid",
				  (json_int_t)one->pid, "program", one->program, "what",
				  one->what, "done", one->done));
	}
	return list;
}
