/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of the books that count packets. */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/host.h"
#include "base/util.h"
#include "exporter/continuity.h"
#include "exporter/metrics_page.h"

static void wire_family(const struct page *p, const char *name, const char *help,
			size_t offset, bool xdp)
{
	const struct snapshot *s = p->s;
	char extra[64];

	page_family(p, name, true, help);
	for (size_t i = 0; i <= s->wire_n; i++) {
		struct row_key key = { .leg = TG_LEG_HOST };
		const struct wire_totals *t = &s->wire_overflow;
		const char *protocol = "overflow";

		if (i < s->wire_n) {
			key = s->wire[i].key;
			t = &s->wire[i].totals;
			protocol = protocol_name(key.proto);
		}
		for (int d = 0; d < (xdp ? 1 : TG_DIR_MAX); d++) {
			const struct wire_counts *c = &t->dir[xdp ? TG_XDP : d];
			uint64_t n = *(const uint64_t *)((const char *)c + offset);

			if (!page_is_shown(&key, n))
				continue;
			(void)snprintf(extra, sizeof(extra),
				       "direction=\"%s\",protocol=\"%s\"",
				       page_directions[d], protocol);
			page_row_sample(p, name, true, &key, extra);
			fprintf(p->out, "%" PRIu64 "\n", n);
		}
	}
}

/* What only the first look at a frame can tell: before the stack has an opinion. */
static void xdp_book(const struct page *p)
{
	const struct snapshot *s = p->s;

	if (!s->meta.xdp)
		return;
	wire_family(p, "xdp_packets", "Packets by XDP, in front of the stack.",
		    offsetof(struct wire_counts, packets), true);
	wire_family(p, "xdp_frame_bytes", "Bytes by XDP, in front of the stack.",
		    offsetof(struct wire_counts, frame_bytes), true);
	page_family(p, "xdp_frames", true, "Frames by XDP, by what was wrong with them.");
	for (int i = 0; i < TG_FAULT_MAX; i++) {
		if (s->xdp_reasons[i].packets || i == TG_FAULT_NONE)
			fprintf(p->out,
				"tollgate_xdp_frames_total{reason=\"%s\"} %" PRIu64 "\n",
				tg_fault_names[i], (uint64_t)s->xdp_reasons[i].packets);
	}
}

/* Every listener id once. */
static bool first_of_id(const struct snapshot *s, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (s->listeners[k].val.id == s->listeners[i].val.id)
			return false;
	}
	return true;
}

static void listener_value(const struct page *p, const char *name, const char *help,
			   size_t offset)
{
	const struct snapshot *s = p->s;

	page_family(p, name, true, help);
	for (size_t i = 0; i < s->listeners_n; i++) {
		unsigned id = s->listeners[i].val.id;

		if (!first_of_id(s, i) || id >= TG_LISTENERS_MAX)
			continue;
		fprintf(p->out, "tollgate_%s_total{listener=\"", name);
		page_put_value(p->out, snapshot_name(s, TG_NAME_LISTENER, id));
		fprintf(p->out, "\"} %" PRIu64 "\n",
			*(const uint64_t *)((const char *)&s->boundary[id] + offset));
	}
}

/* What a proxy never sees of its clients. */
static void handshakes(const struct page *p)
{
	uint64_t n;

	if (p->s->meta.wire) {
		listener_value(p, "listener_syns",
			       "SYNs received at a listener's address.",
			       offsetof(struct wire_boundary, syns));
		listener_value(p, "listener_syns_unanswered",
			       "Client 4-tuples that sent SYNs and were never answered.",
			       offsetof(struct wire_boundary, unanswered_syns));
	}
	if (host_netstat("ListenOverflows", &n) == 0)
		page_simple(p, "kernel_listen_overflows", true,
			    "Connections lost to full accept queues, whole namespace.",
			    n);
	if (host_netstat("ListenDrops", &n) == 0)
		page_simple(p, "kernel_listen_drops", true,
			    "SYNs dropped by listening sockets, whole namespace.", n);
}

static void wire_book(const struct page *p)
{
	wire_family(p, "wire_packets",
		    "Packets on the watched links, segments not aggregates.",
		    offsetof(struct wire_counts, packets), false);
	wire_family(p, "wire_l3_bytes",
		    "Bytes on the watched links from the IP header on, of every segment.",
		    offsetof(struct wire_counts, l3_bytes), false);
	wire_family(p, "wire_frame_bytes",
		    "Bytes on the watched links, the headers of every segment included.",
		    offsetof(struct wire_counts, frame_bytes), false);
	wire_family(p, "wire_payload_bytes",
		    "Payload bytes on the watched links, retransmissions included.",
		    offsetof(struct wire_counts, payload_bytes), false);
}

/* Of the table as it is now, and of those before it that this process has seen. */
static uint64_t nft_value(const struct nft_counter *c, bool bytes)
{
	char name[160];

	(void)snprintf(name, sizeof(name), "%c%s", bytes ? 'b' : 'p', c->name);
	return continuity(name, bytes ? c->bytes : c->packets);
}

static void nft_family(const struct page *p, const char *name, const char *help,
		       bool bytes)
{
	static const struct {
		const char *infix, *verdict;
	} kinds[] = { { "", "accepted" },
		      { "-reset", "reset" },
		      { "-refused", "refused" } };
	const struct snapshot *s = p->s;
	const struct nft_counter *c;
	char counter[160];

	page_family(p, name, true, help);
	for (size_t i = 0; i < s->listeners_n; i++) {
		const char *l =
			snapshot_name(s, TG_NAME_LISTENER, s->listeners[i].val.id);

		for (size_t k = 0; first_of_id(s, i) && k < ARRAY_SIZE(kinds) * 2; k++) {
			const char *dir = page_directions[k % 2],
				   *verdict = kinds[k / 2].verdict;

			(void)snprintf(counter, sizeof(counter), "%s%s-%s", l,
				       kinds[k / 2].infix, dir);
			c = nft_counter_find(s->nft, s->nft_n, counter);
			if (!c)
				continue;
			fprintf(p->out,
				"tollgate_%s_total{leg=\"downstream\",listener=\"", name);
			page_put_value(p->out, l);
			fprintf(p->out,
				"\",direction=\"%s\",verdict=\"%s\"} %" PRIu64 "\n", dir,
				verdict, nft_value(c, bytes));
		}
	}
	c = nft_counter_find(s->nft, s->nft_n, "refused-rx");
	if (c)
		fprintf(p->out,
			"tollgate_%s_total{leg=\"upstream\",direction=\"rx\","
			"verdict=\"refused\"} %" PRIu64 "\n",
			name, nft_value(c, bytes));
}

static void nft_book(const struct page *p)
{
	nft_family(p, "nft_packets",
		   "Packets by nftables, where an aggregate of segments counts once.",
		   false);
	nft_family(p, "nft_bytes",
		   "Bytes by nftables, from the IP header on, per aggregate.", true);
}

void metrics_packets(const struct page *p)
{
	wire_book(p);
	xdp_book(p);
	handshakes(p);
	nft_book(p);
}
