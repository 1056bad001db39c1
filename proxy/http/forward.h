/* SPDX-License-Identifier: Apache-2.0 */
/* Heads as the other side gets them (RFC 9110 7.6), and texts with variables. */
#ifndef PROXY_HTTP_FORWARD_H
#define PROXY_HTTP_FORWARD_H

#include "http/client.h"
#include "net/worker.h"

/* Memory for texts that are made here, for as long as the head is needed. */
#define FORWARD_BYTES 8192
struct forward_texts {
	size_t n;
	char bytes[FORWARD_BYTES];
};

/* Who and what a request is of. */
struct forward_request {
	const struct http_client *client;
	const struct route *route;
	const struct http_head *head; /* as it came */
	const char *id;		      /* of the request */
	const char *user;	      /* who has shown who he is; NULL: nobody */
	struct text backend;	      /* its name, where it has been chosen */
	const char *cookie; /* that its answer sets, but for Secure; NULL: none */
};

/* Of its variables; n 0 and p NULL if there is no room. */
struct text forward_template(const struct forward_request *r,
			     const struct http_template *t, struct forward_texts *texts);

/* Into *ret.  False if it has too many fields, or texts that are too long. */
bool forward_request(const struct forward_request *r, struct forward_texts *texts,
		     struct http_head *ret);
bool forward_response(const struct forward_request *r, const struct http_head *response,
		      struct forward_texts *texts, struct http_head *ret);

/*
 * Without what may not be said that late, and of a request to that route (NULL: it is an
 * answer's) without what the gate says itself; in buf, or NULL if nothing is left.
 */
const struct http_head *forward_trailers(const struct route *r,
					 const struct http_head *from,
					 struct http_head *buf);

/* The id that a trusted client gave it, else a new one; NUL-terminated. */
#define FORWARD_ID_MAX 64
void forward_id(struct worker *w, const struct http_client *c, const struct http_head *h,
		char ret[FORWARD_ID_MAX + 1]);

#endif
