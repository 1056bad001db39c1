/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks. */
#include <string.h>
#include <time.h>

#include "config/passwords.h"
#include "decide/token.h"
#include "http/exchange_own.h"

void exchange_admit(struct exchange *x)
{
	if (config_answers(x->dial.route))
		exchange_answer_route(x);
	else
		exchange_dial(x);
}

static void go_on(struct exchange *x)
{
	const struct http_forward_auth *f = x->dial.route->http->forward_auth;

	if (f)
		exchange_ask(x, f);
	else
		exchange_admit(x);
}

static void on_checked(void *arg, bool right)
{
	struct exchange *x = arg;

	x->check = NULL;
	if (right)
		go_on(x);
	else
		exchange_answer(x, 401, TG_REQUEST_CREDENTIALS);
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
