/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/metrics.md lists what the page has: made from an empty page, which names each
 * family all the same.  `make docs` writes it anew (METRICS_MD names the file).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "exporter/metrics.h"
#include "tests/unit/t.h"

#define MD "docs/metrics.md"

static const char intro[] =
	"# Metrics\n"
	"\n"
	"At `http://127.0.0.1:9980/metrics`, Prometheus text or OpenMetrics by content "
	"negotiation. This table is made\n"
	"from the exporter's own (`make docs`); what a byte is, and the labels, are in "
	"[books.md](books.md).\n"
	"\n"
	"| metric | type | |\n"
	"|---|---|---|\n";

/* The page of a gate that has counted nothing yet. */
static char *empty_page(void)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	struct audit a = { .verdict = AUDIT_AGREES };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (s && out) {
		s->meta.wire = s->meta.xdp = 1;
		metrics_write(out, s, &a, 0, false);
	}
	if (out)
		fclose(out);
	free(s);
	return text;
}

/* "# HELP name help" and "# TYPE name type" of each family, as a row. */
static char *rows_of(char *page)
{
	char *text = NULL, *rest, *help = NULL, *line;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fputs(intro, out);
	for (line = strtok_r(page, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *name = line + 7, *space = strchr(name, ' ');

		if (strncmp(line, "# HELP ", 7) == 0 && space) {
			help = space + 1;
		} else if (strncmp(line, "# TYPE ", 7) == 0 && space && help) {
			*space = '\0';
			fprintf(out, "| `%s` | %s | %s |\n", name, space + 1, help);
			help = NULL;
		}
	}
	fclose(out);
	return text;
}

static void the_list_of_metrics_is_the_pages(void)
{
	const char *to = getenv("METRICS_MD");
	char *page = empty_page(), *want = page ? rows_of(page) : NULL, *have = NULL;
	unsigned rows = 0;
	size_t len;

	CHECK(want != NULL);
	for (const char *p = want; p && (p = strstr(p, "| `tollgate_")); p++)
		rows++;
	CHECK(rows > 60);
	if (to && want) {
		FILE *f = fopen(to, "w");

		CHECK(f != NULL);
		if (f) {
			fputs(want, f);
			fclose(f);
		}
	} else {
		CHECK_INT(0, util_read_file(MD, 1u << 20, &have, &len));
		CHECK(have && want && strcmp(have, want) == 0); /* else: make docs */
	}
	free(page);
	free(want);
	free(have);
}

int main(void)
{
	RUN(the_list_of_metrics_is_the_pages);
	DONE();
}
