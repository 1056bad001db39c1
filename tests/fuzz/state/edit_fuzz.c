/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that change parts of a configuration: a verb, a path, and behind the first
 * newline a body.  What comes out is a document again, which is the same after it was
 * taken apart into objects and put together.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/edit.h"
#include "state/objects.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char base[] =
	"{state: database, state_file: \"/s.db\", limits: {connections: 5}, listeners: ["
	"{name: web, address: \"[::]:443\", routes: [{name: app, sni: [a.example.org], "
	"backends: [\"10.0.0.1:80 weight=2\", \"unix:/run/x.sock\"]}, "
	"{name: other, sni: [\"*\"], http: {host: [b.example.org]}, backends: "
	"[\"10.0.0.2:80\"]}]}, "
	"{name: raw, address: \"[::]:22\", routes: [{name: ssh, backends: "
	"[\"10.0.0.3:22\"]}]}]}";

/* Of a configuration that is fine: its objects make it again. */
static void take_apart(const char *text)
{
	struct objects o;
	struct faults f = { .n = 0 };
	struct config *c = NULL;
	char *joined = NULL, *resolved = NULL;

	if (objects_split(text, ORIGIN_API, &o) < 0 ||
	    objects_join(&o, "/s.db", "nobody", &joined) < 0 ||
	    config_read("joined", joined, strlen(joined), &c, &resolved, &f) < 0)
		abort();
	config_put(c);
	free(joined);
	free(resolved);
	objects_free(&o);
}

static void change(struct document *d, char verb, const char *path,
		   const struct document *body)
{
	bool created;

	if (verb == 'D')
		(void)edit_remove(d, path);
	else if (body->root && verb == 'P')
		(void)edit_patch(d, path, body->root);
	else if (body->root)
		(void)edit_put(d, path, body->root, &created);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct document d, body = { .root = NULL };
	struct faults f = { .n = 0 }, g = { .n = 0 };
	struct config *c = NULL;
	char *input = malloc(len + 1), *end, *text = NULL, *resolved = NULL;

	memcpy(input, data, len);
	input[len] = '\0';
	end = strchr(input, '\n');
	if (len > 1 && end && document_read(&d, "base", base, strlen(base), &f) == 0) {
		*end = '\0';
		if (document_read(&body, "body", end + 1, strlen(end + 1), &f) == 0)
			change(&d, input[0], input + 1, &body);
		if (d.root && document_write(d.root, DOCUMENT_LINE, &text) == 0 &&
		    config_read("t", text, strlen(text), &c, &resolved, &g) == 0 &&
		    c->state == STATE_DATABASE && strcmp(c->state_file, "/s.db") == 0)
			take_apart(resolved);
		document_free(&d);
		document_free(&body);
	}
	config_put(c);
	faults_free(&f);
	faults_free(&g);
	free(resolved);
	free(text);
	free(input);
	return 0;
}
