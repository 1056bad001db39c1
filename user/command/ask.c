/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/log.h"
#include "base/rundir.h"
#include "book/book.h"
#include "book/explain.h"
#include "book/pin.h"
#include "command/ask.h"

#define ANSWER_S 120 /* names may be waited for */

struct reply {
	char *text;
	size_t n;
	bool no_memory;
};

/* The pid of the proxy that serves.  -ESRCH, or as book_open(), logged. */
static int find_proxy(const char *pins, pid_t *ret)
{
	struct snapshot *s = NULL;
	struct book *b;
	int err = book_open(pins, &b);

	if (err) {
		book_explain(err, pins);
		return err;
	}
	err = snapshot_take(b, 0, &s);
	if (err) {
		(void)log_errno(err, "cannot read the books");
	} else if (!snapshot_proxy_up(s)) {
		log_error("no proxy runs: start tollgate-proxy --config FILE");
		err = -ESRCH;
	} else {
		*ret = (pid_t)s->proxy.pid;
	}
	snapshot_free(s);
	book_close(b);
	return err;
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
	struct reply *r = arg;
	char *more = realloc(r->text, r->n + size * n + 1);

	if (!more) {
		r->no_memory = true;
		return 0;
	}
	r->text = more;
	memcpy(more + r->n, data, size * n);
	r->n += size * n;
	more[r->n] = '\0';
	return size * n;
}

static const char *word(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

static void say_problem(const json_t *o, long status)
{
	const json_t *errors = json_object_get(o, "errors");
	size_t i;
	json_t *e;

	json_array_foreach(errors, i, e)
	{
		int line = (int)json_integer_value(json_object_get(e, "line"));

		if (line)
			log_error("%s:%d:%d: %s%s%s", word(e, "file"), line,
				  (int)json_integer_value(json_object_get(e, "column")),
				  word(e, "key"), word(e, "key")[0] ? ": " : "",
				  word(e, "detail"));
		else
			log_error("%s%s%s%s%s", word(e, "file"),
				  word(e, "file")[0] && word(e, "key")[0] ? ": " : "",
				  word(e, "key"),
				  word(e, "file")[0] || word(e, "key")[0] ? ": " : "",
				  word(e, "detail"));
	}
	log_error("%s", word(o, "detail")[0] ? word(o, "detail") : "the proxy says no");
	log_debug("status %ld", status);
}

static struct curl_slist *headers(const struct ask *a)
{
	struct curl_slist *list = NULL;
	char line[64];

	if (!a->changes)
		return NULL;
	if (a->creates)
		list = curl_slist_append(list, "If-None-Match: *");
	if (a->revision)
		(void)snprintf(line, sizeof(line), "If-Match: \"%lu\"", a->revision);
	else
		(void)snprintf(line, sizeof(line), "If-Match: *");
	return curl_slist_append(list, line);
}

static int say_failure(CURL *curl, CURLcode code, const char *socket,
		       const struct reply *r)
{
	long os = 0;

	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os);
	if (code != CURLE_COULDNT_CONNECT || os == EAGAIN) {
		log_error("%s: %s", socket,
			  os == EAGAIN ? "too many ask at once"
			  : code == CURLE_OPERATION_TIMEDOUT
				  ? "the proxy does not answer; it is busy, or hangs"
				  : curl_easy_strerror(code));
		return r->no_memory ? -ENOMEM : -EIO;
	}
	log_error("%s: cannot be reached; only root may, and the proxy must be of this "
		  "version",
		  socket);
	return -EACCES;
}

static int perform(CURL *curl, const char *socket, const struct ask *a, struct reply *r,
		   long *status)
{
	struct curl_slist *list = headers(a);
	char url[2048];
	CURLcode code;

	(void)snprintf(url, sizeof(url), "http://tollgate%s", a->path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, a->method);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)ANSWER_S);
	if (list)
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
	if (a->body)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, a->body);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
	curl_slist_free_all(list);
	return code == CURLE_OK ? 0 : say_failure(curl, code, socket, r);
}

/* What it says no with, which need not be JSON. */
static void say_no(const struct reply *r, long status, bool json)
{
	json_t *o = json_loads(r->text ? r->text : "", JSON_DECODE_ANY, NULL);

	if (o && json)
		fputs(r->text, stdout);
	else if (o)
		say_problem(o, status);
	else
		log_error("the proxy says no (%ld)", status);
	json_decref(o);
}

int ask_text(const char *pins, const struct ask *a, char **ret, size_t *n)
{
	struct reply r = { .text = NULL };
	char socket[RUNDIR_PATH];
	long status = 0;
	pid_t pid = 0;
	CURL *curl;
	int err = find_proxy(pins, &pid);

	*ret = NULL;
	curl = err ? NULL : curl_easy_init();
	if (!err && !curl)
		err = log_errno(-ENOMEM, "cannot ask");
	rundir_control(pin_map_id(pins, "meta"), pid, socket);
	if (!err)
		err = perform(curl, socket, a, &r, &status);
	if (!err && (status < 200 || status > 299)) {
		say_no(&r, status, a->json);
		err = -EREMOTEIO;
	}
	curl_easy_cleanup(curl);
	if (err) {
		free(r.text);
		return err;
	}
	*ret = r.text ? r.text : strdup("");
	*n = r.n;
	return *ret ? 0 : -ENOMEM;
}

int ask_json(const char *pins, const struct ask *a, json_t **ret)
{
	char *text;
	size_t n;
	int err = ask_text(pins, a, &text, &n);

	*ret = NULL;
	if (err)
		return err;
	*ret = json_loadb(text, n, JSON_DECODE_ANY, NULL);
	free(text);
	return *ret ? 0 : log_errno(-EPROTO, "the proxy's answer is no JSON");
}

int ask_proxy(const char *pins, const char *method, const char *path, const json_t *body,
	      json_t **ret)
{
	char *text = body ? json_dumps(body, 0) : NULL;
	const struct ask a = { .method = method, .path = path, .body = text };
	int err = ask_json(pins, &a, ret);

	free(text);
	return err;
}

char *ask_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0);
	char *ret = escaped ? strdup(escaped) : NULL;

	curl_free(escaped);
	return ret;
}

void ask_add(char *path, size_t cap, const char *key, const char *value)
{
	size_t len = strlen(path);
	char *escaped = value ? curl_easy_escape(NULL, value, 0) : NULL;

	if (escaped)
		(void)snprintf(path + len, cap - len, "%s%s=%s",
			       strchr(path, '?') ? "&" : "?", key, escaped);
	curl_free(escaped);
}
