/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of live connections, for people and as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/addr.h"
#include "base/util.h"
#include "show/flows.h"

const char flows_sorts[] = "opened, rx, tx, rtt, state";

static uint64_t key_opened(const struct live_flow *f)
{
	return f->flow.opened_ns;
}

static uint64_t key_rx(const struct live_flow *f)
{
	return UINT64_MAX - f->flow.counts.rx_payload_bytes;
}

static uint64_t key_tx(const struct live_flow *f)
{
	return UINT64_MAX - f->flow.counts.tx_payload_bytes;
}

static uint64_t key_rtt(const struct live_flow *f)
{
	return UINT64_MAX - f->flow.srtt_us;
}

static uint64_t key_state(const struct live_flow *f)
{
	return f->flow.state;
}

static const struct {
	const char *name;
	uint64_t (*key)(const struct live_flow *f);
} sorts[] = {
	{ "opened", key_opened }, { "rx", key_rx },	  { "tx", key_tx },
	{ "rtt", key_rtt },	  { "state", key_state },
};

static uint64_t (*sort_key(const struct flows_opts *opts))(const struct live_flow *)
{
	for (size_t i = 0; i < ARRAY_SIZE(sorts); i++) {
		if (strcmp(sorts[i].name, opts->sort ? opts->sort : "opened") == 0)
			return sorts[i].key;
	}
	return NULL;
}

static bool is_state(const char *name)
{
	for (unsigned i = 0; i < 32; i++) {
		if (strcasecmp(name, tcp_state_name(i)) == 0)
			return strcmp(name, "?") != 0;
	}
	return false;
}

/* By name or by number (RFC 5237). */
static bool is_of_protocol(const char *name, unsigned proto)
{
	uint64_t number;

	return strcasecmp(name, protocol_name(proto)) == 0 ||
	       (util_parse_u64(name, UINT8_MAX, &number) == 0 && number == proto);
}

static bool is_protocol(const char *name)
{
	if (strcasecmp(name, "all") == 0)
		return true;
	for (unsigned i = 0; i < 256; i++) {
		if (is_of_protocol(name, i))
			return true;
	}
	return false;
}

enum flows_bad flows_check(const struct flows_opts *opts)
{
	if (!sort_key(opts))
		return FLOWS_BAD_SORT;
	if (opts->state && !is_state(opts->state))
		return FLOWS_BAD_STATE;
	return opts->protocol && !is_protocol(opts->protocol) ? FLOWS_BAD_PROTOCOL
							      : FLOWS_FINE;
}

static bool is_end(const struct flows_opts *o, const uint8_t ip[16], __be16 port)
{
	return (!o->by_ip || memcmp(o->ip, ip, 16) == 0) && (!o->port || o->port == port);
}

static bool wanted(const struct snapshot *s, const struct live_flow *f,
		   const struct flows_opts *o)
{
	const char *protocol = o->protocol ? o->protocol : "tcp";
	const struct row_key *k = &f->flow.row;

	/* a TCP 4-tuple that no socket owns is no connection */
	if (strcasecmp(protocol, "all") != 0 &&
	    (!is_of_protocol(protocol, f->key.proto) ||
	     (f->key.proto == 6 && f->flow.state == 0)))
		return false;

	if ((o->by_ip || o->port) && !is_end(o, f->key.local, f->key.local_port) &&
	    !is_end(o, f->key.remote, f->key.remote_port))
		return false;
	if (o->listener &&
	    strcmp(o->listener, snapshot_name(s, TG_NAME_LISTENER, k->listener)))
		return false;
	if (o->route && strcmp(o->route, snapshot_name(s, TG_NAME_ROUTE, k->route)))
		return false;
	return !o->state || strcasecmp(o->state, tcp_state_name(f->flow.state)) == 0;
}

static int compare(const void *a, const void *b, void *arg)
{
	uint64_t (*key)(const struct live_flow *) =
		*(uint64_t(**)(const struct live_flow *))arg;
	uint64_t x = key(*(const struct live_flow *const *)a);
	uint64_t y = key(*(const struct live_flow *const *)b);

	return x < y ? -1 : x > y;
}

const struct live_flow **flows_select(const struct snapshot *s,
				      const struct flows_opts *o, size_t *ret_n,
				      bool *ret_more)
{
	const struct live_flow **list = calloc(s->flows_n + 1, sizeof(*list));
	uint64_t (*key)(const struct live_flow *) = sort_key(o);
	size_t n = 0;

	if (!list)
		return NULL;
	for (size_t i = 0; i < s->flows_n; i++) {
		if (wanted(s, &s->flows[i], o))
			list[n++] = &s->flows[i];
	}
	qsort_r(list, n, sizeof(*list), compare, (void *)&key);
	if (o->offset) {
		size_t skip = o->offset < n ? o->offset : n;

		n -= skip;
		memmove(list, list + skip, n * sizeof(*list));
	}
	*ret_more = o->limit && o->limit < n;
	*ret_n = *ret_more ? o->limit : n;
	return list;
}

char *flow_end_format(const uint8_t ip[16], __be16 port, char buf[ADDR_STR_MAX])
{
	struct addr a = { .port = port };

	memcpy(a.ip, ip, 16);
	return addr_format(&a, buf);
}

static const char *role_name(unsigned role)
{
	return role == TG_ROLE_ACCEPTED ? "accepted" : "connected";
}

static double age_seconds(const struct snapshot *s, const struct live_flow *f)
{
	return (double)(s->taken_ns - f->flow.opened_ns) / 1e9;
}

json_t *flow_json(const struct snapshot *s, const struct live_flow *f)
{
	struct timespec ts;
	double wall;
	char local[ADDR_STR_MAX], remote[ADDR_STR_MAX];
	const struct row_key *k = &f->flow.row;
	const struct tcp_counts *c = &f->flow.counts;
	json_t *o;

	clock_gettime(CLOCK_REALTIME, &ts);
	wall = (double)ts.tv_sec + (double)ts.tv_nsec / 1e9 -
	       (double)(util_now_ns() - s->taken_ns) / 1e9;
	o = json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:I, s:I, s:f, s:f, s:I, s:s, s:I, s:I, s:I, s:b}",
		"local", flow_end_format(f->key.local, f->key.local_port, local),
		"remote", flow_end_format(f->key.remote, f->key.remote_port, remote),
		"role", role_name(f->flow.role), "leg",
		tg_leg_names[k->leg < TG_LEG_MAX ? k->leg : 0], "listener",
		snapshot_name(s, TG_NAME_LISTENER, k->listener), "route",
		snapshot_name(s, TG_NAME_ROUTE, k->route), "backend",
		k->leg == TG_LEG_HOST ? ""
				      : snapshot_name(s, TG_NAME_BACKEND, k->backend),
		"cgroup",
		k->leg == TG_LEG_HOST ? snapshot_name(s, TG_NAME_CGROUP, k->backend) : "",
		"state", tcp_state_name(f->flow.state), "rx_payload_bytes",
		(json_int_t)c->rx_payload_bytes, "tx_payload_bytes",
		(json_int_t)c->tx_payload_bytes, "tx_retransmitted_bytes",
		(json_int_t)c->tx_retransmitted_bytes, "rx_segments",
		(json_int_t)c->rx_segments, "tx_segments", (json_int_t)c->tx_segments,
		"rx_queue_bytes", (json_int_t)f->flow.rx_queue_bytes, "tx_queue_bytes",
		(json_int_t)f->flow.tx_queue_bytes, "srtt_us",
		(json_int_t)f->flow.srtt_us, "opened", wall - age_seconds(s, f),
		"age_seconds", age_seconds(s, f), "netns_cookie",
		(json_int_t)f->key.netns_cookie, "protocol", protocol_name(f->key.proto),
		"tx_acked_bytes", (json_int_t)c->tx_acked_bytes, "min_rtt_us",
		(json_int_t)f->flow.min_rtt_us, "handshake_us",
		(json_int_t)f->flow.handshake_us, "adopted", f->flow.adopted != 0);
	if (o && f->has_wire) {
		json_object_set_new(o, "rx_frame_bytes",
				    json_integer((json_int_t)f->wire[TG_RX].frame_bytes));
		json_object_set_new(o, "tx_frame_bytes",
				    json_integer((json_int_t)f->wire[TG_TX].frame_bytes));
	}
	return o;
}

json_t *flows_json(const struct snapshot *s, const struct flows_opts *opts)
{
	const struct live_flow **list;
	json_t *array = json_array();
	bool more;
	size_t n;

	list = flows_select(s, opts, &n, &more);
	if (!list || !array) {
		free(list);
		json_decref(array);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, flow_json(s, list[i]));
	free(list);
	return array;
}

static char *age_format(double seconds, char *buf, size_t cap)
{
	unsigned long t = seconds < 0 ? 0 : (unsigned long)seconds;

	if (t < 60)
		(void)snprintf(buf, cap, "%.1fs", seconds < 0 ? 0 : seconds);
	else if (t < 3600)
		(void)snprintf(buf, cap, "%lum%02lus", t / 60, t % 60);
	else
		(void)snprintf(buf, cap, "%luh%02lum", t / 3600, t % 3600 / 60);
	return buf;
}

size_t flows_print(FILE *out, struct snapshot *s, const struct flows_opts *opts)
{
	char local[ADDR_STR_MAX], remote[ADDR_STR_MAX], age[32];
	char rx[UTIL_BYTES_STR_MAX], tx[UTIL_BYTES_STR_MAX], owner[160];
	const struct live_flow **list;
	bool more;
	size_t n;

	list = flows_select(s, opts, &n, &more);
	if (!list)
		return 0;
	fprintf(out, "%-24s %-24s %-11s %-28s %10s %10s %8s %8s\n", "LOCAL", "REMOTE",
		"STATE", "OWNER", "RX", "TX", "RTT", "AGE");
	for (size_t i = 0; i < n; i++) {
		const struct live_flow *f = list[i];
		const struct row_key *k = &f->flow.row;

		if (k->leg == TG_LEG_HOST)
			(void)snprintf(owner, sizeof(owner), "host %s%s",
				       role_name(f->flow.role),
				       f->flow.adopted ? " (adopted)" : "");
		else if (k->leg == TG_LEG_FORWARDED)
			(void)snprintf(owner, sizeof(owner), "forwarded");
		else
			(void)snprintf(owner, sizeof(owner), "%s/%s %s",
				       snapshot_name(s, TG_NAME_LISTENER, k->listener),
				       k->route
					       ? snapshot_name(s, TG_NAME_ROUTE, k->route)
					       : "?",
				       tg_leg_names[k->leg]);
		fprintf(out, "%-24s %-24s %-11s %-28s %10s %10s %6.2fms %8s\n",
			flow_end_format(f->key.local, f->key.local_port, local),
			flow_end_format(f->key.remote, f->key.remote_port, remote),
			f->flow.state ? tcp_state_name(f->flow.state)
				      : protocol_name(f->key.proto),
			owner, util_format_bytes(f->flow.counts.rx_payload_bytes, rx),
			util_format_bytes(f->flow.counts.tx_payload_bytes, tx),
			(double)f->flow.srtt_us / 1000,
			age_format(age_seconds(s, f), age, sizeof(age)));
	}
	free(list);
	return n;
}
