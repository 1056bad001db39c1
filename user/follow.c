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
#include "follow.h"

#define LINE_MAX_BYTES 65536
#define WHEN_BYTES     16

struct stream {
	const struct follow_opts *opts;
	char line[LINE_MAX_BYTES];
	size_t len;
	bool broken; /* what came is not from an exporter, or nobody reads us */
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
	if (json_object_get(o, "records"))
		log_warn("%llu records were missed: the exporter keeps no more",
			 (unsigned long long)number(o, "records"));
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

int follow_run(const struct follow_opts *opts)
{
	char url[1024], why[CURL_ERROR_SIZE] = "";
	struct stream *s = calloc(1, sizeof(*s));
	CURL *curl = curl_easy_init();
	CURLcode code = CURLE_FAILED_INIT;
	long status = 0;
	int err = -ENOMEM;

	if (s && curl) {
		s->opts = opts;
		(void)snprintf(url, sizeof(url), "%s/%s?last=%lu", opts->exporter,
			       opts->follow ? "events" : "records", opts->last);
		curl_easy_setopt(curl, CURLOPT_URL, url);
		curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
		curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, s);
		curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
		curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
		code = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		err = code == CURLE_OK || s->broken ? 0 : explain(code, url, status, why);
	}
	curl_easy_cleanup(curl);
	free(s);
	return err;
}
