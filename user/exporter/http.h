/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporter's HTTP, by libmicrohttpd on one thread.  Whoever is slow, or opens
 * connections and says nothing, does not keep others out: heads and answers have a
 * deadline, and when all places are taken the connection that has been silent longest
 * makes room.
 */
#ifndef USER_EXPORTER_HTTP_H
#define USER_EXPORTER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct http;
struct MHD_Connection;

struct request {
	struct MHD_Connection *connection;
	const char *path;
};

/* An argument of the URL, or a header; NULL if there is none.  Lives with the request. */
const char *request_argument(const struct request *r, const char *name);
const char *request_header(const struct request *r, const char *name);

/*
 * Does the client take this media type or coding, by its Accept or Accept-Encoding header
 * `value`?  A quality of 0 is no (RFC 9110 12.4.2).
 */
bool http_accepts(const char *value, const char *what);

/* What is made while it is sent, by and by. */
struct body {
	/* > 0 bytes put into buf, at most `max`; 0 at the end; -1: it cannot go on */
	ssize_t (*next)(void *arg, char *buf, size_t max);
	void (*end)(void *arg); /* frees arg; called in any case */
	void *arg;
};

struct answer {
	unsigned status;
	const char *type; /* static */
	char *text;	  /* malloc, taken over; NULL: `body` makes it */
	size_t len;
	struct body body;
	char link[256]; /* of a Link header; empty: none */
	bool gzip;	/* may be compressed, if the client accepts it */
	/* an answer of the caller's own making, for streams that never end */
	void *response; /* struct MHD_Response, taken over */
};

/* Make the answer to a GET or HEAD. */
typedef void (*http_fn)(void *arg, const struct request *r, struct answer *ret);

/*
 * Serve on the listening socket `fd`, which is taken over.  0 and *ret, or a negative
 * errno.
 */
int http_start(int fd, http_fn fn, void *arg, struct http **ret);

/* End connections that are over their deadline; from any thread, several times a second.
 */
void http_sweep(struct http *h);

void http_stop(struct http *h); /* NULL is fine */

/* An answer of one line of text. */
void answer_text(struct answer *ret, unsigned status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
