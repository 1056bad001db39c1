/* SPDX-License-Identifier: Apache-2.0 */
/* A session in HANDSHAKE: TLS of a route that terminates it. */
#include <errno.h>

#include "base/log.h"
#include "base/util.h"
#include "session/state.h"
#include "tls/stream.h"
#include "tls/tally.h"

/* In microseconds since it was accepted, its hello included. */
static void note_done(const struct session *s)
{
	const struct conn *down = &s->tunnel.down;
	struct hello_book *book = s->listener->hellos;
	int64_t age_us = (int64_t)(util_now_ns() / 1000) - s->tunnel.began_ms * 1000;
	bool is_13 = stream_version(down) == 0x0304;
	struct stream_client client;

	if (stream_client(down, &client))
		tally_handshake(book, client.suite, client.group);
	book_add(&book->handshakes[is_13 ? TG_TLS_13 : TG_TLS_12], 1);
	if (stream_is_resumed(down))
		book_add(&book->handshakes_resumed, 1);
	writer_hist_add(&book->handshake_us, TG_HANDSHAKE_SHIFT,
			age_us > 0 ? (uint64_t)age_us : 0);
}

/* An alert that has left is not thrown away by a reset. */
static struct outcome refused(const struct session *s, enum tg_end reason)
{
	return outcome_over(reason, s->tunnel.down.out != NULL);
}

static void tell_distrusted(const struct session *s, enum tg_end reason)
{
	const char *word;

	if (reason == TG_END_CLIENT_TRUST && stream_is_distrusted(&s->tunnel.down, &word))
		log_limited(LOG_WARN,
			    "listener '%s', route '%s': a client's certificate is not "
			    "trusted: %s",
			    s->listener->name, s->dial.route->name, word);
}

static bool is_challenge(const struct session *s)
{
	return s->dial.route == s->listener->acme;
}

/*
 * A step may sign, which takes as long as many reads and writes of others: a few in a
 * turn, and the rest when those have had theirs.
 */
#define TURN_MAX 4

struct outcome handshake_event(struct session *s)
{
	enum tg_end why = TG_END_TLS_HANDSHAKE;
	int err;

	if (session_worker(s)->handshakes >= TURN_MAX)
		return outcome_again();
	session_worker(s)->handshakes++;
	err = stream_handshake(&s->tunnel.down, &why);
	if (err == -EAGAIN)
		return outcome_wait();
	if (err) {
		tell_distrusted(s, why);
		return refused(s, why);
	}
	if (is_challenge(s)) /* what was asked for was in it */
		return outcome_over(TG_END_ACME, false);
	note_done(s);
	return outcome_next();
}

struct outcome handshake_begin(struct session *s)
{
	struct opening *o = s->opening;
	struct hello hello;
	struct stream_options options = { .certs = is_challenge(s)
							   ? s->listener->challenges
							   : s->listener->certs,
					  .route = s->dial.route,
					  .listener = s->listener->name,
					  .hellos = s->listener->hellos,
					  .name = hello.sni,
					  .head = o->head + o->sent,
					  .head_n = o->len - o->sent };
	struct outcome out;
	int err;

	(void)hello_read(options.head, options.head_n, s->config->hello_bytes, &hello);
	err = stream_open(&s->tunnel.down, &options);
	if (err == -ENOENT)
		return opening_alert(s, hello.has_sni, TG_END_TLS_NAME);
	if (err)
		return outcome_over(TG_END_RESOURCES, true);
	o->taken = true;
	out = handshake_event(s);
	return !outcome_ends(out) ? outcome_until(out, s->config->timeouts.handshake_ms)
				  : out;
}
