/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the books: the pinned maps and the nft counters, into one snapshot.
 * Nothing here writes to a book; the proxy's side is writer.h.
 */
#ifndef USER_BOOK_BOOK_H
#define USER_BOOK_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "book/counts.h"
#include "bpf/abi.h"
#include "nft/nft.h"

struct book;

struct tcp_row {
	struct row_key key;
	struct tcp_totals totals;
};

struct wire_row {
	struct row_key key;
	struct wire_totals totals;
};

/* A TCP connection, or another conversation that only the wire book knows. */
struct live_flow {
	struct flow_key key;
	struct flow flow; /* without socket: state 0, payload and segments by the wire */
	bool has_wire;	  /* the wire book sees this 4-tuple */
	struct wire_counts wire[TG_DIR_MAX];
};

struct listener_row {
	struct listener_key key;
	struct listener_val val;
};

struct named {
	struct name_key key;
	struct name_val val;
};

/* Everything at (nearly) one moment.  All arrays belong to the snapshot. */
struct snapshot {
	uint64_t taken_ns; /* CLOCK_MONOTONIC */
	uint64_t cost_ns;  /* what taking it took */
	struct meta meta;
	struct tcp_row *tcp;
	size_t tcp_n;
	struct tcp_totals tcp_overflow;
	struct tcp_totals tcp_all_before; /* the grand total before the rows were read */
	struct tcp_totals tcp_all;	  /* and after */
	struct wire_row *wire;
	size_t wire_n;
	struct wire_totals wire_overflow;
	uint64_t wire_entries; /* of all protocols */
	uint64_t flows_entries;
	uint64_t labels_given; /* places given back by the kernel programs */
	size_t flows_capacity;
	size_t tcp_capacity;
	size_t wire_flows_capacity;
	size_t wire_capacity;
	struct wire_boundary boundary[TG_LISTENERS_MAX]; /* by listener id */
	struct listener_row *listeners;
	size_t listeners_n;
	struct live_flow *flows; /* TCP connections first */
	size_t flows_n;
	struct odd odd[TG_ODD_MAX]; /* newest first */
	size_t odd_n;
	uint64_t odd_total; /* ever noted */
	struct record_loss records_lost[TG_RING_MAX];
	uint64_t records_bytes[TG_RING_MAX]; /* in the ring, not read yet */
	size_t records_capacity[TG_RING_MAX];
	struct hook hooks[TG_HOOKS_MAX]; /* as they were measured last (hooks.h) */
	size_t hooks_n;
	struct accepted accepted;
	uint64_t reattached;   /* hooks that were attached again */
	uint64_t nft_lost;     /* times the nft table was found gone */
	uint64_t sockets_lost; /* lives whose end no hook told, of this namespace */
	bool at_home;	       /* read in the network namespace of the load */
	struct xdp_count xdp_reasons[TG_FAULT_MAX];
	struct proxy_slot *slots; /* used ones only */
	size_t slots_n;
	struct proxy_ends *ends; /* as in the map, as many as slots have */
	size_t ends_n;		 /* that slots have */
	struct http_book *http;	 /* the same */
	size_t http_n;
	struct hello_book hellos[TG_LISTENERS_MAX];  /* by listener id */
	struct offender offenders[TG_OFFENDERS_MAX]; /* most refused first */
	size_t offenders_n;
	struct proxy_state proxy;
	struct proxy_ring_state proxy_ring;
	size_t proxy_events_capacity;
	size_t slots_capacity;
	size_t ends_capacity;
	size_t http_capacity;
	size_t names_capacity;
	struct named *names;
	size_t names_n;
	uint64_t faults[TG_FAULT_MAX];
	struct nft_counter *nft_before; /* read before the wire book, nft after it */
	size_t nft_before_n;
	struct nft_counter *nft;
	size_t nft_n;
	char flowtables[256]; /* "family table name" of each, comma between */
	int nft_err;	      /* why nft is empty: 0 or a negative errno */
};

enum book_want { BOOK_FLOWS = 1, BOOK_NFT = 2 };

/*
 * Open the pins below `pins`.  0; -ENOENT if nothing is loaded there; -EACCES or -EPERM
 * without permission; -EPROTO if they are of another version.
 */
int book_open(const char *pins, struct book **ret);
void book_close(struct book *b);

/* What `tollgate load` wrote when the book was opened. */
const struct meta *book_meta(const struct book *b);

/*
 * Visit every live socket of this network namespace, then read what `want` asks for
 * besides the totals.  0 and a snapshot to free with snapshot_free(), or a negative
 * errno.
 */
int snapshot_take(struct book *b, unsigned want, struct snapshot **ret);
void snapshot_free(struct snapshot *s);

/* The name of an id as it is now, "" for 0 or if it has none.  From any thread. */
void book_name(const struct book *b, enum tg_name_kind kind, unsigned id,
	       char ret[TG_NAME_LEN]);

/* The slot of a row, or NULL. */
const struct proxy_slot *slot_find(const struct snapshot *s, const struct row_key *row);

/* Is its row one of the configuration that is in force?  Of others gauges say nothing. */
bool slot_in_force(const struct snapshot *s, const struct proxy_slot *slot);
bool row_in_force(const struct snapshot *s, const struct row_key *row);

/* What it says of HTTP; NULL: nothing. */
const struct http_book *slot_http(const struct snapshot *s,
				  const struct proxy_slot *slot);

/* Connections of a slot that ended for this reason: by one side, or by whomever. */
uint64_t slot_end(const struct snapshot *s, const struct proxy_slot *slot,
		  enum tg_end reason, enum tg_side side);
uint64_t slot_ends(const struct snapshot *s, const struct proxy_slot *slot,
		   enum tg_end reason);

/* Whether the proxy wrote its heartbeat in the last 5 s. */
bool snapshot_proxy_up(const struct snapshot *s);

/*
 * The store of a proxy that lives (proxy/state/), and *differs: its file is another than
 * the one that was taken.  TG_STORE_NONE: it has none, or none lives.
 */
enum tg_store snapshot_store(const struct snapshot *s, bool *differs);

/* How full the tables of the books are. */
struct map_fill {
	const char *name;
	size_t n, max; /* entries; of rings: bytes */
};
#define MAP_FILLS 14
size_t snapshot_fills(const struct snapshot *s, struct map_fill ret[MAP_FILLS]);

/* The name of an id, "" for 0, "#<id>" (in a static buffer) if it has none. */
const char *snapshot_name(const struct snapshot *s, enum tg_name_kind kind, unsigned id);

/* "tcp", "udp" ... or its number, in a static buffer. */
const char *protocol_name(unsigned proto);

/* "ESTABLISHED" and so on; "?" if unknown. */
const char *tcp_state_name(unsigned state);

extern const char *const tg_leg_names[TG_LEG_MAX];
extern const char *const tg_close_names[TG_CLOSE_MAX];
extern const char *const tg_close_sides[TG_CLOSE_MAX];
extern const char *const tg_end_names[TG_END_MAX];
extern const char *const tg_side_names[TG_SIDE_MAX];
extern const char *const tg_fault_names[TG_FAULT_MAX];

#endif
