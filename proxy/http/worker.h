/* SPDX-License-Identifier: Apache-2.0 */
/* What HTTP keeps with a worker. */
#ifndef PROXY_HTTP_WORKER_H
#define PROXY_HTTP_WORKER_H

#include "base/ev.h"
#include "net/worker.h"

#define HTTP_DATE_LEN	 29
#define HTTP_BULK_BYTES	 (64 * 1024)
#define HTTP_BACK_CHAINS 256

struct access_ring;
struct back;
struct conn;
struct front;
struct sender;

struct http_worker {
	struct sender *staged; /* that have something for the end of the turn */
	struct ev_task flush;
	struct back *idle[HTTP_BACK_CHAINS]; /* connections to backends, by backend */
	unsigned idle_of[HTTP_BACK_CHAINS];  /* how many there are in each */
	unsigned idle_n;
	struct back *opening;	       /* of HTTP/2, that are dialed */
	struct front *oldest, *newest; /* clients that may be idle; front.c's */
	struct back *all;	       /* with a socket or without */
	uint32_t ordinary;	       /* requests that the log may leave out, so far */
	struct access_ring *log;       /* NULL: none; set by another thread */
	struct pool_buffer *bulk;      /* HTTP_BULK_BYTES, for one read at a time */
	struct ev_timer sweep;
	struct worker *worker;
	int64_t date_at; /* the second that `date` is of */
	char date[HTTP_DATE_LEN + 1];
};

/* Before the worker starts: 0 or -ENOMEM; and at its end. */
int http_open(struct worker *w);
void http_close(struct worker *w);

/* A new configuration: idle connections of others go. */
void http_forget(struct worker *w);

/* Call fn with each socket to a backend that is open, until it returns other than 0. */
int http_each_socket(struct worker *w, int (*fn)(const struct conn *c, void *arg),
		     void *arg);

/* Descriptors are short: let one idle connection go.  False if there is none. */
bool http_make_room(struct worker *w);

/* Now, for Date (RFC 9110 5.6.7). */
const char *http_date(struct worker *w);

#endif
