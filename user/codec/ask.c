/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1, and what both have in common. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/ask_own.h"
#include "codec/h1.h"

void ask_keep(struct ask *a, const uint8_t *p, size_t n)
{
	size_t room = sizeof(a->body) - a->answer.body.n;

	n = n < room ? n : room;
	memcpy(a->body + a->answer.body.n, p, n);
	a->answer.body.n += n;
}

/* RFC 9112 3: a request of its own connection. */
static int write_request(struct ask *a, const struct ask_request *r)
{
	int n = snprintf((char *)a->request, sizeof(a->request),
			 "GET %.*s HTTP/1.1\r\nHost: %.*s\r\n"
			 "User-Agent: tollgate-check\r\nConnection: close\r\n\r\n",
			 (int)r->path.n, r->path.p, (int)r->host.n, r->host.p);

	if (n < 0 || (size_t)n >= sizeof(a->request))
		return -EMSGSIZE;
	a->request_n = (size_t)n;
	return 0;
}

int ask_new(const struct ask_request *r, struct ask **ret)
{
	struct ask *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->wants_body = r->wants_body;
	a->answer.grpc = -1;
	a->answer.body.p = (const char *)a->body;
	err = r->is_h2 ? ask_h2_open(a, r) : write_request(a, r);
	if (err) {
		ask_free(a);
		return err;
	}
	*ret = a;
	return 0;
}

void ask_free(struct ask *a)
{
	if (a && a->session)
		ask_h2_close(a);
	free(a);
}

struct text ask_to_send(struct ask *a)
{
	if (a->session)
		return ask_h2_to_send(a);
	return text_of((const char *)a->request + a->sent, a->request_n - a->sent);
}

void ask_sent(struct ask *a, size_t n)
{
	if (a->session)
		ask_h2_sent(a, n);
	else
		a->sent += n;
}

struct ask_answer ask_answer(const struct ask *a)
{
	return a->answer;
}

/* --- what comes, of HTTP/1.1 --- */

static void drop(struct ask *a, size_t n)
{
	memmove(a->in, a->in + n, a->in_n - n);
	a->in_n -= n;
	a->looked = 0;
}

/* DONE: one is there, and a->head_in if it is no interim one. */
static enum ask_step read_one_head(struct ask *a)
{
	struct http_head head;
	size_t n = h1_end(a->in, a->in_n, &a->looked);

	if (!n)
		return a->in_n == sizeof(a->in) ? ASK_BAD : ASK_MORE;
	if (h1_read(H1_RESPONSE, a->in, n, HTTP_FIELDS_READ, &head) != HTTP_FINE ||
	    head.status == 101)
		return ASK_BAD;
	if (head.status >= 200) {
		h1_body_of(&head, HTTP_METHOD_GET);
		h1_body_begin(&a->framing, &head);
		a->answer.status = head.status;
		a->head_in = true;
	}
	drop(a, n);
	return ASK_DONE;
}

static enum ask_step read_head(struct ask *a)
{
	enum ask_step s;

	do {
		s = read_one_head(a);
	} while (s == ASK_DONE && !a->head_in);
	return s;
}

static enum ask_step read_body(struct ask *a)
{
	enum http_fault fault;
	size_t used, n;

	for (;;) {
		switch (h1_body_next(&a->framing, a->in, a->in_n, &used, &n, &fault)) {
		case H1_DATA:
			ask_keep(a, a->in + used, n);
			h1_body_took(&a->framing, n);
			drop(a, used + n);
			if (a->answer.body.n == sizeof(a->body))
				return ASK_DONE;
			break;
		case H1_MORE:
			drop(a, used);
			return ASK_MORE;
		case H1_BAD:
			return ASK_BAD;
		default: /* its end, or trailers, which nobody asks for */
			return ASK_DONE;
		}
	}
}

static enum ask_step read_answer(struct ask *a)
{
	enum ask_step s = a->head_in ? ASK_DONE : read_head(a);

	return s == ASK_DONE && a->wants_body ? read_body(a) : s;
}

static enum ask_step h1_came(struct ask *a, const uint8_t *p, size_t n)
{
	enum ask_step s = ASK_MORE;

	if (!n)
		return a->head_in && h1_body_may_end(&a->framing) ? ASK_DONE : ASK_BAD;
	while (n && s == ASK_MORE) {
		size_t k = sizeof(a->in) - a->in_n;

		k = k < n ? k : n;
		memcpy(a->in + a->in_n, p, k);
		a->in_n += k;
		p += k;
		n -= k;
		s = read_answer(a);
	}
	return s;
}

enum ask_step ask_came(struct ask *a, const uint8_t *p, size_t n)
{
	a->came += n;
	if (a->came > ASK_BYTES_MAX)
		return ASK_BAD;
	return a->session ? ask_h2_came(a, p, n) : h1_came(a, p, n);
}
