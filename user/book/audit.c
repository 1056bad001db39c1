/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The comparisons; of what is above TCP: audit_app.c.  proxy = tcp and tcp = wire are
 * made by the kernel programs for every single connection when it closes, and summed;
 * here they are read, and the sums compared once more from the outside.  A pair of books
 * that cannot be read at one moment is read as older <= other <= newer.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "book/audit_own.h"
#include "book/pin.h"

#define RETRY_MS 20

const char *const audit_names[AUDIT_MAX] = {
#define X(name, label) [AUDIT_##name] = label,
	AUDIT_CHECKS(X)
#undef X
};

const char *const audit_verdicts[AUDIT_VERDICT_MAX] = { "agrees", "differs",
							"incomplete" };

uint64_t audit_distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* How far x lies outside [low, high]. */
static uint64_t outside(int64_t x, int64_t low, int64_t high)
{
	if (x < low)
		return (uint64_t)(low - x);
	return x > high ? (uint64_t)(x - high) : 0;
}

struct audit_line *audit_line_add(struct audit *a, enum audit_check check,
				  const char *fmt, ...)
{
	struct audit_line *line;
	va_list ap;

	if (a->lines_n == AUDIT_LINES_MAX)
		return NULL; /* the residuals still count; only the list is cut */
	line = &a->lines[a->lines_n++];
	memset(line, 0, sizeof(*line));
	line->check = check;
	va_start(ap, fmt);
	(void)vsnprintf(line->what, sizeof(line->what), fmt, ap);
	va_end(ap);
	return line;
}

void audit_column(struct audit_line *line, const char *name, uint64_t value)
{
	if (!line || line->columns_n == AUDIT_COLUMNS_MAX)
		return;
	line->columns[line->columns_n].name = name;
	line->columns[line->columns_n++].value = value;
}

void audit_residual(struct audit *a, enum audit_check check, struct audit_line *line,
		    uint64_t bytes)
{
	a->residual[check] += bytes;
	a->compared[check] = true;
	if (line)
		line->residual = bytes;
}

void audit_row_what(const struct snapshot *s, const struct row_key *k, char *buf,
		    size_t cap)
{
	if (k->leg == TG_LEG_HOST)
		(void)snprintf(buf, cap, "host %s port %u%s%s",
			       k->role == TG_ROLE_ACCEPTED ? "accepted on"
							   : "connected to",
			       k->port, k->backend ? " of " : "",
			       snapshot_name(s, TG_NAME_CGROUP, k->backend));
	else
		(void)snprintf(buf, cap, "listener %s route %s backend %s %s",
			       snapshot_name(s, TG_NAME_LISTENER, k->listener),
			       k->route ? snapshot_name(s, TG_NAME_ROUTE, k->route) : "-",
			       k->backend ? snapshot_name(s, TG_NAME_BACKEND, k->backend)
					  : "-",
			       tg_leg_names[k->leg]);
}

/* What sockets brought that the tcp book knows only the listener of, so far. */
static uint64_t unrouted_rx(const struct snapshot *s, const struct row_key *k)
{
	const struct row_key key = { .listener = k->listener,
				     .leg = k->leg,
				     .proto = k->proto };

	for (size_t i = 0; k->route && i < s->tcp_n; i++) {
		const struct tcp_totals *t = &s->tcp[i].totals;

		if (memcmp(&s->tcp[i].key, &key, sizeof(key)) == 0)
			return t->counts.rx_payload_bytes + t->late_rx_bytes;
	}
	return 0;
}

/* How far n is outside of [most - less, most]. */
static uint64_t beyond(uint64_t n, uint64_t most, uint64_t less)
{
	if (n > most)
		return n - most;
	return most - n > less ? most - n - less : 0;
}

/*
 * A row and its slot from the outside, whatever the kernel programs saw of its sockets.
 * When all is quiet both hold the same bytes.  While connections live the proxy, which is
 * read first, cannot have read more than its sockets received by then: if it has, the tcp
 * book has lost sockets.  Rows of killed proxies have bytes that nobody claims.
 */
static uint64_t sums_differ(const struct snapshot *s, const struct tcp_totals *t,
			    const struct proxy_slot *p)
{
	uint64_t tcp_rx = t->counts.rx_payload_bytes + t->late_rx_bytes;
	uint64_t tcp_tx = t->counts.tx_payload_bytes + t->late_tx_bytes;
	uint64_t rx, tx;

	if (!p)
		return 0;
	rx = p->rx_payload_bytes + p->rx_header_bytes;
	tx = p->tx_payload_bytes + p->tx_header_bytes;
	/* of those that were left nobody knows the end: a gap says so (gaps.c) */
	if (!tcp_live(t) && !t->left && p->opened == p->closed)
		return beyond(rx, tcp_rx - t->unread_bytes, t->unclaimed_rx_bytes) +
		       (t->unclaimed ? 0 : audit_distance(tcp_tx + t->unsent_bytes, tx));
	tcp_rx += unrouted_rx(s, &p->row);
	return rx > tcp_rx ? rx - tcp_rx : 0;
}

static bool has_row(const struct snapshot *s, const struct row_key *k)
{
	for (size_t i = 0; i < s->tcp_n; i++) {
		if (memcmp(&s->tcp[i].key, k, sizeof(*k)) == 0)
			return true;
	}
	return false;
}

/* Bytes of the proxy in a row of which the tcp book has never heard. */
static void check_unheard(const struct snapshot *s, struct audit *a)
{
	if (s->faults[TG_FAULT_TCP_ROWS_FULL])
		return; /* they may be in the overflow; the gap is told */
	for (size_t i = 0; i < s->slots_n; i++) {
		const struct proxy_slot *p = &s->slots[i];
		uint64_t bytes = p->rx_payload_bytes + p->rx_header_bytes +
				 p->tx_payload_bytes + p->tx_header_bytes;
		struct audit_line *line;
		char what[160];

		/* without a protocol: of Unix sockets, which the tcp book has not */
		if (!bytes || p->row.leg == TG_LEG_HOST || !p->row.proto ||
		    has_row(s, &p->row))
			continue;
		audit_row_what(s, &p->row, what, sizeof(what));
		line = audit_line_add(a, AUDIT_PROXY_TCP, "%s", what);
		audit_column(line, "proxy_rx", p->rx_payload_bytes + p->rx_header_bytes);
		audit_column(line, "proxy_tx", p->tx_payload_bytes + p->tx_header_bytes);
		audit_residual(a, AUDIT_PROXY_TCP, line, bytes);
	}
}

static void check_proxy_tcp(const struct snapshot *s, struct audit *a)
{
	for (size_t i = 0; i < s->tcp_n; i++) {
		const struct tcp_totals *t = &s->tcp[i].totals;
		const struct proxy_slot *p = slot_find(s, &s->tcp[i].key);
		struct audit_line *line;
		char what[160];

		if (s->tcp[i].key.leg == TG_LEG_HOST)
			continue;
		audit_row_what(s, &s->tcp[i].key, what, sizeof(what));
		line = audit_line_add(a, AUDIT_PROXY_TCP, "%s", what);
		audit_column(line, "proxy_rx",
			     p ? p->rx_payload_bytes + p->rx_header_bytes : 0);
		audit_column(line, "tcp_rx", t->counts.rx_payload_bytes);
		audit_column(line, "proxy_tx",
			     p ? p->tx_payload_bytes + p->tx_header_bytes : 0);
		audit_column(line, "tcp_tx", t->counts.tx_payload_bytes);
		audit_column(line, "proxy_header",
			     p ? p->rx_header_bytes + p->tx_header_bytes : 0);
		audit_column(line, "late_rx", t->late_rx_bytes);
		audit_column(line, "late_tx", t->late_tx_bytes);
		audit_column(line, "unread", t->unread_bytes);
		audit_column(line, "unsent", t->unsent_bytes);
		audit_column(line, "unclaimed_rx", t->unclaimed_rx_bytes);
		audit_column(line, "unclaimed_tx", t->unclaimed_tx_bytes);
		audit_column(line, "connections_compared", t->claimed);
		audit_residual(a, AUDIT_PROXY_TCP, line,
			       t->proxy_rx_residual_bytes + t->proxy_tx_residual_bytes +
				       sums_differ(s, t, p));
	}
	check_unheard(s, a);
	a->residual[AUDIT_PROXY_TCP] += s->tcp_overflow.proxy_rx_residual_bytes +
					s->tcp_overflow.proxy_tx_residual_bytes;
}

static void check_tcp_wire(const struct snapshot *s, struct audit *a)
{
	if (!s->meta.wire)
		return;
	for (size_t i = 0; i <= s->tcp_n; i++) { /* the last: what found no row */
		const struct tcp_totals *t =
			i < s->tcp_n ? &s->tcp[i].totals : &s->tcp_overflow;
		struct audit_line *line;
		char what[160] = "overflow";

		if (!t->wire_matched)
			continue;
		if (i < s->tcp_n)
			audit_row_what(s, &s->tcp[i].key, what, sizeof(what));
		line = audit_line_add(a, AUDIT_TCP_WIRE, "%s", what);
		audit_column(line, "connections_compared", t->wire_matched);
		audit_column(line, "connections_not_on_watched_devices",
			     t->wire_unmatched);
		audit_column(line, "retransmitted", t->counts.tx_retransmitted_bytes);
		audit_column(line, "arrived_twice", t->wire_rx_duplicate_bytes);
		audit_column(line, "arrived_not_accepted", t->wire_rx_unaccepted_bytes);
		audit_column(line, "arrived_outside_window", t->wire_rx_outside_bytes);
		audit_column(line, "arrived_in_lost_fragments", t->wire_rx_parts_bytes);
		audit_column(line, "sent_not_at_device", t->wire_tx_unseen_bytes);
		audit_column(line, "residual_rx", t->wire_rx_residual_bytes);
		audit_column(line, "residual_tx", t->wire_tx_residual_bytes);
		audit_residual(a, AUDIT_TCP_WIRE, line,
			       t->wire_rx_residual_bytes + t->wire_tx_residual_bytes);
	}
}

static void check_boundary(const struct snapshot *s, struct audit *a,
			   const struct listener_row *l, int tx)
{
	const char *name = snapshot_name(s, TG_NAME_LISTENER, l->val.id);
	const struct wire_boundary *b = &s->boundary[l->val.id];
	struct nft_counter before, after;
	int64_t bytes = (int64_t)b->dir[tx].skb_bytes + l->val.before[tx].skb_bytes;
	int64_t skbs = (int64_t)b->dir[tx].skbs + l->val.before[tx].skbs;
	struct audit_line *line;
	uint64_t off;

	line = audit_line_add(a, AUDIT_WIRE_NFT, "listener %s %s", name,
			      tx ? "tx" : "rx");
	if (nft_listener_sum(s->nft_before, s->nft_before_n, name, tx, &before) < 0 ||
	    nft_listener_sum(s->nft, s->nft_n, name, tx, &after) < 0) {
		/* its counters were taken away under us, but not the table */
		audit_residual(a, AUDIT_WIRE_NFT, line, b->dir[tx].skb_bytes);
		return;
	}
	off = outside(bytes, (int64_t)before.bytes, (int64_t)after.bytes);
	if (!off) /* equal bytes in unequal packets is wrong too */
		off = outside(skbs, (int64_t)before.packets, (int64_t)after.packets);
	audit_column(line, "nft", after.bytes);
	audit_column(line, "wire", b->dir[tx].skb_bytes);
	audit_column(line, "nft_aggregates", after.packets);
	audit_column(line, "wire_aggregates", b->dir[tx].skbs);
	audit_column(line, "segments", b->dir[tx].counts.packets);
	audit_column(line, "l3", b->dir[tx].counts.l3_bytes);
	audit_column(line, "frame", b->dir[tx].counts.frame_bytes);
	if (!tx && s->meta.xdp) {
		uint64_t first = b->dir[TG_XDP].counts.packets;

		audit_column(line, "xdp_segments", first);
		audit_column(line, "lost_before_socket",
			     outside((int64_t)first, 0,
				     (int64_t)b->dir[TG_RX].counts.packets));
	}
	audit_residual(a, AUDIT_WIRE_NFT, line, off);
}

static void check_wire_nft(const struct snapshot *s, struct audit *a)
{
	a->nft_err = s->nft_err;
	/* without the table there is nothing to compare, and a gap that says so */
	if (!s->meta.wire || !s->meta.nft || s->nft_err || !s->nft_n || !s->nft_before_n)
		return;
	for (size_t i = 0; i < s->listeners_n; i++) {
		const struct listener_row *l = &s->listeners[i];
		bool seen = false;

		for (size_t k = 0; k < i;
		     k++) /* one listener may have had two addresses */
			seen |= s->listeners[k].val.id == l->val.id;
		if (seen || l->val.id >= TG_LISTENERS_MAX)
			continue;
		check_boundary(s, a, l, TG_RX);
		check_boundary(s, a, l, TG_TX);
	}
}

static void check_totals(const struct snapshot *s, struct audit *a)
{
	struct tcp_totals sum = s->tcp_overflow;
	const struct tcp_totals *low = &s->tcp_all_before, *high = &s->tcp_all;
	const uint64_t *from = (const void *)&low->counts,
		       *to = (const void *)&high->counts;
	const uint64_t *got = (const void *)&sum.counts;
	struct audit_line *line;
	uint64_t off;

	for (size_t i = 0; i < s->tcp_n; i++) {
		const uint64_t *in = (const void *)&s->tcp[i].totals;
		uint64_t *out = (void *)&sum;

		for (size_t k = 0; k < sizeof(sum) / 8; k++)
			out[k] += in[k];
	}
	off = outside((int64_t)(sum.opened + sum.adopted),
		      (int64_t)(low->opened + low->adopted),
		      (int64_t)(high->opened + high->adopted)) +
	      outside((int64_t)tcp_closed(&sum), (int64_t)tcp_closed(low),
		      (int64_t)tcp_closed(high));
	for (size_t k = 0; k < sizeof(sum.counts) / 8; k++)
		off += outside((int64_t)got[k], (int64_t)from[k], (int64_t)to[k]);
	line = audit_line_add(a, AUDIT_TOTALS_SOCKETS, "all rows and the overflow");
	audit_column(line, "sockets_opened", high->opened);
	audit_column(line, "sockets_adopted", high->adopted);
	audit_column(line, "sockets_closed", tcp_closed(high));
	audit_column(line, "rx", high->counts.rx_payload_bytes);
	audit_column(line, "tx", high->counts.tx_payload_bytes);
	audit_column(line, "before_load_rx", high->baseline.rx_payload_bytes);
	audit_column(line, "before_load_tx", high->baseline.tx_payload_bytes);
	audit_column(line, "overflow_rx", s->tcp_overflow.counts.rx_payload_bytes);
	audit_column(line, "overflow_tx", s->tcp_overflow.counts.tx_payload_bytes);
	audit_residual(a, AUDIT_TOTALS_SOCKETS, line, off);
}

/*
 * The books form a chain: proxy = tcp = wire = nft.  Each check is a link of it, so the
 * broken links say who stands alone; where they do not, we say that too.
 */
static const char *odd_book(const struct audit *a)
{
	bool proxy_tcp = a->residual[AUDIT_PROXY_TCP] > 0;
	bool tcp_wire = a->residual[AUDIT_TCP_WIRE] > 0;
	bool wire_nft = a->residual[AUDIT_WIRE_NFT] > 0;

	if (proxy_tcp && tcp_wire)
		return "tcp: proxy and wire both contradict it";
	if (tcp_wire && wire_nft)
		return "wire: tcp and nft both contradict it";
	if (proxy_tcp)
		return "proxy: tcp agrees with the packets";
	if (wire_nft)
		return "nft: wire agrees with the sockets";
	if (tcp_wire)
		return a->compared[AUDIT_WIRE_NFT] ? "tcp or wire: nft sides with wire"
						   : "tcp or wire: no third book to ask";
	if (a->residual[AUDIT_TOTALS_SOCKETS] > 0)
		return "totals: the rows do not add up to the sockets";
	if (a->residual[AUDIT_PAYLOAD_APP] > 0)
		return "proxy: records of TLS do not add up to its sockets' bytes";
	if (a->residual[AUDIT_APP_HTTP] > 0)
		return "proxy: messages of HTTP do not add up to their connections' bytes";
	return NULL;
}

static void list_odd(const struct snapshot *s, struct audit *a)
{
	a->odd_total = s->odd_total;
	for (size_t i = 0; i < s->odd_n; i++) {
		struct audit_odd *o = &a->odd[a->odd_n++];

		o->odd = s->odd[i];
		o->age_seconds = (double)(s->taken_ns - o->odd.at_ns) / 1e9;
		audit_row_what(s, &o->odd.row, o->what, sizeof(o->what));
	}
}

/* What was looked into and explained is not told for ever. */
static void take_off_accepted(const struct snapshot *s, struct audit *a)
{
	a->accepted = s->accepted;
	for (int i = 0; i < AUDIT_MAX; i++) {
		uint64_t known = s->accepted.residual_bytes[i];

		a->residual[i] -= a->residual[i] < known ? a->residual[i] : known;
	}
}

static enum audit_verdict verdict(const struct audit *a)
{
	for (int i = 0; i < AUDIT_MAX; i++) {
		if (a->residual[i])
			return AUDIT_DIFFERS;
	}
	return a->gaps.n ? AUDIT_INCOMPLETE : AUDIT_AGREES;
}

const char *audit_sentence(const struct audit *a, char buf[AUDIT_SENTENCE_MAX])
{
	const char *word = audit_verdicts[a->verdict];
	int n = snprintf(buf, AUDIT_SENTENCE_MAX, "%s", word);

	for (int i = 0; i < AUDIT_MAX && n < AUDIT_SENTENCE_MAX; i++) {
		if (a->residual[i])
			n += snprintf(buf + n, (size_t)(AUDIT_SENTENCE_MAX - n),
				      "%s %" PRIu64 " bytes in %s",
				      buf[n - 1] == 's' && n == (int)strlen(word) ? ":"
										  : ",",
				      a->residual[i], audit_names[i]);
	}
	if (a->verdict == AUDIT_INCOMPLETE)
		(void)snprintf(buf + n, (size_t)(AUDIT_SENTENCE_MAX - n), ": %s%s",
			       a->gaps.list[0].text, a->gaps.n > 1 ? " (and more)" : "");
	return buf;
}

int audit_accept(const char *pins, const struct snapshot *s, const char *text)
{
	struct accepted all = { .at_unix = (__u64)time(NULL) };
	struct snapshot raw = *s;
	struct audit a;
	__u32 zero = 0;
	int fd, err;

	memset(&raw.accepted, 0, sizeof(raw.accepted)); /* the residuals as they are */
	err = audit_snapshot(&raw, &a);
	if (err)
		return err;
	memcpy(all.residual_bytes, a.residual, sizeof(a.residual));
	gaps_accept(s, &all);
	(void)snprintf(all.text, sizeof(all.text), "%s", text);
	audit_free(&a);
	err = pin_open(pins, "accepted", &fd);
	if (err)
		return err;
	if (bpf_map_update_elem(fd, &zero, &all, BPF_ANY) < 0)
		err = -errno;
	close(fd);
	return err;
}

int audit_snapshot(const struct snapshot *s, struct audit *ret)
{
	struct audit a = { 0 };

	a.lines = calloc(AUDIT_LINES_MAX, sizeof(*a.lines));
	if (!a.lines)
		return -ENOMEM;
	check_proxy_tcp(s, &a);
	check_tcp_wire(s, &a);
	check_wire_nft(s, &a);
	check_totals(s, &a);
	audit_payload_app(s, &a);
	audit_app_http(s, &a);
	take_off_accepted(s, &a);
	gaps_find(s, &a.gaps);
	a.verdict = verdict(&a);
	list_odd(s, &a);
	a.odd_book = odd_book(&a);
	memcpy(a.flowtables, s->flowtables, sizeof(a.flowtables));
	*ret = a;
	return 0;
}

void audit_free(struct audit *a)
{
	free(a->lines);
	a->lines = NULL;
	a->lines_n = 0;
}

/*
 * Read at another moment it might agree: sums that move while they are read, and sockets
 * that end during the visit.  What else is missing stays so.
 */
static bool may_pass(const struct audit *a)
{
	uint64_t residual_bytes = 0;
	unsigned moving = 0;

	for (int i = 0; i < AUDIT_MAX; i++)
		residual_bytes += a->residual[i];
	for (unsigned i = 0; i < a->gaps.n; i++)
		moving += a->gaps.list[i].reason == GAP_SOCKETS_LOST;
	return residual_bytes || moving == a->gaps.n;
}

int audit_run(struct book *b, unsigned tries, struct snapshot **ret_s, struct audit *ret)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000 };
	struct audit a = { 0 };
	struct snapshot *s;
	int err;

	for (;;) {
		err = snapshot_take(b, BOOK_NFT, &s);
		if (err)
			return err;
		err = audit_snapshot(s, &a);
		if (err) {
			snapshot_free(s);
			return err;
		}
		if (a.verdict == AUDIT_AGREES || !may_pass(&a) || tries-- <= 1)
			break;
		audit_free(&a);
		snapshot_free(s);
		(void)nanosleep(&pause, NULL);
	}
	*ret_s = s;
	*ret = a;
	return 0;
}
