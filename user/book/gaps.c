/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "book/boundary.h"
#include "book/gaps.h"
#include "book/hooks.h"

#define LOOKED_NS                                                            \
	10000000000u /* hooks that nobody looked at for longer are not known \
		      */

const char *const gap_names[GAP_MAX] = {
#define X(name, label, kind) [GAP_##name] = label,
	GAPS(X)
#undef X
};

__attribute__((format(printf, 5, 6))) static void
gap_add(struct gaps *g, enum gap_reason reason, const char *target, uint64_t count,
	const char *fmt, ...)
{
	struct gap *gap;
	va_list ap;

	if (g->n == GAPS_LIST_MAX) {
		g->cut++;
		return;
	}
	gap = &g->list[g->n++];
	gap->reason = reason;
	gap->count = count;
	(void)snprintf(gap->target, sizeof(gap->target), "%s", target);
	va_start(ap, fmt);
	(void)vsnprintf(gap->text, sizeof(gap->text), fmt, ap);
	va_end(ap);
}

/* --- counts --- */

struct counted {
	enum gap_reason reason;
	const char *target;
	uint64_t n;
	const char *text;
};

#define COUNTED_MAX 16

static uint64_t left_open(const struct snapshot *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->tcp_n; i++)
		n += s->tcp[i].key.leg == TG_LEG_HOST ? 0 : s->tcp[i].totals.left;
	return n;
}

/* Every count there is, those that are 0 too. */
static unsigned count_all(const struct snapshot *s, struct counted ret[COUNTED_MAX])
{
	const struct counted all[] = {
		{ GAP_MAP_FULL, "wire", s->faults[TG_FAULT_WIRE_FULL],
		  "frames found no place in the table of 4-tuples: their connections were "
		  "not compared; load with --size wire=N" },
		{ GAP_MAP_FULL, "tcp_totals", s->faults[TG_FAULT_TCP_ROWS_FULL],
		  "sockets found no row and are summed in the overflow; load with --size "
		  "tcp_totals=N" },
		{ GAP_MAP_FULL, "wire_totals", s->faults[TG_FAULT_WIRE_ROWS_FULL],
		  "frames found no row and are summed in the overflow; load with --size "
		  "wire_totals=N" },
		{ GAP_MAP_FULL, "flows", s->faults[TG_FAULT_FLOWS_FULL],
		  "connections found no place in the directory (their totals are whole); "
		  "load with --size flows=N" },
		{ GAP_SOCKETS_LOST, "tcp", s->sockets_lost,
		  "sockets ended and no hook told of it: what they carried last is in no "
		  "book; look for another program that takes callbacks away (status), "
		  "then 'audit --accept'" },
		{ GAP_NO_SOCKET_STORAGE, "tcp", s->faults[TG_FAULT_STORAGE],
		  "sockets could not be counted: their option memory was too small (sysctl "
		  "net.core.optmem_max) or the host had none" },
		{ GAP_OUT_OF_MEMORY, "maps", s->faults[TG_FAULT_NO_MEMORY],
		  "entries of the books could not be made, because the kernel had no memory; "
		  "give the host more, then 'audit --accept'" },
		{ GAP_NO_SLOT, "proxy_book", s->proxy.slot_errors,
		  "rows of the proxy found no slot: their bytes are in no row of its book; "
		  "load with --config FILE" },
		{ GAP_NO_LABEL, "tcp_label", s->proxy.label_errors,
		  "sockets of the proxy could not be labelled: they are counted as the "
		  "host's; raise sysctl net.core.optmem_max, then 'audit --accept'" },
		{ GAP_LEFT_OPEN, "tcp", left_open(s),
		  "connections of the proxy were open when the totals were exported: what "
		  "they carried after that is in no book; 'audit --accept' what is known" },
		{ GAP_FOLD_BROKEN, "proxy_book",
		  s->proxy.folds_broken + (s->proxy.folds & 1),
		  "times a proxy was killed while it added rows nobody uses to those of the "
		  "past: their sums may be too high or too low; 'audit --accept' it" },
	};

	memcpy(ret, all, sizeof(all));
	return ARRAY_SIZE(all);
}

static void find_counts(const struct snapshot *s, struct gaps *g)
{
	uint64_t left[GAP_MAX], total[GAP_MAX] = { 0 };
	struct counted all[COUNTED_MAX];
	unsigned n = count_all(s, all);

	for (unsigned i = 0; i < n; i++)
		total[all[i].reason] += all[i].n;
	for (int r = 0; r < GAP_MAX; r++)
		left[r] = total[r] > s->accepted.counts[r]
				  ? total[r] - s->accepted.counts[r]
				  : 0;
	for (unsigned i = 0; i < n; i++) {
		uint64_t more =
			all[i].n < left[all[i].reason] ? all[i].n : left[all[i].reason];

		if (!more)
			continue;
		left[all[i].reason] -= more;
		gap_add(g, all[i].reason, all[i].target, more, "%llu %s",
			(unsigned long long)more, all[i].text);
	}
}

void gaps_accept(const struct snapshot *s, struct accepted *ret)
{
	struct counted all[COUNTED_MAX];
	unsigned n = count_all(s, all);

	memset(ret->counts, 0, sizeof(ret->counts));
	for (unsigned i = 0; i < n; i++)
		ret->counts[all[i].reason] += all[i].n;
}

/* --- states --- */

static void find_hook(const struct hook *h, struct gaps *g)
{
	const char *kind = tg_hook_names[h->kind];
	char target[TG_TARGET_LEN + 16];

	(void)snprintf(target, sizeof(target), "%s %s", kind, h->target);
	if (!h->attached)
		gap_add(g, GAP_HOOK_DETACHED, target, 1,
			"%s is not attached to %.100s: what passes there is not counted; "
			"'tollgate load --upgrade' attaches it again",
			kind, h->target);
	else if (!h->first)
		gap_add(g, GAP_HOOK_NOT_FIRST, target, 1,
			"%s of %.60s: %.80s stands before it and may hide frames; 'tollgate "
			"load --upgrade' puts ours first",
			kind, h->target, h->foreign_names);
}

static void find_hooks(const struct snapshot *s, struct gaps *g)
{
	uint64_t oldest = s->taken_ns ? s->taken_ns : util_now_ns();
	bool old = s->hooks_n == 0;

	if (!s->meta.abi_version)
		return; /* of another loader, which does its own watching */
	for (size_t i = 0; i < s->hooks_n; i++) {
		old |= s->hooks[i].checked_ns + LOOKED_NS < oldest;
		find_hook(&s->hooks[i], g);
	}
	if (old)
		gap_add(g, GAP_HOOKS_UNWATCHED, "hooks", 1,
			"nobody looks whether the hooks are attached: start the exporter or "
			"the proxy as root, or run 'tollgate status' as root");
}

static void find_nft(const struct snapshot *s, struct gaps *g)
{
	char table[TG_TABLE_LEN + 8];

	if (!s->meta.nft || !s->meta.nft_table[0])
		return;
	if (s->nft_err && s->nft_err != -ENXIO) {
		gap_add(g, GAP_BOOK_UNREADABLE, "nft", 1,
			"the nft book cannot be read: %s (it takes CAP_NET_ADMIN)",
			strerror(-s->nft_err));
		return;
	}
	(void)snprintf(table, sizeof(table), "%s %s",
		       nft_family_name(boundary_table(&s->meta).family),
		       s->meta.nft_table);
	if (!s->nft_err && !s->nft_n)
		gap_add(g, GAP_NFT_TABLE_MISSING, table, 1,
			"nft table '%s' is gone (nft flush ruleset?): 'tollgate load "
			"--upgrade', or a living proxy or exporter, makes it anew",
			table);
}

void gaps_find(const struct snapshot *s, struct gaps *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (s->meta.abi_version && !s->meta.whole)
		gap_add(ret, GAP_LOAD_UNFINISHED, "load", 1,
			"the load did not come to its end: 'tollgate unload' and 'load'");
	if (!s->at_home)
		gap_add(ret, GAP_OTHER_NAMESPACE, "reader", 1,
			"read in another network namespace than that of the load: its "
			"sockets and its nft counters are not seen; read there");
	if (s->proxy.pid && s->proxy.netns_cookie && s->meta.netns_cookie &&
	    s->proxy.netns_cookie != s->meta.netns_cookie)
		gap_add(ret, GAP_OTHER_NAMESPACE, "proxy", 1,
			"the proxy runs in another network namespace than that of the load: "
			"its packets are in no book; load there");
	find_hooks(s, ret);
	find_nft(s, ret);
	find_counts(s, ret);
}
