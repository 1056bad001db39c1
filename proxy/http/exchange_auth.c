/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/passwords.h"
#include "decide/affinity.h"
#include "decide/token.h"
#include "http/exchange_own.h"

#define CHECK_MS 20000 /* of a password, when many wait */

void exchange_admit(struct exchange *x)
{
	if (config_answers(x->dial.route))
		exchange_answer_route(x);
	else
		exchange_dial(x);
}

/* Who asks too often of what the route counts is told when to come back. */
static bool is_too_often(struct exchange *x, const struct http_rate *r)
{
	const struct addr *client = http_client_addr(x->client_of);
	struct text alike = TEXT("");
	uint32_t id = (uint32_t)x->listener->id << 16 | x->dial.route->id;
	int64_t wait;

	if (r->alike.trait == TRAIT_USER && x->user)
		alike = text_of_string(x->user);
	else if (!affinity_trait(&r->alike, &x->head, &alike))
		alike = text_of((const char *)client->ip,
				addr_is_v4(client->ip) ? 16 : 8);
	wait = limits_request(x->worker->proxy->limits, id, alike.p, alike.n, &r->rate,
			      exchange_now_ms(x));
	if (!wait)
		return false;
	x->retry_after_s = (uint32_t)((wait + 999) / 1000);
	exchange_answer(x, 429, TG_REQUEST_LIMIT);
	return true;
}

static void go_on(struct exchange *x)
{
	const struct http_route *h = x->dial.route->http;
	const struct http_forward_auth *f = h->forward_auth;

	if (h->rate && is_too_often(x, h->rate))
		return;
	if (f)
		exchange_ask(x, f);
	else
		exchange_admit(x);
}

/* He has not shown that he is. */
static void deny_user(struct exchange *x)
{
	free(x->user);
	x->user = NULL;
}

static void on_checked(void *arg, bool right)
{
	struct exchange *x = arg;

	x->check = NULL;
	ev_timer_del(x->worker->loop, &x->timer);
	if (right) {
		go_on(x);
		return;
	}
	deny_user(x);
	exchange_answer(x, 401, TG_REQUEST_CREDENTIALS);
}

void exchange_stop_waiting_for_word(struct exchange *x)
{
	if (x->check) {
		auth_forget(x->check);
		x->check = NULL;
		deny_user(x);
	}
	exchange_stop_asking(x);
}

static void ask_password(struct exchange *x, const struct http_basic_auth *b)
{
	char name[PASSWORD_NAME_MAX + 1];
	enum auth_result r = auth_basic(x->worker->proxy->auth, x->worker, b, &x->head,
					name, on_checked, x, &x->check);

	if ((r == AUTH_FINE || r == AUTH_LATER) && !(x->user = strdup(name))) {
		exchange_answer(x, 503, TG_REQUEST_RESOURCES);
		return;
	}
	switch (r) {
	case AUTH_FINE:
		go_on(x);
		break;
	case AUTH_LATER: /* on_checked() is called */
		exchange_arm(x, CHECK_MS);
		break;
	case AUTH_BUSY:
		exchange_answer(x, 503, TG_REQUEST_AUTH_BUSY);
		break;
	default:
		exchange_answer(x, 401,
				r == AUTH_MISSING ? TG_REQUEST_NO_CREDENTIALS
						  : TG_REQUEST_CREDENTIALS);
	}
}

static void ask_token(struct exchange *x, const struct http_jwt *t)
{
	static const struct {
		uint16_t status;
		uint8_t reason;
	} answers[] = {
		[TOKEN_MISSING] = { 401, TG_REQUEST_NO_CREDENTIALS },
		[TOKEN_INVALID] = { 401, TG_REQUEST_TOKEN },
		[TOKEN_EXPIRED] = { 401, TG_REQUEST_TOKEN_EXPIRED },
		[TOKEN_REFUSED] = { 403, TG_REQUEST_TOKEN_REFUSED },
		[TOKEN_NO_MEMORY] = { 503, TG_REQUEST_RESOURCES },
	};
	enum token_result r = token_check(t, &x->head, time(NULL), &x->user);

	if (r == TOKEN_FINE)
		go_on(x);
	else
		exchange_answer(x, answers[r].status, answers[r].reason);
}

void exchange_authorize(struct exchange *x)
{
	const struct http_route *h = x->dial.route->http;

	if (h->basic_auth)
		ask_password(x, h->basic_auth);
	else if (h->jwt)
		ask_token(x, h->jwt);
	else
		go_on(x);
}
