/* SPDX-License-Identifier: Apache-2.0 */
/* `tollgate events`: the ring has one reader, the exporter, so this asks it by HTTP. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>
#include <jansson.h>

#include "base/log.h"
#include "base/util.h"
#include "command/follow.h"

#define LINE_MAX_BYTES 65536
#define WHEN_BYTES     16

#define ID_BYTES       64
#define AGAIN_S	       1 /* to the next try, when an exporter has gone */

struct stream {
	const struct follow_opts *opts;
	void (*fn)(const json_t *o, void *arg); /* NULL: print */
	void *arg;
	char line[LINE_MAX_BYTES];
	size_t len;
	char id[ID_BYTES]; /* of the last event; empty: none yet */
	bool heard;	   /* an exporter has answered */
	bool broken;	   /* what came is not from an exporter, or nobody reads us */
};

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static uint64_t number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static const char *format_closed(const json_t *o, char ret[WHEN_BYTES])
{
	time_t closed = (time_t)json_number_value(json_object_get(o, "closed"));
	struct tm tm;

	ret[0] = '\0';
	if (localtime_r(&closed, &tm))
		(void)strftime(ret, WHEN_BYTES, "%T", &tm);
	return ret;
}

static void print_record(const json_t *o)
{
	char rx[UTIL_BYTES_STR_MAX], tx[UTIL_BYTES_STR_MAX], when[WHEN_BYTES];

	printf("%s %-5s %-24s %s %-24s %10s in %10s out %8.3fs %s%s%s%s\n",
	       format_closed(o, when), text(o, "protocol"), text(o, "local"),
	       strcmp(text(o, "role"), "accepted") == 0 ? "<-" : "->", text(o, "remote"),
	       util_format_bytes(number(o, "rx_payload_bytes"), rx),
	       util_format_bytes(number(o, "tx_payload_bytes"), tx),
	       json_number_value(json_object_get(o, "duration_seconds")),
	       text(o, "reason"), text(o, "listener")[0] ? " " : "", text(o, "listener"),
	       text(o, "leg")[0] == 'u' ? " upstream" : "");
}

/* A connection of the proxy: who, what it asked for, where it went, why it ended. */
static void print_connection(const json_t *o)
{
	const json_t *down = json_object_get(o, "downstream");
	const char *name = text(o, "server_name"), *backend = text(o, "backend");
	char rx[UTIL_BYTES_STR_MAX], tx[UTIL_BYTES_STR_MAX], when[WHEN_BYTES];

	printf("%s proxy %-24s -> %-24s %10s in %10s out %8.3fs %s by %s %s%s%s%s%s\n",
	       format_closed(o, when), text(o, "client"), backend[0] ? backend : "-",
	       util_format_bytes(number(down, "rx_payload_bytes"), rx),
	       util_format_bytes(number(down, "tx_payload_bytes"), tx),
	       json_number_value(json_object_get(o, "duration_seconds")),
	       text(o, "reason"), text(o, "side"), text(o, "listener"),
	       text(o, "route")[0] ? "/" : "", text(o, "route"), name[0] ? " " : "",
	       name);
}

/* One line of the stream, or of the list: both hold objects in one line each. */
static void on_line(struct stream *s, char *line)
{
	json_t *o;
	size_t len;

	s->heard = true;
	if (strncmp(line, "id: ", 4) == 0)
		(void)snprintf(s->id, sizeof(s->id), "%.*s",
			       (int)strcspn(line + 4, "\r\n"), line + 4);
	if (strncmp(line, "data: ", 6) == 0)
		line += 6;
	if (line[0] == '[')
		line++;
	len = strlen(line);
	while (len &&
	       (line[len - 1] == ',' || line[len - 1] == ']' || line[len - 1] == '\r'))
		line[--len] = '\0';
	if (line[0] != '{')
		return;
	o = json_loads(line, 0, NULL);
	if (!o)
		return;
	if (json_is_integer(json_object_get(o, "records")))
		log_warn("%llu records were missed: the exporter keeps no more",
			 (unsigned long long)number(o, "records"));
	else if (json_object_get(o, "records"))
		log_warn("records may have been missed: another exporter has begun");
	else if (s->fn)
		s->fn(o, s->arg);
	else if (s->opts->book && strcmp(s->opts->book, text(o, "book")) != 0)
		; /* another's */
	else if (s->opts->json)
		puts(line);
	else if (strcmp(text(o, "book"), "proxy") == 0)
		print_connection(o);
	else
		print_record(o);
	json_decref(o);
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
	struct stream *s = arg;

	n *= size;
	for (size_t i = 0; i < n; i++) {
		if (data[i] != '\n') {
			if (s->len < sizeof(s->line) - 1)
				s->line[s->len++] = data[i];
			continue;
		}
		s->line[s->len] = '\0';
		s->len = 0;
		on_line(s, s->line);
	}
	if (fflush(stdout) != 0)
		s->broken = true;
	return s->broken ? 0 : n;
}

static int explain(CURLcode code, const char *url, long status, const char *why)
{
	if (code == CURLE_COULDNT_CONNECT) {
		log_error("no exporter answers at %s; start tollgate-exporter, or say "
			  "where it is with --exporter",
			  url);
		return -ENOENT;
	}
	if (code == CURLE_HTTP_RETURNED_ERROR)
		log_error("%s answers with status %ld; is it a tollgate-exporter?", url,
			  status);
	else
		log_error("%s: %s", url, why[0] ? why : curl_easy_strerror(code));
	return -EIO;
}

/* "key=value" behind what is there, if there is a value. */
static void add_argument(CURL *curl, char *url, size_t cap, const char *key,
			 const char *value)
{
	size_t len = strlen(url);
	char *escaped;

	if (!value || !*value)
		return;
	escaped = curl_easy_escape(curl, value, 0);
	if (escaped)
		(void)snprintf(url + len, cap - len, "&%s=%s", key, escaped);
	curl_free(escaped);
}

static void make_url(CURL *curl, const struct follow_opts *o, char *url, size_t cap)
{
	bool local = strncmp(o->exporter, "unix:", 5) == 0;
	char port[32] = "", since[32] = "";

	(void)snprintf(url, cap, "%s/%s?last=%lu",
		       local ? "http://exporter" : o->exporter,
		       o->follow ? "events" : "records", o->last);
	if (local)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, o->exporter + 5);
	if (o->port)
		(void)snprintf(port, sizeof(port), "%lu", o->port);
	if (o->since)
		(void)snprintf(since, sizeof(since), "%lu", o->since);
	add_argument(curl, url, cap, "book", o->book);
	add_argument(curl, url, cap, "address", o->address);
	add_argument(curl, url, cap, "listener", o->listener);
	add_argument(curl, url, cap, "port", port);
	add_argument(curl, url, cap, "since", since);
}

/* One request, from where we are on. */
static int ask(struct stream *s, bool again)
{
	char url[2048], why[CURL_ERROR_SIZE] = "", header[ID_BYTES + 32];
	struct curl_slist *headers = NULL;
	CURL *curl = curl_easy_init();
	long status = 0;
	CURLcode code;
	int err;

	if (!curl)
		return log_errno(-ENOMEM, "cannot ask");
	make_url(curl, s->opts, url, sizeof(url));
	if (s->id[0]) {
		(void)snprintf(header, sizeof(header), "Last-Event-ID: %s", s->id);
		headers = curl_slist_append(NULL, header);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	}
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, s);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	s->len = 0;
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	err = code == CURLE_OK || s->broken ? 0
	      : again			    ? -ENOENT
					    : explain(code, url, status, why);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return err;
}

static int run(const struct follow_opts *opts, void (*fn)(const json_t *o, void *arg),
	       void *arg)
{
	static const struct timespec pause = { .tv_sec = AGAIN_S };
	struct stream *s = calloc(1, sizeof(*s));
	bool told = false;
	int err;

	if (!s)
		return log_errno(-ENOMEM, "cannot ask");
	s->opts = opts;
	s->fn = fn;
	s->arg = arg;
	err = ask(s, false);
	while (opts->follow && s->heard && !s->broken) {
		if (!told)
			log_warn("the exporter has gone; waiting for it to come back");
		told = true;
		(void)nanosleep(&pause, NULL);
		err = ask(s, true);
		if (!err)
			told = false; /* it was back, and went again */
	}
	free(s);
	return err;
}

int follow_run(const struct follow_opts *opts)
{
	return run(opts, NULL, NULL);
}

int follow_each(const struct follow_opts *opts, void (*fn)(const json_t *o, void *arg),
		void *arg)
{
	return run(opts, fn, arg);
}
