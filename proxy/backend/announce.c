/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "backend/announce.h"
#include "codec/hello.h"
#include "net/worker.h"

#define HEADER_EXTRA 1024 /* our own TLVs: a name, a protocol, an id, a checksum */

/* Once more from its bytes, which are kept and what was found in them is not. */
static void read_hello(const struct announce *who, struct hello *ret)
{
	struct hello_scan scan = { 0 };

	if (!who->head_len ||
	    hello_scan(&scan, who->head, who->head_len, who->hello_bytes, ret) <= 0)
		memset(ret, 0, sizeof(*ret)); /* it is none, or malformed */
}

void announce_name(const struct announce *who, char ret[ANNOUNCE_NAME_MAX + 1])
{
	struct hello hello;

	read_hello(who, &hello);
	(void)snprintf(ret, ANNOUNCE_NAME_MAX + 1, "%s", hello.has_sni ? hello.sni : "");
}

/*
 * TLVs of our own, for what the header we had does not say.  An application protocol is
 * named if the client offers one only: which of several is taken we cannot know.
 */
static unsigned own_tlvs(struct worker *w, const struct hello *h,
			 const struct pp_info *info, char id[WORKER_ID_LEN + 1],
			 struct pp_tlv ret[3])
{
	unsigned n = 0;

	if (h->alpn_len && h->alpn[0] + 1 == h->alpn_len &&
	    !pp_has_tlv(info, PP_TYPE_ALPN))
		ret[n++] = (struct pp_tlv){ PP_TYPE_ALPN, h->alpn[0], h->alpn + 1 };
	if (h->has_sni && !pp_has_tlv(info, PP_TYPE_AUTHORITY))
		ret[n++] = (struct pp_tlv){ PP_TYPE_AUTHORITY, (uint16_t)strlen(h->sni),
					    (const uint8_t *)h->sni };
	if (!pp_has_tlv(info, PP_TYPE_UNIQUE_ID)) {
		worker_unique_id(w, id);
		ret[n++] = (struct pp_tlv){ PP_TYPE_UNIQUE_ID, WORKER_ID_LEN,
					    (const uint8_t *)id };
	}
	return n;
}

/* The real client, and where it connected to. */
static int header_info(const struct announce *who, const struct route *r,
		       struct pp_info *ret)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	bool had;

	*ret = who->header ? *who->header : (struct pp_info){ 0 };
	had = ret->version != PP_NONE;
	ret->version = r->send_proxy == CONFIG_SEND_V1 ? PP_V1 : PP_V2;
	if (ret->known || ret->local)
		return 0;
	if (getsockname(who->conn->fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	if (who->listener->path) /* nobody knows where from */
		return 0;
	ret->src = *who->peer;
	addr_from_sockaddr((struct sockaddr *)&ss, &ret->dst);
	ret->known = !had; /* UNKNOWN stays unknown */
	return 0;
}

int announce_write(const struct announce *who, const struct route *r, struct conn *up)
{
	uint8_t buf[PP2_MAX + HEADER_EXTRA];
	char id[WORKER_ID_LEN + 1];
	struct pp_extra extra = { .checksum = true };
	struct pp_tlv own[3];
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
		extra.tlvs = own;
		read_hello(who, &hello);
		extra.n = own_tlvs(up->worker, &hello, &info, id, own);
		n = pp_encode(buf, sizeof(buf), &info, &extra);
	}
	return n < 0 ? (int)n : conn_write_header(up, buf, (size_t)n, who->follows);
}
