/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is told of a connection when it is over: an event in the proxy's ring, with the
 * reason and side that are counted in the same moment.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "book/ends.h"
#include "codec/ja4.h"
#include "net/sock.h"
#include "session/state.h"
#include "tls/stream.h"

/* Whole names only, as many as have place. */
static uint8_t alpn_fitting(const struct hello *h)
{
	size_t len = 0;

	while (len < h->alpn_len &&
	       len + 1u + h->alpn[len] <= sizeof(((struct proxy_event *)0)->alpn))
		len += 1u + h->alpn[len];
	return (uint8_t)len;
}

void session_hear(struct session *s, const struct hello *h, const char *ja4)
{
	size_t name = strlen(h->sni), hash = strlen(ja4);
	uint8_t alpn = alpn_fitting(h);
	struct heard *heard = malloc(sizeof(*heard) + name + alpn + hash);

	free(s->heard);
	s->heard = heard;
	if (!heard)
		return; /* an event without it */
	*heard = (struct heard){ .version = h->version,
				 .ech_outer = h->ech_outer,
				 .name_len = (uint8_t)name,
				 .alpn_len = alpn,
				 .ja4_len = (uint8_t)hash };
	memcpy(heard->bytes, h->sni, name);
	memcpy(heard->bytes + name, h->alpn, alpn);
	memcpy(heard->bytes + name + alpn, ja4, hash);
}

size_t session_heard_bytes(const struct heard *h)
{
	return h ? sizeof(*h) + h->name_len + h->alpn_len + h->ja4_len : 0;
}

bool session_heard_is_right(const uint8_t *data, size_t n)
{
	struct heard h;

	if (n < sizeof(h))
		return n == 0;
	memcpy(&h, data, sizeof(h));
	return session_heard_bytes(&h) == n &&
	       h.alpn_len <= sizeof(((struct proxy_event *)0)->alpn) &&
	       h.ja4_len <= JA4_LEN;
}

static void say_heard(const struct heard *h, struct proxy_event *e)
{
	const uint8_t *p = h->bytes;

	e->tls_version = h->version;
	e->ech_outer = h->ech_outer;
	e->alpn_len = h->alpn_len;
	memcpy(e->server_name, p, h->name_len);
	p += h->name_len;
	memcpy(e->alpn, p, h->alpn_len);
	p += h->alpn_len;
	memcpy(e->ja4, p, h->ja4_len);
}

/* listener: of an accepted socket, else NULL. */
static void say_ends(const struct worker *w, const struct listener *l, int fd,
		     const struct addr *remote, struct flow_key *key)
{
	struct addr local = { .port = 0 };

	if (l && (l->path || !addr_is_any(l->addr.ip)))
		local = l->path ? local : l->addr;
	else /* else it has none */
		(void)sock_local(fd, &local);
	memcpy(key->local, local.ip, sizeof(key->local));
	key->local_port = local.port;
	memcpy(key->remote, remote->ip, sizeof(key->remote));
	key->remote_port = remote->port;
	key->proto = IPPROTO_TCP;
	key->netns_cookie = w->proxy->netns_cookie;
}

static void say_socket(const struct session *s, const struct conn *c,
		       const struct addr *remote, struct flow_key *key, __u64 *bytes)
{
	if (c->fd < 0)
		return;
	say_ends(c->worker, c->is_up ? NULL : s->listener, c->fd, remote, key);
	bytes[TG_RX] = c->rx;
	bytes[TG_TX] = c->tx;
}

static void say_client(struct proxy_event *e, const struct addr *client)
{
	memcpy(e->client, client->ip, sizeof(e->client));
	e->client_port = client->port;
}

/* What was agreed with a client, if the handshake was done, and with the backend. */
static void say_tls(const struct session *s, struct proxy_event *e)
{
	struct stream_client c;

	e->backend_tls_used = stream_version(&s->tunnel.up);
	e->tls_used = stream_version(&s->tunnel.down);
	if (!e->tls_used || !stream_client(&s->tunnel.down, &c))
		return;
	e->tls_resumed = c.resumed;
	e->tls_suite = c.suite;
	e->tls_group = c.group;
	(void)snprintf(e->tls_alpn, sizeof(e->tls_alpn), "%.*s", (int)c.alpn_n,
		       c.alpn ? (const char *)c.alpn : "");
	(void)snprintf(e->tls_client, sizeof(e->tls_client), "%s", c.common);
}

void session_tell(const struct session *s, enum tg_end reason, enum tg_side side,
		  uint64_t lost_up, uint64_t lost_down)
{
	struct proxy_event e = { .opened_ns = (uint64_t)s->tunnel.began_ms * 1000000,
				 .closed_ns = util_now_ns(),
				 .listener = s->listener->id,
				 .route = s->dial.route ? s->dial.route->id : 0,
				 .backend = s->dial.backend ? s->dial.backend->id : 0,
				 .reason = (uint8_t)reason,
				 .side = (uint8_t)side,
				 .retries = s->dial.retries,
				 .undelivered_bytes = { lost_up, lost_down } };

	say_client(&e, &s->client);
	say_socket(s, &s->tunnel.down, &s->peer, &e.down, e.down_payload_bytes);
	say_socket(s, &s->tunnel.up, &s->dial.addr, &e.up, e.up_payload_bytes);
	if (s->heard)
		say_heard(s->heard, &e);
	say_tls(s, &e);
	writer_event(session_worker(s)->proxy->writer, &e);
}

void session_tell_refused(struct worker *w, const struct listener *l, int fd,
			  enum tg_end reason, const struct addr *peer)
{
	uint64_t now = util_now_ns();
	struct proxy_event e = { .opened_ns = now,
				 .closed_ns = now,
				 .listener = l->id,
				 .reason = (uint8_t)reason,
				 .side = tg_end_sides[reason] };

	say_ends(w, l, fd, peer, &e.down);
	say_client(&e, peer);
	writer_event(w->proxy->writer, &e);
}
