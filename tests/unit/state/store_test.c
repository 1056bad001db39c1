/* SPDX-License-Identifier: Apache-2.0 */
/* Objects, what a file and the API make of them together, and the store that keeps them.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/edit.h"
#include "state/merge.h"
#include "state/store.h"
#include "tests/unit/t.h"

static char folder[] = "/tmp/tollgate-store.XXXXXX";
static char path[256], why[STORE_WHY];

/* --- parts --- */

static const char base[] = "{state: database, state_file: \"/s\", listeners: ["
			   "{name: a, address: \"[::]:1\", routes: ["
			   "{name: x, backends: [\"10.0.0.1:80 weight=2\", "
			   "\"unix:/run/x.sock\"]}, {name: y, retries: 1}]}]}";

struct edit {
	char verb;
	const char *path, *body;
	int want;
	const char *then; /* that is in the text afterwards; NULL: it is as it was */
};

static void try_edit(const struct edit *e)
{
	struct document d, body = { .root = NULL };
	struct faults f = { .n = 0 };
	char *before, *after;
	bool created;
	int got;

	CHECK_INT(0, document_read(&d, "base", base, strlen(base), &f));
	CHECK_INT(0, document_write(d.root, DOCUMENT_LINE, &before));
	if (e->body)
		CHECK_INT(0, document_read(&body, "body", e->body, strlen(e->body), &f));
	if (e->verb == 'U')
		got = edit_put(&d, e->path, body.root, &created);
	else if (e->verb == 'P')
		got = edit_patch(&d, e->path, body.root);
	else
		got = edit_remove(&d, e->path);
	CHECK_INT(0, document_write(d.root, DOCUMENT_LINE, &after));
	if (got != e->want || !strstr(after, e->then ? e->then : before)) {
		t_failed = 1;
		printf("# %c %s: %d, %s\n", e->verb, e->path, got, after);
	}
	free(before);
	free(after);
	document_free(&d);
	document_free(&body);
}

static void a_part_is_found_put_patched_and_removed_or_nothing_is(void)
{
	static const struct edit all[] = {
		{ 'U', "listeners/a/routes/z", "{backends: [h:1]}", 0,
		  "{name: \"z\", backends: [\"h:1\"]}]" },
		{ 'U', "listeners/a/routes/x", "{name: x}", 0, "[{name: x}, {name: y" },
		{ 'U', "listeners/a/routes/x", "{name: w}", -EEXIST, NULL },
		{ 'U', "listeners/b/routes/x", "{name: x}", -ENOENT, NULL },
		{ 'U', "listeners/a/routes/x/retries/deep", "1", -ENOENT, NULL },
		{ 'U', "listeners/a/limits", "{rate: 5/1s}", 0, "limits: {rate: 5/1s}" },
		{ 'U', "limits", "{connections: 1}", 0, "limits: {connections: 1}}" },
		{ 'U', "listeners/a/routes/x/backends/10.0.0.1:80", "10.0.0.1:80 drain",
		  0, "[\"10.0.0.1:80 drain\", \"unix:/run/x.sock\"]" },
		{ 'U', "listeners/a/routes/x/backends/10.0.0.1:80", "10.0.0.2:80",
		  -EEXIST, NULL },
		{ 'U', "listeners/a/routes/x/backends/unix:/run/y.sock",
		  "unix:/run/y.sock", 0, "\"unix:/run/x.sock\", \"unix:/run/y.sock\"]" },
		{ 'D', "listeners/a/routes/x/backends/unix:/run/x.sock", NULL, 0,
		  "[\"10.0.0.1:80 weight=2\"]" },
		{ 'D', "listeners/a/routes/x/backends/0", NULL, 0,
		  "[\"unix:/run/x.sock\"]" },
		{ 'D', "listeners/a/routes/x/backends/2", NULL, -ENOENT, NULL },
		{ 'D', "listeners/a/routes/y", NULL, 0, "\"unix:/run/x.sock\"]}]}]}" },
		{ 'D', "listeners/a/routes/none", NULL, -ENOENT, NULL },
		{ 'D', "", NULL, -ENOENT, NULL },
		{ 'P', "listeners/a/routes/y", "{retries: null, priority: 3}", 0,
		  "{name: y, priority: 3}" },
		{ 'P', "listeners/a/routes/y", "{http: {a: 1, b: null}}", 0,
		  "http: {a: 1}}" },
		{ 'P', "listeners/a/routes/y", "{name: w}", -EEXIST, NULL },
		{ 'P', "listeners/a/routes/y", "{name: [y]}", -EEXIST, NULL },
		{ 'P', "listeners/a/routes/x/backends/10.0.0.1:80", "10.0.0.9:80",
		  -EEXIST, NULL },
		{ 'P', "listeners/a/routes/none", "{}", -ENOENT, NULL },
		{ 'P', "", "{user: u, listeners: [{name: a}]}", 0,
		  "listeners: [{name: a}], user: u}" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		try_edit(&all[i]);
}

/* --- objects --- */

static const char *const kinds[] = { "s", "l", "r" };

/* "l:a r:a/x r:a/y!", with '!' of what is the API's. */
static const char *names(const struct objects *o)
{
	static char text[512];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < o->n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s:%s%s%s%s",
				      i ? " " : "", kinds[o->list[i].kind],
				      o->list[i].parent, o->list[i].parent[0] ? "/" : "",
				      o->list[i].name,
				      o->list[i].origin == ORIGIN_API ? "!" : "");
	return text;
}

/* A configuration of listeners "a: x y; b: z", in which '!' is the API's. */
static struct objects make(const char *text)
{
	struct objects ret = { .n = 0 };
	struct object o = { .kind = OBJECT_SETTINGS,
			    .parent = (char *)"",
			    .name = (char *)"",
			    .body = (char *)"{}" };
	char word[64], listener[64] = "", body[96];
	int n;

	CHECK_INT(0, objects_add(&ret, &o));
	for (unsigned pass = 0; pass < 2; pass++) {
		const char *p = text;

		while (sscanf(p, " %63s%n", word, &n) == 1) {
			size_t len = strlen(word);
			bool is_listener = word[len - 1] == ':';
			char *equals = strchr(word, '=');

			p += n;
			o.position++;
			word[len - is_listener] = '\0';
			o.origin = strchr(word, '!') ? ORIGIN_API : ORIGIN_FILE;
			(void)snprintf(body, sizeof(body), "{name: %s}", word);
			if (equals)
				*equals = '\0';
			word[strcspn(word, "!")] = '\0';
			o.kind = is_listener ? OBJECT_LISTENER : OBJECT_ROUTE;
			if (is_listener)
				(void)snprintf(listener, sizeof(listener), "%s", word);
			o.parent = is_listener ? (char *)"" : listener;
			o.name = word;
			if (equals)
				(void)snprintf(body, sizeof(body), "{v: %s}", equals + 1);
			else
				(void)snprintf(body, sizeof(body), "{}");
			o.body = body;
			if (is_listener == (pass == 0))
				CHECK_INT(0, objects_add(&ret, &o));
		}
	}
	return ret;
}

static void a_text_is_taken_apart_and_put_together(void)
{
	static const char text[] =
		"state: database\nuser: \"{$$x\"\nlisteners:\n"
		"  - { name: a, routes: [{ name: x, sni: [\"*.a.org\", 'b, c'] }, { name: y "
		"}], address: \"[::]:1\" }\n"
		"  - { routes: [{ name: \"x\" }], name: b }\nlimits: { rate: 5/1s }\n";
	struct objects o, again;
	char *joined, *twice;

	CHECK_INT(0, objects_split(text, ORIGIN_FILE, &o));
	CHECK_STR("s: l:a l:b r:a/x r:a/y r:b/x", names(&o));
	CHECK_STR("{limits: {rate: 5/1s}}", o.list[0].body);
	CHECK_STR("{name: a, address: \"[::]:1\"}", o.list[1].body);
	CHECK_STR("{name: x, sni: [\"*.a.org\", \"b, c\"]}", o.list[3].body);
	CHECK_INT(0, objects_join(&o, "/p", "u", &joined));
	CHECK_INT(0, objects_split(joined, ORIGIN_FILE, &again));
	CHECK_INT(0, objects_join(&again, "/p", "u", &twice));
	CHECK_STR(joined, twice);
	free(joined);
	free(twice);
	objects_free(&o);
	objects_free(&again);
	CHECK_INT(-EINVAL, objects_split("listeners: [{name: a}]", ORIGIN_FILE, &o));
	objects_free(&o);
	CHECK_INT(-EINVAL, objects_split("user: b", ORIGIN_FILE, &o));
	objects_free(&o);
}

static void a_file_and_the_api_are_merged_or_nobody_guesses(void)
{
	static const struct {
		const char *now, *file;
		unsigned how;
		int want;
		const char *then; /* or the first conflict */
	} all[] = {
		{ "a: x y", "a: x y", 0, 0, "s: l:a r:a/x r:a/y" },
		{ "a: x y", "a: y", 0, 0, "s: l:a r:a/y" },
		{ "a: x m! y n!", "a: x z y", 0, 0,
		  "s: l:a r:a/x r:a/m! r:a/z r:a/y r:a/n!" },
		{ "a: m! x", "a: x", 0, 0, "s: l:a r:a/m! r:a/x" },
		/* behind what has gone it follows who was before that */
		{ "a: x y m! z", "a: x z", 0, 0, "s: l:a r:a/x r:a/m! r:a/z" },
		{ "a: m! x n!", "a: x", MERGE_PRUNE, 0, "s: l:a r:a/x" },
		{ "a: x!=1", "a: x=1", 0, 0, "s: l:a r:a/x" },
		{ "a: x!=1", "a: x=2", 0, -EEXIST, "listeners[a].routes[x]" },
		{ "a: x!=1", "a: x=2", MERGE_TAKE, 0, "s: l:a r:a/x" },
		{ "a: x b!: y!", "a: x", 0, 0, "s: l:a l:b! r:a/x r:b/y!" },
		{ "a: x b: y!", "a: x", 0, -EEXIST, "listeners[b].routes[y]" },
		{ "a: x b: y!", "a: x", MERGE_PRUNE, 0, "s: l:a r:a/x" },
		{ "a: x b!: y!", "b: z a: x", 0, 0, "s: l:b l:a r:b/y! r:b/z r:a/x" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct objects now = make(all[i].now), file = make(all[i].file), to;
		struct faults f = { .n = 0 };

		CHECK_INT(all[i].want, merge_file(&now, &file, all[i].how, &to, &f));
		if (all[i].want == 0)
			CHECK_STR(all[i].then, names(&to));
		else
			CHECK_STR(all[i].then, f.n ? f.list[0].file : "");
		objects_free(&now);
		objects_free(&file);
		objects_free(&to);
		faults_free(&f);
	}
}

/* --- the store --- */

static struct store_change change = { .at = 1,
				      .uid = 0,
				      .login = (uid_t)-1,
				      .pid = 1,
				      .program = "test",
				      .what = "it",
				      .message = "",
				      .differences = "",
				      .done = true };

static uint64_t save(struct store *s, const char *text)
{
	struct objects o = make(text);
	uint64_t revision = 0;

	CHECK_INT(0, store_save(s, &o, &change, NULL, &revision, why));
	objects_free(&o);
	return revision;
}

static const char *at(struct store *s, uint64_t revision)
{
	static char text[512];
	struct objects o;
	int err = store_read(s, revision, &o, why);

	(void)snprintf(text, sizeof(text), "%s", err ? strerror(-err) : names(&o));
	objects_free(&o);
	return text;
}

/* Rows of objects that were ever written. */
static unsigned rows(struct store *s)
{
	struct objects o;
	unsigned n = 0;

	for (uint64_t i = 1; store_read(s, i, &o, why) == 0; i++) {
		n = (unsigned)o.n;
		objects_free(&o);
	}
	objects_free(&o);
	return n;
}

static void count(const struct store_change *c, void *arg)
{
	unsigned *n = arg;

	CHECK_STR("test", c->program);
	CHECK_INT(1, c->at);
	*n += 1;
}

static void each_revision_is_there_again_in_its_order(void)
{
	struct store *s;
	unsigned n = 0;
	char *file;

	(void)snprintf(path, sizeof(path), "%s/a.db", folder);
	CHECK_INT(0, store_open(path, &s, why));
	CHECK_INT(0, store_revision(s, why));
	CHECK_STR("", at(s, 0));
	CHECK_INT(1, save(s, "a: x y z b: w"));
	CHECK_INT(2, save(s, "a: x n! y z b: w"));
	CHECK_INT(3, save(s, "a: z x n! y b: w"));
	CHECK_INT(4, save(s, "b: w a: n!=5"));
	CHECK_INT(5, save(s, "b: w a: n!=5 n1 n2 n3 n4 n5 n6 n7"));
	store_close(s);
	CHECK_INT(0, store_open(path, &s, why));
	CHECK_INT(5, store_revision(s, why));
	CHECK_STR("s: l:a l:b r:a/x r:a/y r:a/z r:b/w", at(s, 1));
	CHECK_STR("s: l:a l:b r:a/x r:a/n! r:a/y r:a/z r:b/w", at(s, 2));
	CHECK_STR("s: l:a l:b r:a/z r:a/x r:a/n! r:a/y r:b/w", at(s, 3));
	CHECK_STR("s: l:b l:a r:b/w r:a/n!", at(s, 4));
	CHECK_STR("s: l:b l:a r:b/w r:a/n! r:a/n1 r:a/n2 r:a/n3 r:a/n4 r:a/n5 r:a/n6 "
		  "r:a/n7",
		  at(s, 0));
	CHECK_STR(strerror(ENOENT), at(s, 6));
	CHECK(rows(s) > 0);
	CHECK_INT(0, store_note(s, &change, why));
	CHECK_INT(6, change.number);
	CHECK_INT(0, store_changes(s, 2, 100, count, &n, why));
	CHECK_INT(4, n);
	n = 0;
	CHECK_INT(0, store_changes(s, 0, 2, count, &n, why));
	CHECK_INT(2, n);
	CHECK_INT(0, store_file(s, &file, why));
	CHECK_STR("", file);
	free(file);
	CHECK_INT(0, store_probe(s, why));
	store_close(s);
}

/* Of many in between there is no more room, and all are placed again. */
static void an_order_is_kept_however_many_come_between(void)
{
	char text[2048] = "a: x y";
	struct store *s;
	struct objects o;

	(void)snprintf(path, sizeof(path), "%s/b.db", folder);
	CHECK_INT(0, store_open(path, &s, why));
	for (int i = 0; i < 60; i++) {
		char rest[2048];

		(void)snprintf(rest, sizeof(rest), "%s", text + 4);
		(void)snprintf(text, sizeof(text), "a: x n%d%.1900s", i, rest);
		(void)save(s, text);
		CHECK_INT(0, store_read(s, 0, &o, why));
		CHECK_STR("x", o.list[2].name);
		CHECK_STR("y", o.list[o.n - 1].name);
		CHECK_INT(i + 5, o.n);
		for (int k = 0; k <= i; k++) {
			char want[8];

			(void)snprintf(want, sizeof(want), "n%d", i - k);
			CHECK_STR(want, o.list[3 + k].name);
		}
		objects_free(&o);
	}
	store_close(s);
}

static void what_is_not_the_file_that_was_opened_is_not_written(void)
{
	struct objects o = make("a: x");
	struct store *s, *t;
	uint64_t revision;
	char away[300];

	(void)snprintf(path, sizeof(path), "%s/c.db", folder);
	(void)snprintf(away, sizeof(away), "%s.away", path);
	CHECK_INT(0, store_open(path, &s, why));
	(void)save(s, "a: x");
	CHECK_INT(0, rename(path, away));
	CHECK_INT(-ESTALE, store_save(s, &o, &change, NULL, &revision, why));
	CHECK_INT(-ESTALE, store_note(s, &change, why));
	CHECK_INT(-ESTALE, store_probe(s, why));
	CHECK(strstr(why, "removed or replaced") != NULL);
	CHECK_INT(0, symlink(away, path));
	CHECK(store_open(path, &t, why) < 0); /* a link is not followed */
	CHECK_INT(0, unlink(path));
	CHECK_INT(0, rename(away, path));
	CHECK_INT(0, store_save(s, &o, &change, NULL, &revision, why));
	CHECK_INT(2, revision);
	objects_free(&o);
	store_close(s);
}

static void a_copy_is_a_store(void)
{
	struct store *s, *t;
	char copy[300], *bytes;
	size_t n;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/a.db", folder);
	(void)snprintf(copy, sizeof(copy), "%s/copy.db", folder);
	CHECK_INT(0, store_open(path, &s, why));
	CHECK_INT(0, store_snapshot(s, &bytes, &n, why));
	f = fopen(copy, "w");
	CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
	free(bytes);
	CHECK_INT(0, store_open(copy, &t, why));
	CHECK_INT(5, store_revision(t, why));
	CHECK_INT(6, save(t, "a: x"));
	CHECK_INT(5, store_revision(s, why));
	store_close(t);
	store_close(s);
}

int main(void)
{
	static const char *const made[] = { "a", "b", "c", "copy" };
	static const char *const ends[] = { "", "-wal", "-shm" };

	if (!mkdtemp(folder))
		return 1;
	RUN(a_part_is_found_put_patched_and_removed_or_nothing_is);
	RUN(a_text_is_taken_apart_and_put_together);
	RUN(a_file_and_the_api_are_merged_or_nobody_guesses);
	RUN(each_revision_is_there_again_in_its_order);
	RUN(an_order_is_kept_however_many_come_between);
	RUN(what_is_not_the_file_that_was_opened_is_not_written);
	RUN(a_copy_is_a_store);
	for (size_t i = 0; i < 12; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s.db%s", folder, made[i / 3],
			       ends[i % 3]);
		(void)unlink(path);
	}
	if (rmdir(folder) < 0)
		return 1;
	DONE();
}
