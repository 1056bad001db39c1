/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "show/event_json.h"
#include "show/flows.h"

static const char *reason_name(const struct record *r)
{
	return r->reason < TG_CLOSE_MAX	     ? tg_close_names[r->reason]
	       : r->reason == TG_RECORD_IDLE ? "idle"
					     : "ended";
}

static const char *side_name(const struct record *r)
{
	return r->reason < TG_CLOSE_MAX ? tg_close_sides[r->reason] : "none";
}

static void set(json_t *o, const char *key, uint64_t value)
{
	json_object_set_new(o, key, json_integer((json_int_t)value));
}

static void set_name(const struct book *book, json_t *o, const char *key,
		     enum tg_name_kind kind, uint16_t id)
{
	char name[TG_NAME_LEN];

	book_name(book, kind, id, name);
	json_object_set_new(o, key, json_string(name));
}

static void set_names(const struct book *book, json_t *o, uint16_t listener,
		      uint16_t route, uint16_t backend)
{
	set_name(book, o, "listener", TG_NAME_LISTENER, listener);
	set_name(book, o, "route", TG_NAME_ROUTE, route);
	set_name(book, o, "backend", TG_NAME_BACKEND, backend);
}

static void set_counts(json_t *o, const struct record *r)
{
	const struct tcp_counts *c = &r->counts;

	set(o, "rx_payload_bytes", c->rx_payload_bytes);
	set(o, "tx_payload_bytes", c->tx_payload_bytes);
	set(o, "tx_acked_bytes", c->tx_acked_bytes);
	set(o, "tx_retransmitted_bytes", c->tx_retransmitted_bytes);
	set(o, "rx_segments", c->rx_segments);
	set(o, "tx_segments", c->tx_segments);
	if (r->adopted) {
		set(o, "before_load_rx_payload_bytes", r->baseline.rx_payload_bytes);
		set(o, "before_load_tx_payload_bytes", r->baseline.tx_payload_bytes);
	}
	if (r->has_wire) {
		set(o, "rx_packets", r->wire[TG_RX].packets);
		set(o, "tx_packets", r->wire[TG_TX].packets);
		set(o, "rx_l3_bytes", r->wire[TG_RX].l3_bytes);
		set(o, "tx_l3_bytes", r->wire[TG_TX].l3_bytes);
		set(o, "rx_frame_bytes", r->wire[TG_RX].frame_bytes);
		set(o, "tx_frame_bytes", r->wire[TG_TX].frame_bytes);
	}
}

/* Seconds since the epoch of a moment of CLOCK_MONOTONIC. */
static double wall_time(uint64_t ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9 -
	       ((double)util_now_ns() - (double)ns) / 1e9;
}

json_t *event_json_record(const struct book *book, const struct record *r)
{
	char local[ADDR_STR_MAX], remote[ADDR_STR_MAX];
	json_t *o;

	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:b}",
		      "book", r->key.proto == IPPROTO_TCP ? "tcp" : "wire", "protocol",
		      protocol_name(r->key.proto), "local",
		      flow_end_format(r->key.local, r->key.local_port, local), "remote",
		      flow_end_format(r->key.remote, r->key.remote_port, remote), "role",
		      r->role == TG_ROLE_ACCEPTED ? "accepted" : "connected", "leg",
		      tg_leg_names[r->row.leg < TG_LEG_MAX ? r->row.leg : 0], "reason",
		      reason_name(r), "side", side_name(r), "opened",
		      wall_time(r->opened_ns), "closed", wall_time(r->closed_ns),
		      "duration_seconds", (double)(r->closed_ns - r->opened_ns) / 1e9,
		      "adopted", r->adopted != 0);
	if (!o)
		return NULL;
	if (r->row.leg == TG_LEG_HOST) {
		set_names(book, o, 0, 0, 0);
		set_name(book, o, "cgroup", TG_NAME_CGROUP, r->row.backend);
	} else {
		set_names(book, o, r->row.listener, r->row.route, r->row.backend);
	}
	set_counts(o, r);
	set(o, "srtt_us", r->srtt_us);
	set(o, "min_rtt_us", r->min_rtt_us);
	set(o, "handshake_us", r->handshake_us);
	set(o, "generation", r->generation);
	set(o, "netns_cookie", r->key.netns_cookie);
	return o;
}

/* --- of the proxy --- */

/* Outside bytes: what is not printable ASCII becomes '?'. */
static json_t *outside_string(const void *bytes, size_t len)
{
	char text[TG_SERVER_NAME_LEN];

	if (len > sizeof(text))
		len = sizeof(text);
	memcpy(text, bytes, len);
	for (size_t i = 0; i < len; i++) {
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?';
	}
	return json_stringn(text, len);
}

static json_t *alpn_json(const struct proxy_event *e)
{
	size_t len = e->alpn_len < sizeof(e->alpn) ? e->alpn_len : sizeof(e->alpn);
	json_t *list = json_array();

	for (size_t at = 0; at < len && at + 1u + e->alpn[at] <= len;
	     at += 1u + e->alpn[at])
		json_array_append_new(list,
				      outside_string(e->alpn + at + 1, e->alpn[at]));
	return list;
}

/* undelivered: read from this one, never written to the other. */
static json_t *socket_json(const struct flow_key *key, const __u64 bytes[TG_DIR_MAX],
			   __u64 undelivered)
{
	char local[ADDR_STR_MAX], remote[ADDR_STR_MAX];
	json_t *o;

	if (!key->remote_port)
		return json_null();
	o = json_pack("{s:s, s:s}", "local",
		      flow_end_format(key->local, key->local_port, local), "remote",
		      flow_end_format(key->remote, key->remote_port, remote));
	set(o, "rx_payload_bytes", bytes[TG_RX]);
	set(o, "tx_payload_bytes", bytes[TG_TX]);
	set(o, "undelivered_bytes", undelivered);
	return o;
}

/* "1.3" of 0x0304. */
static void set_version(json_t *o, const char *key, unsigned wire)
{
	char version[8];

	if (!wire)
		return;
	(void)snprintf(version, sizeof(version), "1.%u", (wire & 0xffu) - 1u);
	json_object_set_new(o, key, json_string(version));
}

struct numbered {
	uint16_t number;
	const char *name;
};

/* As of IANA's tables: what we agree on unless we are told otherwise. */
static const struct numbered suites[] = {
	{ 0x1301, "TLS_AES_128_GCM_SHA256" },
	{ 0x1302, "TLS_AES_256_GCM_SHA384" },
	{ 0x1303, "TLS_CHACHA20_POLY1305_SHA256" },
	{ 0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" },
	{ 0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" },
	{ 0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" },
	{ 0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" },
	{ 0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" },
	{ 0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" },
};

static const struct numbered groups[] = {
#define X(name, number, label) { number, label },
	TG_TLS_GROUPS(X)
#undef X
};

/* Its name, or "0x..." of one that has none here. */
static json_t *number_json(const struct numbered *all, size_t n, uint16_t number)
{
	char hex[8];

	for (size_t i = 0; i < n; i++) {
		if (all[i].number == number)
			return json_string(all[i].name);
	}
	(void)snprintf(hex, sizeof(hex), "0x%04x", number);
	return json_string(hex);
}

/* A certificate that somebody vouches for may still be called anything. */
static json_t *subject_json(const struct proxy_event *e)
{
	size_t len = strnlen(e->tls_client, sizeof(e->tls_client));
	json_t *text = json_stringn(e->tls_client, len);

	return text ? text : outside_string(e->tls_client, len);
}

/* Of TLS that ended here. */
static void set_tls_used(json_t *o, const struct proxy_event *e)
{
	if (!e->tls_used)
		return;
	set_version(o, "tls_used", e->tls_used);
	json_object_set_new(o, "tls_resumed", json_boolean(e->tls_resumed));
	json_object_set_new(o, "tls_cipher",
			    number_json(suites, ARRAY_SIZE(suites), e->tls_suite));
	if (e->tls_group)
		json_object_set_new(
			o, "tls_group",
			number_json(groups, ARRAY_SIZE(groups), e->tls_group));
	if (e->tls_alpn[0])
		json_object_set_new(
			o, "tls_alpn",
			outside_string(e->tls_alpn,
				       strnlen(e->tls_alpn, sizeof(e->tls_alpn))));
	if (e->tls_client[0])
		json_object_set_new(o, "tls_client", subject_json(e));
	set_version(o, "backend_tls_used", e->backend_tls_used);
}

static void set_hello(json_t *o, const struct proxy_event *e)
{
	char version[16];

	if (!e->tls_version)
		return;
	(void)snprintf(version, sizeof(version), "%u.%u",
		       e->tls_version > 0x300 ? 1u : 3u,
		       e->tls_version > 0x300 ? (e->tls_version & 0xffu) - 1u : 0u);
	json_object_set_new(o, "tls_version", json_string(version));
	set_tls_used(o, e);
	if (e->server_name[0])
		json_object_set_new(
			o, "server_name",
			outside_string(e->server_name,
				       strnlen(e->server_name, sizeof(e->server_name))));
	json_object_set_new(o, "server_name_outer", json_boolean(e->ech_outer));
	json_object_set_new(o, "alpn", alpn_json(e));
	if (e->ja4[0])
		json_object_set_new(
			o, "ja4",
			outside_string(e->ja4, strnlen(e->ja4, sizeof(e->ja4))));
}

json_t *event_json_proxy(const struct book *book, const struct proxy_event *e)
{
	char client[ADDR_STR_MAX];
	json_t *o;

	o = json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f}", "book", "proxy", "client",
		      flow_end_format(e->client, e->client_port, client), "reason",
		      e->reason < TG_END_MAX ? tg_end_names[e->reason] : "?", "side",
		      e->side < TG_SIDE_MAX ? tg_side_names[e->side] : "?", "opened",
		      wall_time(e->opened_ns), "closed", wall_time(e->closed_ns),
		      "duration_seconds", (double)(e->closed_ns - e->opened_ns) / 1e9);
	if (!o)
		return NULL;
	set_names(book, o, e->listener, e->route, e->backend);
	set_hello(o, e);
	json_object_set_new(o, "downstream",
			    socket_json(&e->down, e->down_payload_bytes,
					e->undelivered_bytes[TG_RX]));
	json_object_set_new(
		o, "upstream",
		socket_json(&e->up, e->up_payload_bytes, e->undelivered_bytes[TG_TX]));
	set(o, "retries", e->retries);
	set(o, "netns_cookie", e->down.netns_cookie);
	return o;
}
