/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "exporter/sse.h"

#define CLIENTS_MAX 32
#define BLOCK_BYTES 4096
#define BEAT_NS	    15000000000u /* a comment, so that a client that is gone is noticed */

struct client {
	struct sse *sse;
	struct MHD_Connection *connection;
	uint64_t sent; /* number of the last record that was handed over */
	uint64_t beat_ns;
	bool asleep;
	bool used;
	bool lost; /* to be told: another exporter was here */
	struct events_filter filter;
	char book[8], listener[64]; /* its words */
	char *text;		    /* being handed over */
	size_t text_len;
	size_t text_done;
};

struct sse {
	struct events *events;
	pthread_mutex_t lock;
	bool stop;
	struct client clients[CLIENTS_MAX];
};

struct sse *sse_new(struct events *events)
{
	struct sse *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->events = events;
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void sse_free(struct sse *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* The next thing to say to this client into its text; false if there is nothing. */
static bool next_text(struct client *c)
{
	struct events *e = c->sse->events;
	uint64_t number, lost, newest = events_newest(e);
	char *line;
	int n;

	if (c->lost) {
		c->lost = false;
		n = asprintf(&c->text,
			     "event: lost\ndata: {\"records\":null,\"why\":\"another "
			     "exporter has begun\"}\n\n");
	} else if ((line = events_next(e, &c->filter, c->sent, &number, &lost))) {
		if (lost) /* first this; then the record, which comes next */
			n = asprintf(&c->text,
				     "event: lost\ndata: {\"records\":%llu}\n\n",
				     (unsigned long long)lost);
		else
			n = asprintf(&c->text, "id: %016llx-%llu\ndata: %s\n\n",
				     (unsigned long long)events_epoch(e),
				     (unsigned long long)number, line);
		if (n >= 0)
			c->sent = lost ? number - 1 : number;
		free(line);
	} else {
		c->sent = newest > c->sent ? newest : c->sent; /* none was wanted */
		if (util_now_ns() - c->beat_ns < BEAT_NS)
			return false;
		c->beat_ns = util_now_ns();
		n = asprintf(&c->text, ":\n\n");
	}
	if (n < 0) {
		c->text = NULL;
		return false;
	}
	c->text_len = (size_t)n;
	c->text_done = 0;
	return true;
}

static ssize_t on_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct client *c = cls;
	size_t n;

	(void)pos;
	pthread_mutex_lock(&c->sse->lock);
	if (c->sse->stop) {
		pthread_mutex_unlock(&c->sse->lock);
		return MHD_CONTENT_READER_END_OF_STREAM;
	}
	if (!c->text && !next_text(c)) {
		c->asleep = true;
		MHD_suspend_connection(c->connection);
		pthread_mutex_unlock(&c->sse->lock);
		return 0;
	}
	n = c->text_len - c->text_done;
	n = n < max ? n : max;
	memcpy(buf, c->text + c->text_done, n);
	c->text_done += n;
	if (c->text_done == c->text_len) {
		free(c->text);
		c->text = NULL;
	}
	pthread_mutex_unlock(&c->sse->lock);
	return (ssize_t)n;
}

static void on_end(void *cls)
{
	struct client *c = cls;

	pthread_mutex_lock(&c->sse->lock);
	free(c->text);
	c->text = NULL;
	c->used = false;
	pthread_mutex_unlock(&c->sse->lock);
}

/* Those of the request are gone with it. */
static void keep_words(struct client *c)
{
	if (c->filter.book) {
		(void)snprintf(c->book, sizeof(c->book), "%s", c->filter.book);
		c->filter.book = c->book;
	}
	if (c->filter.listener) {
		(void)snprintf(c->listener, sizeof(c->listener), "%s",
			       c->filter.listener);
		c->filter.listener = c->listener;
	}
}

struct MHD_Response *sse_response(struct sse *s, struct MHD_Connection *connection,
				  const struct events_filter *f, uint64_t after,
				  bool lost)
{
	struct MHD_Response *response = NULL;
	struct client *c = NULL;

	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < CLIENTS_MAX && !c; i++) {
		if (!s->clients[i].used)
			c = &s->clients[i];
	}
	if (c) {
		*c = (struct client){ .sse = s,
				      .connection = connection,
				      .sent = after,
				      .lost = lost,
				      .beat_ns = util_now_ns() - BEAT_NS,
				      .filter = *f,
				      .used = true };
		keep_words(c);
	}
	pthread_mutex_unlock(&s->lock);
	if (c)
		response = MHD_create_response_from_callback(
			MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_read, c, on_end);
	if (response)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
					      "no-store");
	else if (c)
		on_end(c);
	return response;
}

void sse_wake(void *arg)
{
	struct sse *s = arg;

	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < CLIENTS_MAX; i++) {
		if (!s->clients[i].used || !s->clients[i].asleep)
			continue;
		s->clients[i].asleep = false;
		MHD_resume_connection(s->clients[i].connection);
	}
	pthread_mutex_unlock(&s->lock);
}

void sse_stop(struct sse *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_mutex_unlock(&s->lock);
	sse_wake(s);
}
