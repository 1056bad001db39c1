/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a request may go on is another's to say (`forward_auth`).  Who is asked gets
 * the request's head by an exchange of its own, whose client's end is here: no
 * connection's, and whoever speaks to it does not know that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "codec/path.h"
#include "http/exchange_own.h"

#define BODY_MAX (64u * 1024) /* of an answer that is passed on */

struct inquiry {
	struct http_end end;  /* of the exchange that asks */
	struct ev_task task;  /* what it said is looked at in a turn of its own */
	struct exchange *of;  /* who waits; NULL: nobody any more */
	struct exchange *sub; /* that asks; NULL: it is over */
	struct http_head *head;
	uint8_t *body;
	size_t body_n;
	bool over, failed;
	bool decided; /* the request has gone on, or was answered */
	char uri[];   /* that it asks about, as large as the target */
};

static struct inquiry *inquiry_of(struct http_end *e)
{
	return container_of(e, struct inquiry, end);
}

/* --- as the end of a client --- */

static int put_head(struct http_end *e, const struct http_head *h, bool last)
{
	struct inquiry *q = inquiry_of(e);

	(void)last;
	if (h->status < 200)
		return 0;
	q->head = http_head_dup(h);
	if (q->head && h->status < 300 && q->of) /* its body is waited for by nobody */
		ev_task_add(q->of->worker->loop, &q->task);
	return q->head ? 0 : -ENOMEM;
}

static ssize_t put_body(struct http_end *e, const uint8_t *p, size_t n)
{
	struct inquiry *q = inquiry_of(e);

	if (q->head && q->head->status < 300)
		return (ssize_t)n; /* nobody reads it */
	if (!q->body)
		q->body = malloc(BODY_MAX);
	if (!q->body || n > BODY_MAX - q->body_n)
		return q->body ? -EMSGSIZE : -ENOMEM;
	memcpy(q->body + q->body_n, p, n);
	q->body_n += n;
	return (ssize_t)n;
}

static int put_last(struct http_end *e, const struct http_head *trailers)
{
	(void)e;
	(void)trailers;
	return 0;
}

static void more(struct http_end *e)
{
	(void)e; /* its request has no body */
}

static void on_over(struct inquiry *q, bool failed)
{
	q->over = true;
	q->sub = NULL;
	q->failed = failed || !q->head;
	if (q->of && !q->decided)
		ev_task_add(q->of->worker->loop, &q->task);
}

static void stop(struct http_end *e, enum tg_end why)
{
	(void)why;
	e->exchange = NULL;
	on_over(inquiry_of(e), true);
}

/* An answer of the gate's own says that there is none of who was asked. */
static void release(struct http_end *e)
{
	bool failed = e->exchange->reason != TG_REQUEST_DONE;

	e->exchange = NULL;
	on_over(inquiry_of(e), failed);
}

static const struct http_end_ops ops = { .put_head = put_head,
					 .put_body = put_body,
					 .put_last = put_last,
					 .more = more,
					 .stop = stop,
					 .release = release };

/* --- what it said --- */

static void on_task(struct ev_task *task)
{
	struct inquiry *q = container_of(task, struct inquiry, task);
	struct exchange *x = q->of;

	q->decided = true;
	if (q->failed)
		exchange_answer(x, 503, TG_REQUEST_AUTH_FAILED);
	else if (q->head->status < 300)
		exchange_admit(x);
	else
		exchange_answer_as(x, q->head,
				   q->body ? text_of((const char *)q->body, q->body_n)
					   : TEXT(""),
				   TG_REQUEST_AUTH_REFUSED);
}

static bool is_wanted(const struct http_forward_auth *f, const struct http_field *field)
{
	for (unsigned i = 0; i < f->fields_count; i++) {
		if (http_is_alike(text_of(field->name, field->name_n),
				  text_of_string(f->fields[i])))
			return true;
	}
	return false;
}

bool exchange_put_said(const struct exchange *x, struct http_head *request)
{
	const struct http_forward_auth *f = x->dial.route->http->forward_auth;
	const struct http_head *said = x->inquiry ? x->inquiry->head : NULL;
	unsigned n = 0;

	if (!f || !said)
		return true;
	for (unsigned i = 0; i < request->n; i++) {
		if (!is_wanted(f, &request->fields[i]))
			request->fields[n++] = request->fields[i];
	}
	request->n = n;
	for (unsigned i = 0; i < said->n; i++) {
		const struct http_field *field = &said->fields[i];

		if (is_wanted(f, field) && !field->hop &&
		    !http_add(request, (enum http_field_id)field->id,
			      text_of(field->name, field->name_n), http_value(field)))
			return false;
	}
	return true;
}

/* --- asking --- */

/* Of the body, and of what an answer might depend on in ways that are none of its. */
static bool is_left_out(const struct http_field *f)
{
	static const struct text names[] = {
		{ "x-forwarded-uri", 15 },
		{ "x-forwarded-method", 18 },
		{ "range", 5 },
		{ "accept-encoding", 15 }, /* an answer may be passed on */
	};
	struct text name = text_of(f->name, f->name_n);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (http_is_alike(name, names[i]))
			return true;
	}
	return f->hop || f->id == HTTP_CONTENT_LENGTH || f->id == HTTP_EXPECT ||
	       (name.n > 3 && memcmp(name.p, "if-", 3) == 0) ||
	       (name.n > 8 && memcmp(name.p, "content-", 8) == 0);
}

/*
 * What was asked for, with the path as it is routed: who judges it must not be told
 * another than the backend may get.
 */
static struct text uri_of(const struct http_head *h, char *buf)
{
	struct text query, path = path_split(h->path, &query), normal;
	char *to;

	if (h->method == HTTP_METHOD_CONNECT && !h->extended)
		return h->authority;
	if (!path.n || path.p[0] != '/' || !path_normal(path, buf, &normal))
		return h->path;
	to = buf + normal.n; /* which is no longer than the path was */
	if (query.p) {
		*to = '?';
		memcpy(to + 1, query.p, query.n);
		normal.n += 1 + query.n;
	}
	return normal;
}

/* GET, with what the request says, and what it was. */
static bool make_head(const struct exchange *x, const struct http_forward_auth *f,
		      char *buf, struct http_head *ret)
{
	const struct http_head *h = &x->head;
	struct text uri = uri_of(h, buf);

	memset(ret, 0, offsetof(struct http_head, fields));
	ret->major = 1;
	ret->minor = 1;
	ret->method = HTTP_METHOD_GET;
	ret->method_name = TEXT("GET");
	ret->scheme = h->scheme;
	ret->authority = h->authority;
	ret->path = f->path ? text_of_string(f->path) : uri.p[0] == '/' ? uri : TEXT("/");
	ret->protocol = ret->reason = TEXT("");
	for (unsigned i = 0; i < h->n; i++) {
		if (!is_left_out(&h->fields[i]))
			ret->fields[ret->n++] = h->fields[i];
	}
	return http_add(ret, HTTP_OTHER_FIELD, TEXT("x-forwarded-method"),
			h->method_name) &&
	       http_add(ret, HTTP_OTHER_FIELD, TEXT("x-forwarded-uri"), uri);
}

void exchange_ask(struct exchange *x, const struct http_forward_auth *f)
{
	struct inquiry *q = calloc(1, sizeof(*q) + x->head.path.n);
	struct http_head head;
	struct exchange *sub;

	if (!q || !make_head(x, f, q->uri, &head)) {
		free(q);
		exchange_answer(x, 503, TG_REQUEST_RESOURCES);
		return;
	}
	q->end.ops = &ops;
	q->task.fn = on_task;
	q->of = x;
	x->inquiry = q;
	sub = exchange_begin_inner(x, &q->end, &head, f->to);
	if (!sub)
		on_over(q, true);
	else if (!q->over)
		q->sub = sub;
}

void exchange_stop_asking(struct exchange *x)
{
	struct inquiry *q = x->inquiry;

	if (!q)
		return;
	q->of = NULL;
	ev_task_del(x->worker->loop, &q->task);
	if (q->sub)
		exchange_stop(q->sub, TG_END_CLIENT_GONE);
	q->sub = NULL;
}

void exchange_free_inquiry(struct inquiry *q)
{
	if (!q)
		return;
	free(q->head);
	free(q->body);
	free(q);
}
