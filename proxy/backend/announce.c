/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "backend/announce.h"
#include "codec/hello.h"
#include "net/sock.h"
#include "net/worker.h"
#include "tls/stream.h"

#define HEADER_EXTRA 1024 /* our own TLVs: a name, a protocol, an id, a checksum, TLS */
#define SSL_MAX	     256

/* Our own TLVs, with room for what is in them. */
struct own {
	struct pp_tlv tlvs[4];
	unsigned n;
	char id[WORKER_ID_LEN + 1];
	struct stream_client client;
	uint8_t ssl[SSL_MAX];
};

static void read_hello(const struct announce *who, struct hello *ret)
{
	(void)hello_read(who->head, who->head_len, who->hello_bytes, ret);
}

void announce_name(const struct announce *who, char ret[HELLO_NAME_MAX + 1])
{
	struct hello hello;

	read_hello(who, &hello);
	memcpy(ret, hello.sni, sizeof(hello.sni));
}

static void add(struct own *o, const struct pp_info *info, uint8_t type,
		const void *value, size_t len)
{
	if (!pp_has_tlv(info, type))
		o->tlvs[o->n++] = (struct pp_tlv){ type, (uint16_t)len, value };
}

static size_t put_text(uint8_t *buf, size_t at, uint8_t type, const char *text)
{
	size_t len = strlen(text);

	if (!len || at + 3 + len > SSL_MAX)
		return at;
	buf[at] = type;
	buf[at + 1] = (uint8_t)(len >> 8);
	buf[at + 2] = (uint8_t)len;
	memcpy(buf + at + 3, text, len);
	return at + 3 + len;
}

/* PROXY protocol 2.2.6: of TLS that ended here. */
static size_t put_ssl(const struct stream_client *c, uint8_t buf[SSL_MAX])
{
	size_t n = 5;

	memset(buf, 0, n);
	buf[0] = PP_CLIENT_SSL;
	if (c->showed)
		buf[0] |= c->resumed ? PP_CLIENT_CERT_SESS
				     : PP_CLIENT_CERT_CONN | PP_CLIENT_CERT_SESS;
	buf[4] = !c->showed; /* 0: verified */
	n = put_text(buf, n, PP_TYPE_SSL_VERSION, c->version);
	n = put_text(buf, n, PP_TYPE_SSL_CN, c->common);
	return put_text(buf, n, PP_TYPE_SSL_CIPHER, c->cipher);
}

/*
 * For what the header we had does not say.  Of TLS that passes through an application
 * protocol is named if the client offers one only: which of several is taken we cannot
 * know.
 */
static void own_tlvs(struct worker *w, const struct announce *who,
		     const struct pp_info *info, struct own *o, struct hello *h)
{
	bool ended = stream_client(who->conn, &o->client);

	o->n = 0;
	if (ended && o->client.alpn_n)
		add(o, info, PP_TYPE_ALPN, o->client.alpn, o->client.alpn_n);
	else if (!ended && h->alpn_len && h->alpn[0] + 1 == h->alpn_len)
		add(o, info, PP_TYPE_ALPN, h->alpn + 1, h->alpn[0]);
	if (h->has_sni)
		add(o, info, PP_TYPE_AUTHORITY, h->sni, strlen(h->sni));
	if (ended)
		add(o, info, PP_TYPE_SSL, o->ssl, put_ssl(&o->client, o->ssl));
	if (!pp_has_tlv(info, PP_TYPE_UNIQUE_ID)) {
		worker_unique_id(w, o->id);
		add(o, info, PP_TYPE_UNIQUE_ID, o->id, WORKER_ID_LEN);
	}
}

/* The real client, and where it connected to. */
static int header_info(const struct announce *who, const struct route *r,
		       struct pp_info *ret)
{
	bool had;
	int err;

	*ret = who->header ? *who->header : (struct pp_info){ 0 };
	had = ret->version != PP_NONE;
	ret->version = r->send_proxy == CONFIG_SEND_V1 ? PP_V1 : PP_V2;
	if (ret->known || ret->local)
		return 0;
	if (who->listener->path) /* nobody knows where from */
		return 0;
	err = sock_local(who->conn->fd, &ret->dst);
	if (err)
		return err;
	ret->src = *who->peer;
	ret->known = !had; /* UNKNOWN stays unknown */
	return 0;
}

int announce_write(const struct announce *who, const struct route *r, struct conn *up)
{
	uint8_t buf[PP2_MAX + HEADER_EXTRA];
	struct pp_extra extra = { .checksum = true };
	struct own own;
	struct hello hello;
	struct pp_info info;
	ssize_t n;
	int err;

	if (!r->send_proxy)
		return 0;
	err = header_info(who, r, &info);
	if (err)
		return err;
	if (r->send_proxy != CONFIG_SEND_V2_TLVS) {
		info.tlv_len = 0;
		n = pp_encode(buf, sizeof(buf), &info, NULL);
	} else {
		read_hello(who, &hello);
		own_tlvs(up->worker, who, &info, &own, &hello);
		extra.tlvs = own.tlvs;
		extra.n = own.n;
		n = pp_encode(buf, sizeof(buf), &info, &extra);
	}
	return n < 0 ? (int)n : conn_write_header(up, buf, (size_t)n, who->follows);
}
