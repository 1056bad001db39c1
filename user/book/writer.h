/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's side of the books: it labels its sockets, names its ids, registers its
 * listeners and adds to its own book in mapped memory.  Descriptors are opened once,
 * with privilege; afterwards everything here works without, except writer_listeners(),
 * which needs CAP_NET_ADMIN for nft.
 */
#ifndef USER_BOOK_WRITER_H
#define USER_BOOK_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "bpf/abi.h"

struct writer;

struct writer_listener {
	const char *name;
	struct addr addr;
	int dual; /* wildcard of both families */
};

/*
 * Open the pins and map the proxy's book; connections that a killed proxy left open in
 * it are closed with reason proxy_died, unless another lives that has some.  0, or as
 * book_open(); -EBUSY with a message if another proxy is alive on these pins.  A
 * successor leaves all that alone until writer_succeed().
 */
int writer_open(const char *pins, bool successor, struct writer **ret);
void writer_close(struct writer *w);

/* The proxy that writes these books now.  0, or -ESRCH if there is none. */
int writer_running(const struct writer *w, pid_t *ret);

/* From now on they are ours. */
void writer_succeed(struct writer *w);

/* The id of a name, the same as long as anything uses it.  0 and *ret, or -ENOSPC. */
int writer_name(struct writer *w, enum tg_name_kind kind, const char *name,
		uint16_t *ret);

/*
 * The slot of a row, made if it is new, and a reference to it, which is given back from
 * any thread.  NULL: there is no place left.
 */
struct proxy_slot *writer_slot(struct writer *w, const struct row_key *row);
void writer_slot_put(struct writer *w, struct proxy_slot *slot);

/*
 * Free what nobody uses (places_reclaim()).  0 and in *ret how many slots; -EBUSY, and
 * nothing, while another proxy of the load lives; -ENOLCK where that cannot be known.
 */
int writer_reclaim(struct writer *w, size_t keep, size_t *ret);

/*
 * Label a connection's socket, or one that listens, whose children inherit it:
 * labels_set() and labels_call() in labels.h.
 */
int writer_label(struct writer *w, int fd, uint32_t *place,
		 const struct sock_label *label);
int writer_label_listener(struct writer *w, int fd, const struct sock_label *label);

/* Each LABELS_SWEEP_MS: labels_sweep(). */
void writer_sweep(struct writer *w);

/*
 * Count for these listeners from now on, too, in the wire book and in nft; what was
 * counted before stays.  0, or a negative errno with the reason logged and nothing
 * changed.
 */
int writer_listeners(struct writer *w, const struct writer_listener *l, size_t n);

/* And for no others. */
void writer_forget_others(struct writer *w, const struct writer_listener *l, size_t n);

/*
 * What is said of HTTP in a row, as long as somebody has a reference to its slot.  NULL:
 * there is no place left.
 */
struct http_book *writer_http(struct writer *w, struct proxy_slot *slot);

/* What hellos of a listener looked like; lives as long as the writer. */
struct hello_book *writer_hellos(struct writer *w, uint16_t listener);

/* A source was refused for a limit of this listener.  Thread-safe. */
void writer_offender(struct writer *w, uint16_t listener, enum tg_end reason,
		     const uint8_t ip[16]);

/* A connection of a downstream row, or one that was refused in it, ended.  Any thread. */
void writer_end(struct writer *w, const struct proxy_slot *slot, enum tg_end reason,
		enum tg_side side);

/* Add a value to a histogram in mapped memory, bucket as the kernel programs choose it.
 */
void writer_hist_add(struct tcp_hist *h, unsigned shift, uint64_t value);

/* A connection is over; its number is set here, or it is counted as lost.  Thread-safe.
 */
void writer_event(struct writer *w, const struct proxy_event *e);

struct proxy_state *writer_state(struct writer *w);

/* Element 0, for its gauges of the process. */
struct proxy_slot *writer_process(struct writer *w);

/* Add to a word of the mapped book; relaxed, because readers want sums, not order. */
static inline void book_add(__u64 *word, uint64_t n)
{
	__atomic_fetch_add(word, n, __ATOMIC_RELAXED);
}

static inline void book_set(__u64 *word, uint64_t n)
{
	__atomic_store_n(word, n, __ATOMIC_RELAXED);
}

#endif
