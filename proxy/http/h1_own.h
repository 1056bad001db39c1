/* SPDX-License-Identifier: Apache-2.0 */
/* Of the files of h1.c, and nobody else's. */
#ifndef PROXY_HTTP_H1_OWN_H
#define PROXY_HTTP_H1_OWN_H

#include "base/util.h"
#include "http/h1.h"
#include "net/pool.h"
#include "net/worker.h"

static inline struct pool *h1_pool(const struct h1 *h)
{
	return &h->conn->worker->pool;
}

/* RFC 9110 7.8, 9.3.6: what comes behind that head is another protocol's. */
static inline bool h1_raises(const struct h1 *h, const struct http_head *head)
{
	return head->status == 101 || (h->asked == HTTP_METHOD_CONNECT &&
				       head->status >= 200 && head->status < 300);
}

/* --- h1.c --- */

/* What was read, and the texts of a head: given back. */
void h1_put_in(struct h1 *h);
void h1_drop_head(struct h1 *h);

void h1_tell_bytes(struct h1 *h);

/* The connection is at its end; gone: the exchange hears of that first. */
void h1_over(struct h1 *h, enum tg_end why, bool reset);
void h1_gone(struct h1 *h, enum tg_end why, bool reset);
enum tg_end h1_gone_reason(struct h1 *h, int err);

/* If it is to close: what is to be sent goes now, and then it is over. */
void h1_try_close(struct h1 *h);

/* --- h1_in.c --- */

/* Read what there is, and say what it is; again: at the end of this turn. */
void h1_work(struct h1 *h);
void h1_again(struct h1 *h);
void h1_on_task(struct ev_task *task);

/* --- h1_out.c --- */

extern const struct http_end_ops h1_ops;

#endif
