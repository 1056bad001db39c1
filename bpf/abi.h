/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The one contract between the kernel programs, the proxy and every reader: the keys
 * and values of the pinned maps, and the codes whose names become metric labels.
 *
 * Directions are seen from the socket: rx is what it received, tx what it sent.
 * `payload` is what applications exchange (the TCP byte stream), `frame` what crosses
 * the link, headers of every segment included.
 */
#ifndef BPF_ABI_H
#define BPF_ABI_H

#include <linux/types.h>

/* Where the books are pinned if nobody says otherwise. */
#define TG_PINS	       "/sys/fs/bpf/tollgate"

#define TG_ABI_VERSION 7

/*
 * Capacities; each map reports the use of its own (docs/limits.md).  Those of flows,
 * wire, rows, records, names and slots are defaults that `tollgate load --size` changes;
 * a quarter of the rows may be the host's.
 */
#define TG_FLOWS_MAX	    262144
#define TG_WIRE_FLOWS_MAX   262144
#define TG_ROWS_MAX	    4096
#define TG_RECORDS_BYTES    (1 << 20)
#define TG_ODD_MAX	    64
#define TG_LISTENERS_MAX    256
#define TG_NAMES_MAX	    16384
#define TG_SLOTS_MAX	    8192
#define TG_ENDS_MAX	    TG_ENDS_OF(TG_SLOTS_MAX)
#define TG_HTTP_MAX	    TG_HTTP_OF(TG_SLOTS_MAX)
#define TG_NAME_LEN	    264
#define TG_TABLE_LEN	    64
#define TG_TARGETS_MAX	    64
#define TG_PROXY_EVENTS_MAX 4096

enum tg_dir { TG_RX, TG_TX, TG_DIR_MAX };

/* Where frames are counted: the two directions at the device, and XDP in front of RX. */
enum tg_point { TG_XDP = TG_DIR_MAX, TG_POINT_MAX };

#define TG_LEGS(X)                  \
	X(HOST, "host")             \
	X(DOWNSTREAM, "downstream") \
	X(UPSTREAM, "upstream")     \
	X(FORWARDED, "forwarded")

enum tg_leg {
#define X(name, label) TG_LEG_##name,
	TG_LEGS(X)
#undef X
		TG_LEG_MAX
};

enum tg_role { TG_ROLE_NONE, TG_ROLE_ACCEPTED, TG_ROLE_CONNECTED };

/* How a socket ended: code, metric label, and which side ended it. */
#define TG_CLOSES(X)                                       \
	X(REFUSED, "refused", "peer")                      \
	X(TIMEOUT, "timeout", "local")                     \
	X(UNREACHABLE, "unreachable", "network")           \
	X(NEVER_ACCEPTED, "never_accepted", "local")       \
	X(TRUNCATED, "truncated", "local")                 \
	X(ABORTED, "aborted", "local")                     \
	X(RESET_BY_PEER, "reset_by_peer", "peer")          \
	X(RESET_BY_US, "reset_by_us", "local")             \
	X(RESET_UNREAD, "reset_with_unread_data", "local") \
	X(CLOSED_BY_US, "closed_by_us", "local")           \
	X(CLOSED_BY_PEER, "closed_by_peer", "peer")

enum tg_close {
#define X(name, label, side) TG_CLOSE_##name,
	TG_CLOSES(X)
#undef X
		TG_CLOSE_MAX
};

/* Why a frame was not charged to a 4-tuple, and troubles of the books themselves. */
#define TG_FAULTS(X)                        \
	X(NONE, "none")                     \
	X(FLOWS_FULL, "flows_full")         \
	X(WIRE_FULL, "wire_full")           \
	X(TCP_ROWS_FULL, "tcp_rows_full")   \
	X(WIRE_ROWS_FULL, "wire_rows_full") \
	X(HOST_ROWS, "host_rows_full")      \
	X(STORAGE, "no_socket_storage")     \
	X(BACKWARDS, "counter_went_back")   \
	X(SEQUENCE, "sequence_mismatch")    \
	X(NO_MEMORY, "no_memory")           \
	X(CALLBACKS, "callbacks_lost")      \
	X(SHORT_L2, "short_l2")             \
	X(SHORT_L3, "short_l3")             \
	X(SHORT_L4, "short_l4")             \
	X(NOT_IP, "not_ip")                 \
	X(BAD_HEADER, "bad_header")         \
	X(FRAGMENT, "fragment")             \
	X(EXT_HEADERS, "too_many_extension_headers")

enum tg_fault {
#define X(name, label) TG_FAULT_##name,
	TG_FAULTS(X)
#undef X
		TG_FAULT_MAX
};

/*
 * One TCP or other conversation as its local end sees it.  IPv4 is v4-mapped IPv6.  Two
 * sockets may have one 4-tuple if they are bound to devices (SO_BINDTODEVICE, or a scope
 * of link-local addresses): `device` tells them apart.
 */
struct flow_key {
	__u8 local[16];
	__u8 remote[16];
	__be16 local_port;
	__be16 remote_port;
	__u16 proto;	    /* IPPROTO_* */
	__u16 device;	    /* ifindex (its lower half) the socket is bound to, or 0 */
	__u64 netns_cookie; /* SO_NETNS_COOKIE of the socket's namespace */
};
_Static_assert(sizeof(struct flow_key) == 48, "flow_key is map ABI");

/*
 * The key of every total.  Ids are names in the `names` map, 0 is none.  Sockets that
 * no proxy labelled have leg HOST and are kept apart by role and service port, and, by
 * choice, by cgroup: `backend` is then a TG_NAME_CGROUP.
 */
struct row_key {
	__u16 listener;
	__u16 route;
	__u16 backend;
	__u16 port; /* host order; 0 unless leg is HOST */
	__u8 leg;   /* enum tg_leg */
	__u8 role;  /* enum tg_role; TG_ROLE_NONE unless leg is HOST */
	__u8 proto; /* IPPROTO_* */
	__u8 pad;
};
_Static_assert(sizeof(struct row_key) == 12, "row_key is map ABI");

#define TG_LABEL_FINAL 1 /* listener, route, backend and leg will not change again */
#define TG_LABEL_CLAIMED \
	2 /* rx_payload_bytes and tx_payload_bytes are the proxy's word */

/*
 * sk_storage, written by the proxy through the socket's descriptor and inherited by
 * accepted sockets from their listener.  The claim is set once, just before close().
 */
struct sock_label {
	__u16 listener;
	__u16 route;
	__u16 backend;
	__u8 leg;
	__u8 flags;
	__u64 rx_payload_bytes; /* read from the socket, PROXY header included */
	__u64 tx_payload_bytes; /* written to the socket, PROXY header included */
};
_Static_assert(sizeof(struct sock_label) == 24, "sock_label is map ABI");

/* What of a socket has been added to the totals already. */
struct tcp_counts {
	__u64 rx_payload_bytes;
	__u64 tx_payload_bytes; /* each byte once, however often it was sent */
	__u64 tx_acked_bytes;	/* of these, what the peer has acknowledged */
	__u64 tx_retransmitted_bytes;
	__u64 rx_segments;
	__u64 tx_segments;
};

/* sk_storage, written by the kernel programs only. */
struct sock_state {
	__u64 opened_ns;    /* CLOCK_MONOTONIC; of an adopted socket: when it was found */
	__u32 generation;   /* lives of this socket, 1 the first (AF_UNSPEC reuse) */
	__u32 handshake_us; /* SYN to ESTABLISHED; accepted: SYN-ACK to ACK; 0 unknown */
	__u8 role;	    /* enum tg_role */
	__u8 opened;	    /* the opening has been added to the totals */
	__u8 closed;	    /* this life is over and accounted */
	__u8 released;	    /* the application has closed it */
	__u8 adopted;	    /* it was open before the books were loaded */
	__u8 waits;	    /* it is in the `waiting` of a row */
	__u8 here;	    /* it lives in the load's own network namespace */
	__u8 silent;	    /* it connected without a SYN (TCP_REPAIR) */
	__u32 compared;	    /* 1: the claim was looked at (atomic) */
	__u32 unsent_bytes; /* these three are of the moment it closed */
	__u32 received;	    /* the number behind what it took, the first FIN too */
	__u32 fin_received;
	struct tcp_counts baseline; /* of an adopted socket: what it had counted before */
	struct tcp_counts flushed;  /* since then; the totals hold flushed - baseline */
	struct row_key row;	    /* that has them, when it closed */
	__u8 listed;		    /* the wire book knows of this life */
	__u8 in_flows;		    /* so does the directory */
	__u16 pad;
	__u32 cgroup; /* name of the one it was made in, or 0 */
	__u32 fin_at; /* bytes_received modulo 2^32 with the first FIN, or 0 */
};
_Static_assert(sizeof(struct sock_state) == 160, "sock_state is map ABI");

/*
 * One live connection, for people to look at; never the source of a total.  Listed when
 * somebody looks (iter/tcp), at once if it lives where no reader of ours comes by.
 */
struct flow {
	__u64 opened_ns; /* CLOCK_MONOTONIC */
	__u64 seen_ns;	 /* when the figures below were read from the socket */
	struct tcp_counts counts;
	__u32 srtt_us;
	__u32 rx_queue_bytes; /* received, not yet read by the application */
	__u32 tx_queue_bytes; /* written, not yet acknowledged */
	__u8 state;	      /* TCP_ESTABLISHED ... as in the kernel's tcp_states.h */
	__u8 role;
	__u8 pad8;
	__u8 adopted; /* open before the load; opened_ns is when it was found */
	struct row_key row;
	__u32 min_rtt_us;
	__u32 handshake_us;
	__u32 pad;
};
_Static_assert(sizeof(struct flow) == 104, "flow is map ABI");

/*
 * Histograms of closed sockets.  Bucket i counts values up to 2^(i + SHIFT) of the unit
 * and more than half of that; the last one has no upper bound.
 */
#define TG_HISTS(X)                                                  \
	X(DURATION, 14) /* nanoseconds: 16 us to 4.9 h */            \
	X(RTT, 4)	/* smoothed, microseconds: 16 us to 4.8 h */ \
	X(BYTES, 6)	/* payload of both directions: 64 B to 64 GiB */

enum tg_hist {
#define X(name, shift) TG_HIST_##name,
	TG_HISTS(X)
#undef X
		TG_HIST_MAX
};

enum tg_hist_shift {
#define X(name, shift) TG_HIST_##name##_SHIFT = (shift),
	TG_HISTS(X)
#undef X
};
#define TG_HIST_BUCKETS 32

struct tcp_hist {
	__u64 sum; /* of the unit */
	__u64 buckets[TG_HIST_BUCKETS];
};

/* The tcp book: every byte of every socket is in exactly one row, or in the overflow. */
struct tcp_totals {
	__u64 opened;
	__u64 adopted;
	/*
	 * Connections whose route was not known when they began, and those of which it is
	 * by now: then they are opened in its row.  opened + adopted + waiting = closed +
	 * waited + left + live.
	 */
	__u64 waiting;
	__u64 waited;
	__u64 left; /* open when the totals were exported: their ends are in no book */
	__u64 closed[TG_CLOSE_MAX];
	struct tcp_counts counts;   /* since the load */
	struct tcp_counts baseline; /* of adopted sockets, before it */
	/* Closed sockets of the proxy against its claim. */
	__u64 claimed;
	__u64 unclaimed;
	__u64 unclaimed_rx_bytes; /* of sockets nobody claimed: a killed proxy's */
	__u64 unclaimed_tx_bytes;
	/*
	 * Of sockets that TCP had closed before the proxy said which row they are of:
	 * what the row where it says so lacks, and what the other has too much; of both a
	 * signed number.
	 */
	__u64 late_rx_bytes;
	__u64 late_tx_bytes;
	__u64 unread_bytes;	       /* received, never read by the proxy */
	__u64 unsent_bytes;	       /* written by the proxy, never sent */
	__u64 proxy_rx_residual_bytes; /* sum of |difference| per socket */
	__u64 proxy_tx_residual_bytes;
	/* Closed sockets against their packets. */
	__u64 wire_matched;
	__u64 wire_unmatched; /* no packet seen: another device, or older than the load */
	__u64 wire_rx_duplicate_bytes;	/* arrived more than once */
	__u64 wire_rx_unaccepted_bytes; /* arrived, but the socket never took them */
	__u64 wire_rx_outside_bytes;	/* of these, beyond any window: forged or stray */
	__u64 wire_rx_parts_bytes;	/* arrived in fragments that were lost track of */
	__u64 wire_tx_unseen_bytes;	/* given to IP, never at the device */
	__u64 wire_rx_residual_bytes;
	__u64 wire_tx_residual_bytes;
	struct tcp_hist hist[TG_HIST_MAX];
};

struct wire_counts {
	__u64 packets;	     /* segments on the link, not aggregates */
	__u64 l3_bytes;	     /* from the IP header on, of every segment */
	__u64 frame_bytes;   /* with the link's header */
	__u64 payload_bytes; /* every copy of a byte that crossed the link */
};

struct wire_totals {
	struct wire_counts dir[TG_POINT_MAX];
	__u64 flows; /* 4-tuples that have ended */
};

/* What crossed the boundary of one listener; nftables counts at the same place. */
struct wire_boundary {
	struct {
		struct wire_counts counts;
		__u64 skbs; /* aggregates as the stack passes them, what nft counts */
		__u64 skb_bytes; /* skb->len there (nft/nft.h) */
	} dir[TG_POINT_MAX];
	__u64 syns;	       /* received, without ACK */
	__u64 unanswered_syns; /* 4-tuples that ended without a frame from us */
};

/*
 * The wire book's view of one 4-tuple.  Of a TCP socket: from its SYN until it closes.
 * Any other: until it was idle for meta.idle_ns.  No lock: what frames add stays in
 * `counts` until somebody exchanges it for 0 and puts it into a row (wire_flow.h).
 */
struct wire_flow {
	struct flow_key key; /* elements are recycled: a late writer must compare */
	__u32 dead;	     /* 1: about to end; 2: drained for the last time */
	__u16 listener;	     /* id, 0 if the local port is no listener's */
	__u8 leg;	     /* enum tg_leg of its row while no socket owns it */
	__u8 socket;	     /* a local socket owns this flow and will end it */
	__u8 active;	     /* the local end sent the first frame */
	__u8 fins;	     /* bit a direction */
	__u16 missed; /* roll calls that did not meet its socket, one after the other */
	__u32 pass;   /* the last one that did */
	__u64 opened_ns; /* CLOCK_MONOTONIC, coarse */
	__u64 seen_ns;
	struct wire_counts counts[TG_POINT_MAX]; /* not in a row yet */
	struct wire_counts drained[TG_POINT_MAX];
	struct {
		__u64 first;   /* sequence numbers, widened to 64 bits */
		__u64 highest; /* 0: none seen; the distance is what was unique */
	} seq[TG_DIR_MAX];
	__u64 outside_bytes; /* received payload beyond any window of TCP */
	__u64 epoch;	     /* TG_CURSOR_EPOCH when it began */
	__u64 parts_bytes;   /* received payload in fragments that are in another row */
	__u32 parts_open;    /* fragmented packets received of which parts may have been
				missed */
	__u32 listeners;     /* TG_CURSOR_LISTENERS, and 1, of the next */
	__u16 boundary; /* listener of its local address and port, whatever its leg */
	__u16 pad16;
	__u32 pad;
};

/*
 * `fragments`: who the later parts of a fragmented packet belong to.  Parts that came
 * before the first are in the row of the host, as they have no ports; what they carried
 * is told to the flow when it is known.
 */
#define TG_FRAGMENTS_MAX 8192
struct fragment_key {
	__u8 src[16];
	__u8 dst[16];
	__u32 id;
	__u16 proto; /* of IPv4 (RFC 791 3.2); 0 of IPv6 (RFC 8200 4.5) */
	__u16 point; /* enum tg_dir or tg_point */
};

struct fragment_val {
	__u64 seen_ns;	   /* CLOCK_MONOTONIC, coarse */
	__u32 early_bytes; /* of parts that came before the ports or the header ... */
	__u16 early_from;  /* ... from here in what was fragmented ... */
	__u16 early_to;	   /* ... to here */
	__u32 seq;	   /* of TCP, of the first byte of its payload */
	__be16 sport, dport;
	__u16 header; /* bytes of that before the payload; 0: not known yet */
	__u8 has_ports;
	__u8 proto;
	__u8 tcp_flags;
	__u8 last;    /* the last part was seen ... */
	__u16 end;    /* ... and ended here */
	__u32 got;    /* bytes of all parts */
	__u8 done;    /* nothing is missing: another part is of another packet */
	__u8 counted; /* in parts_open of its flow ... */
	__u8 settled; /* ... and no more */
	__u8 pad[5];
};

/*
 * `records`: one for every TCP socket that closed; `wire_records`: one for every other
 * 4-tuple that is over and had a packet each way, so that whoever sends datagrams cannot
 * push connections out.  Lossy by contract: what found no place is in `records_lost`,
 * with its bytes.
 */
struct record {
	struct flow_key key;
	__u64 opened_ns; /* CLOCK_MONOTONIC */
	__u64 closed_ns;
	struct tcp_counts counts;   /* of its whole life; datagrams: from the wire */
	struct tcp_counts baseline; /* the part before the load */
	struct wire_counts wire[TG_DIR_MAX];
	struct row_key row;
	__u32 srtt_us;
	__u32 min_rtt_us;
	__u32 handshake_us;
	__u32 generation;
	__u8 role;
	__u8 reason; /* enum tg_close, or one of the two below */
	__u8 adopted;
	__u8 has_wire;
};

/* `xdp_reasons`, by enum tg_fault; NONE: could be read. */
struct xdp_count {
	__u64 packets;
	__u64 frame_bytes;
};

/* Ends of a conversation that no socket of ours owns. */
#define TG_RECORD_IDLE (TG_CLOSE_MAX) /* nothing came for meta.idle_ns */
#define TG_RECORD_ENDED                                                \
	(TG_CLOSE_MAX + 1) /* TCP: a RST of our end, or FINs both ways \
			    */

/* `records_lost`, by the ring that had no place. */
enum tg_ring { TG_RING_TCP, TG_RING_WIRE, TG_RING_MAX };

struct record_loss {
	__u64 records;
	__u64 rx_payload_bytes;
	__u64 tx_payload_bytes;
};

/* `odd`: the last connections whose books differed, element n modulo TG_ODD_MAX. */
enum tg_odd { TG_ODD_NONE, TG_ODD_PROXY_TCP, TG_ODD_TCP_WIRE };

struct odd {
	struct flow_key key;
	struct row_key row;
	__u32 check; /* enum tg_odd */
	__u64 at_ns; /* CLOCK_MONOTONIC */
	__u64 tcp_bytes[TG_DIR_MAX];
	__u64 other_bytes[TG_DIR_MAX]; /* the proxy's word, or the wire; columns added */
};

/* `listeners`: which local addresses belong to which listener. */
struct listener_key {
	__u8 addr[16]; /* ::ffff:0.0.0.0 any IPv4, :: any address */
	__be16 port;
	__u16 pad;
};
_Static_assert(sizeof(struct listener_key) == 20, "listener_key is map ABI");

/* nft minus wire when both began to count, so that later readings can be compared. */
struct listener_val {
	__u32 id;
	__u32 dual; /* a wildcard of both families */
	struct {
		__s64 skbs;
		__s64 skb_bytes;
	} before[TG_DIR_MAX];
};

enum tg_name_kind {
	TG_NAME_LISTENER,
	TG_NAME_ROUTE,
	TG_NAME_BACKEND,
	TG_NAME_CGROUP, /* of the host's sockets, if the load keeps them apart */
	TG_NAME_KIND_MAX
};

struct name_key {
	__u16 kind; /* enum tg_name_kind */
	__u16 id;   /* 1 and up */
};

struct name_val {
	char name[TG_NAME_LEN];
};

/* Elements of `cursors`: rows of the host in two maps, odd connections ever noted ... */
enum tg_cursor {
	TG_CURSOR_ROWS_TCP,
	TG_CURSOR_ROWS_WIRE,
	TG_CURSOR_ODD,
	TG_CURSOR_FLOWS, /* entries of `flows` and `wire` at the last visit */
	TG_CURSOR_WIRE,
	TG_CURSOR_RECORDS, /* bytes in the rings, at the last visit */
	TG_CURSOR_WIRE_RECORDS,
	TG_CURSOR_LIVE,	   /* lives that began and did not end, of the load's namespace */
	TG_CURSOR_BEGUN,   /* lives that began there, ever */
	TG_CURSOR_BOUND,   /* sockets ever seen that were bound to a device */
	TG_CURSOR_FOLDING, /* rows in `folding` */
	TG_CURSOR_EPOCH,   /* raised when a device is watched anew: frames were missed */
	TG_CURSOR_NFT_LOST,   /* times the nft table was found gone, and made anew */
	TG_CURSOR_REATTACHED, /* hooks that were attached again */
	TG_CURSOR_LISTENERS,  /* raised with each change of `listeners` */
	TG_CURSOR_LABELS,     /* places of `labels` that were given back */
	TG_CURSOR_MAX
};

/*
 * `watched`: what the load was asked to watch, by name, so that whoever lives can attach
 * again what was remade: the directory of a cgroup, a device or a pattern of names.
 */
enum tg_target_kind {
	TG_TARGET_NONE,
	TG_TARGET_CGROUP,
	TG_TARGET_DEVICE,
	TG_TARGET_XDP,
	TG_TARGET_KIND_MAX
};

/*
 * `cgroups`: number of a cgroup to its name's id, written by whoever looks after the
 * hooks (user/book/cgroups.c).  A service that is started again has another cgroup of the
 * same name.
 */
#define TG_CGROUPS_MAX	    4096
#define TG_CGROUP_NAMES_MAX 512

#define TG_TARGET_LEN	    512
struct watched {
	__u32 kind;
	__u32 attach; /* of devices: 0 tcx or else clsact, 1 tcx, 2 clsact */
	char name[TG_TARGET_LEN];
};

/* `hooks`: how each of them is, as whoever may look measured it (user/book/hooks.c). */
#define TG_HOOKS(X)           \
	X(NONE, "none")       \
	X(SOCKOPS, "sockops") \
	X(RELEASE, "release") \
	X(STATE, "state")     \
	X(WIRE_RX, "wire_rx") \
	X(WIRE_TX, "wire_tx") \
	X(XDP, "xdp")         \
	X(NFT_RX, "nft_rx")   \
	X(NFT_TX, "nft_tx")

enum tg_hook_kind {
#define X(name, label) TG_HOOK_##name,
	TG_HOOKS(X)
#undef X
		TG_HOOK_KIND_MAX
};

#define TG_HOOKS_MAX   256
#define TG_FOREIGN_LEN 128
struct hook {
	__u32 kind; /* enum tg_hook_kind; NONE: this element is not used */
	__u32 attached;
	__u32 first;   /* no program of others is asked before it */
	__u32 foreign; /* programs of others beside it */
	__u32 ifindex;
	__u32 prog_id;
	__u64 checked_ns;	    /* CLOCK_MONOTONIC */
	char target[TG_TARGET_LEN]; /* the cgroup's directory, the device's name */
	char foreign_names[TG_FOREIGN_LEN]; /* of these, a space between */
};

/*
 * `accepted`, one element: what an operator has looked into (`tollgate audit --accept`).
 * Residuals and counts up to these are not told again; 0 everywhere if nothing was.
 */
#define TG_CHECKS_MAX	 8
#define TG_ACCEPTED_MAX	 32
#define TG_ACCEPTED_TEXT 128
struct accepted {
	__u64 at_unix;
	__u64 residual_bytes[TG_CHECKS_MAX]; /* by enum audit_check */
	__u64 counts[TG_ACCEPTED_MAX];	     /* by enum gap_reason */
	char text[TG_ACCEPTED_TEXT];
};

/* What tells the tcp book of open and close. */
enum tg_teller { TG_BY_SOCKOPS, TG_BY_TRACEPOINT };

/* `meta`, one element, written by `tollgate load`. */
struct meta {
	__u32 abi_version; /* 0: loaded by another loader */
	__u32 wire;	   /* devices the wire book watches */
	__u64 netns_cookie;
	__u64 loaded_ns;     /* CLOCK_MONOTONIC */
	__u64 loaded_unix;   /* seconds */
	__u32 nft;	     /* this load made the nft table */
	__u32 hook;	     /* enum tg_teller */
	__u64 cgroup_id;     /* of the counted cgroup; 0: any (by other loaders) */
	__u64 idle_ns;	     /* a flow without socket ends after this; 0: 60 s */
	__u64 host_rows_max; /* rows of the host in each map; 0: a quarter of them */
	__u32 xdp;	     /* devices with the XDP program */
	__u32 upgrades;
	char version[16];
	char nft_table[TG_TABLE_LEN]; /* empty: none was made (nft/nft.h) */
	__u16 ephemeral_min; /* ports from here on have no row of their own ... */
	__u16 ephemeral_max; /* ... up to here; 0: none */
	__u32 whole;	     /* the load came to its end */
	__u32 by_cgroup;     /* sockets of the host have rows by cgroup */
	__u32 pad;
	__u64 totals_unix; /* when the load began whose totals go on here; 0: this one */
};

#include "abi_proxy.h"

#endif
