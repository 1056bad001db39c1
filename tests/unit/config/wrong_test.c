/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of files that are wrong (wrong.txt), and that all of it is. */
#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "config/config.h"
#include "config/faults.h"
#include "tests/unit/t.h"

/* The faults of a text as "! LINE:COLUMN: KEY: WHAT" lines. */
static char *faults_of(const char *text, size_t n)
{
	struct faults f = { .n = 0 };
	struct config *c = NULL;
	char line[CONFIG_ERROR_MAX], *ret = NULL;
	size_t size;
	FILE *out = open_memstream(&ret, &size);
	int err = config_read("x.yaml", text, n, &c, NULL, &f);

	CHECK(out != NULL);
	if (!out)
		return NULL;
	if (!err)
		fputs("! NONE\n", out);
	for (unsigned i = 0; i < f.n; i++) {
		fault_format(&f.list[i], line, sizeof(line));
		fprintf(out, "! %s\n",
			strncmp(line, "x.yaml:", 7) == 0 ? line + 7 : line);
	}
	fclose(out);
	config_put(c);
	faults_free(&f);
	return ret;
}

/* A case is a title, a text, and what is said of it. */
static unsigned check_case(const char *p, const char *end)
{
	const char *text = memchr(p, '\n', (size_t)(end - p));
	const char *says = text ? memmem(text, (size_t)(end - text), "\n! ", 3) : NULL;
	char *got;
	bool same;

	CHECK(says != NULL);
	if (!says)
		return 0;
	text++;
	says++;
	got = faults_of(text, (size_t)(says - text));
	same = got && strlen(got) == (size_t)(end - says) &&
	       memcmp(got, says, (size_t)(end - says)) == 0;
	CHECK(same);
	if (!same)
		printf("# %.*s\n# want\n%.*s# got\n%s", (int)strcspn(p, "\n"), p,
		       (int)(end - says), says, got ? got : "");
	free(got);
	return 1;
}

static void each_wrong_file_is_told_with_its_places_and_a_hint(void)
{
	unsigned n = 0;
	char *all, *next;
	size_t len;

	CHECK_INT(0, util_read_file("tests/unit/config/wrong.txt", 1u << 20, &all, &len));
	if (!all)
		return;
	next = strstr(all, "\n## ");
	while (next) {
		const char *p = next + 1;

		next = strstr(p, "\n## ");
		n += check_case(p, next ? next + 1 : all + len);
	}
	CHECK(n >= 100);
	free(all);
}

/* Errors of every step, in one file: none hides another. */
static void all_of_a_file_is_told_at_once(void)
{
	static const char text[] =
		"workers: two\n"
		"hello_byte: 64k\n"
		"include: /nonexistent\n"
		"defaults: { name: x, slow_start: 5 }\n"
		"listeners:\n"
		"  - name: web\n"
		"    address: 443\n"
		"    ja4: true\n"
		"    ja4: true\n"
		"    routes:\n"
		"      - name: app\n"
		"        sni: [\"a b\", \"~(\"]\n"
		"        backend: [\"10.0.0.1:80\"]\n"
		"      - name: two\n"
		"        backends: [\"10.0.0.1\", \"{$NOBODY_HAS_THIS}:1\"]\n"
		"  - name: v6\n"
		"    address: \"::1:443\"\n"
		"    ipv6_only: of\n"
		"timeouts: { idle: 30, drain: 0s }\n";
	static const char *const says[] = {
		"! 1:10: workers: 'two'",
		"! 2:1: hello_byte: is no key",
		"! 3:10: include: /nonexistent",
		"! 4:13: defaults.name: is each",
		"! 4:34: listeners[0].routes[0].slow_start: '5' of what",
		"! 7:14: listeners[0].address: '443' is a port",
		"! 9:5: ja4: is here already",
		"! 12:15: listeners[0].routes[0].sni[0]",
		"! 12:22: listeners[0].routes[0].sni[1]",
		"! 13:9: listeners[0].routes[0].backend: is no key",
		"! 15:20: listeners[0].routes[1].backends[0]: '10.0.0.1' has no port",
		"! 15:32: {$NOBODY_HAS_THIS}",
		"! 16:5: listeners[1]: 'routes' is missing",
		"! 18:16: listeners[1].ipv6_only: 'of'",
		"! 19:19: timeouts.idle: '30'",
		"! 19:30: timeouts.drain: '0s'",
	};
	char *got = faults_of(text, sizeof(text) - 1), *at = got;
	unsigned lines = 0;

	for (size_t i = 0; got && i < ARRAY_SIZE(says); i++) {
		CHECK(strstr(got, says[i]));
		if (!strstr(got, says[i]))
			printf("# not said: %s\n", says[i]);
	}
	while (at && (at = strchr(at, '\n'))) {
		at++;
		lines++;
	}
	CHECK_INT(ARRAY_SIZE(says), lines);
	if (t_failed)
		printf("%s", got);
	free(got);
}

/* More than is kept: the others are counted. */
static void many_errors_are_counted(void)
{
	struct faults f = { .n = 0 };
	struct config *c = NULL;
	char text[8192];
	size_t n = 0;

	for (int i = 0; i < 150; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "no_key_%d: 1\n", i);
	CHECK_INT(-EINVAL, config_read("x.yaml", text, n, &c, NULL, &f));
	CHECK_INT(FAULTS_MAX, f.n);
	CHECK_INT(51, f.more); /* and no listeners */
	faults_free(&f);
}

int main(void)
{
	RUN(each_wrong_file_is_told_with_its_places_and_a_hint);
	RUN(all_of_a_file_is_told_at_once);
	RUN(many_errors_are_counted);
	DONE();
}
