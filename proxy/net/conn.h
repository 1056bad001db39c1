/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of ours: the socket, what is known of its readiness, its place in the
 * books, what it took and the socket did not yet, and what stands between the socket and
 * its user (a layer, such as TLS, or nothing).
 *
 * Embedded in its owner, all on one worker's thread.  Every byte that crosses the socket
 * is added to its row in the call that moved it; the conn's own sums are given to the
 * kernel as the proxy's claim just before close().
 *
 * Readiness: watched edge-triggered, once for life.  A flag remembers what the last event
 * said until a call says EAGAIN, which clears it.
 *
 * Writing: what a write took is never offered again.  Small writes wait in the outbox for
 * the end of the turn; what the socket does not take stays in `out`, and the next write
 * says -EAGAIN until it is gone.  A conn that is not blocked holds nothing.
 */
#ifndef PROXY_NET_CONN_H
#define PROXY_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ev.h"
#include "book/writer.h"
#include "bpf/abi.h"

struct conn;
struct pool_buffer;
struct pool_pipe;
struct worker;

/* --- what may stand between --- */

struct layer_ops {
	/*
	 * > 0 bytes for the user; 0: the peer has ended in good order; -EAGAIN; -ENODATA:
	 * its end was cut off; or another negative errno.
	 */
	ssize_t (*read)(struct conn *c, void *buf, size_t cap);
	/*
	 * n, all of it; -EAGAIN while the conn's `out` is held; or another negative
	 * errno. n is POOL_BUFFER_BYTES at most.
	 */
	ssize_t (*write)(struct conn *c, const void *buf, size_t n);
	/* May a read find something, without another event of the socket? */
	bool (*has_more)(const struct conn *c);
	/* Bytes for the user that it has, and nobody has read. */
	size_t (*unread)(const struct conn *c);
	/* What its user has read, and written: the rest of rx and tx is its own. */
	uint64_t (*carried)(const struct conn *c, enum tg_dir dir);
	/* Our direction ends, before the FIN: 0 when said, or a negative errno. */
	int (*finish)(struct conn *c);
	void (*free)(struct conn *c);
};

/* The first member of a layer's own struct. */
struct layer {
	const struct layer_ops *ops;
};

/* --- a conn --- */

/* The part of its label (sock_label) that is known before the end. */
struct conn_name {
	uint16_t listener, route, backend;
	uint8_t leg; /* enum tg_leg */
};

struct conn {
	struct ev_io io;
	struct worker *worker;
	struct layer *layer;	 /* NULL: raw */
	struct proxy_slot *slot; /* NULL until the row is known */
	struct pool_buffer *out; /* taken, and not by the socket yet */
	struct pool_pipe *pipe;	 /* read from it, and not taken by the other end yet */
	uint64_t rx, tx;	 /* through the socket, PROXY headers not included */
	uint32_t rx_header, tx_header; /* a PROXY header each at most */
	uint32_t label_place;	       /* writer_label() */
	uint16_t queued;	       /* the number of its item in the outbox; 0: none */
	uint16_t queued_bytes;
	uint16_t lost; /* read for it, and neither sent nor held: its layer failed */
	struct conn_name name;
	int fd;		 /* -1: closed */
	int err;	 /* why it is gone: an errno, 0 if it is not or nobody asked */
	bool is_up : 1;	 /* the backend's, of a pair */
	bool is_tcp : 1; /* no Unix socket, which the kernel's books do not have */
	bool readable : 1;
	bool wants_write : 1; /* its layer reads on when it could write */
	bool stirred : 1; /* the socket may have something, for layers: see tls/stream.c
			   */
	bool writable : 1;
	bool ended : 1;	    /* EPOLLRDHUP was seen: nothing comes after what is queued */
	bool urgent : 1;    /* EPOLLPRI was seen: no splice from here any more */
	bool failed : 1;    /* EPOLLERR was seen: reset or timed out */
	bool shut_out : 1;  /* we sent our FIN */
	bool finishing : 1; /* it goes when `out` is empty: the layer had a last word */
	bool awaited : 1;   /* there is more for it than what is in the outbox */
	bool adopted : 1;   /* another process may still have it open */
	/* of what comes from it, see relay.h */
	bool bulk : 1; /* it comes faster than a buffer at a time */
	bool over : 1; /* it has ended, and all of it was passed on */
};

/* Of nothing yet, or of a socket, which it closes.  fn: as conn_watch(). */
void conn_init(struct conn *c, struct worker *w, int fd, bool is_up, ev_io_fn fn);

/*
 * From now on fn is called for its events, and says conn_event() first.  After a turn it
 * is called for what became of the outbox, too: with EPOLLERR, EPOLLOUT if some of it is
 * left, or no event if it was `awaited`.  0 or a negative errno.
 */
int conn_watch(struct conn *c);

/* Note what happened; the conn of that watcher. */
struct conn *conn_event(struct ev_io *io, uint32_t events);

/* --- the books --- */

/* The name is known, and not told to the kernel; or told as its final one. */
void conn_set_name(struct conn *c, const struct conn_name *name);
void conn_label(struct conn *c, const struct conn_name *name);

/*
 * The row is known: from now on its slot is added to directly, beginning with what was
 * moved until now.  Only the first call counts.
 */
void conn_take_row(struct conn *c, struct proxy_slot *slot);

/* n bytes were moved by somebody else's call. */
void conn_add_rx(struct conn *c, size_t n);
void conn_add_tx(struct conn *c, size_t n);

/* Bytes first read as payload turn out to be a PROXY header. */
void conn_move_to_header(struct conn *c, size_t n);

/* --- bytes --- */

/* As in layer_ops; of a raw conn n may be larger. */
ssize_t conn_read(struct conn *c, void *buf, size_t cap);

/* conn_read() of `cap` bytes has said n: may there be more without an event? (epoll(7))
 */
void conn_note_read(struct conn *c, ssize_t n, size_t cap);
ssize_t conn_write(struct conn *c, const void *buf, size_t n);

/* What its users have read, or written. */
uint64_t conn_carried(const struct conn *c, enum tg_dir dir);

/* What its socket failed with (SO_ERROR, which is told once); 0: nothing. */
int conn_error(const struct conn *c);

/* For layers: the socket below them. */
ssize_t conn_raw_read(struct conn *c, void *buf, size_t cap);
ssize_t conn_raw_write(struct conn *c, const void *buf, size_t n);

/*
 * A PROXY header, the first that is sent; `more`: something follows at once.  0 or a
 * negative errno.
 */
int conn_write_header(struct conn *c, const void *buf, size_t n, bool more);

/*
 * Without a copy, of raw conns: where POOL_BUFFER_BYTES may be read to, of which n are
 * then sent at the end of the turn.  NULL: there is no room.
 */
uint8_t *conn_room(struct conn *c);
void conn_put(struct conn *c, size_t n);

/* Bytes are in its `out`, behind what is there.  0, or -ENOMEM with none of them kept. */
int conn_hold(struct conn *c, const uint8_t *data, size_t n);

/* Give `out` to the socket: 0 when it is empty, -EAGAIN, or another negative errno. */
int conn_flush(struct conn *c);

/*
 * What it has in the outbox goes now: before it is drained, moved or closed.  1 if
 * something was there, 0 if not; conn->err says whether it went well (ENOMEM: bytes are
 * lost, and counted by conn_held()).
 */
int conn_send_now(struct conn *c);

/* For ev_loop_settle(): all of a worker's outbox; what it may do in a turn begins anew.
 * arg: the worker. */
void conn_settle(void *arg);

/* Bytes that were taken and are not in the socket. */
size_t conn_held(const struct conn *c);

/*
 * Half-close: what the layer has to say, then FIN, as soon as conn_flush() has given all
 * of that to the socket.  Nothing may be held before.
 */
void conn_finish(struct conn *c);

/* --- its end --- */

/*
 * Why it is gone, when conn->err was set: client or backend reset, or stuck or silent.
 * ETIMEDOUT is the kernel's word that nobody answered: bytes of ours that were not
 * acknowledged, or not taken (TCP_USER_TIMEOUT, tcp(7)), or else probes of a connection
 * where nothing was on its way.
 */
enum tg_end conn_gone_reason(const struct conn *c);

/*
 * Give the kernel the proxy's claim and close, with RST if `reset`; what is held is
 * dropped.  No-op when closed.
 */
void conn_close(struct conn *c, bool reset);

/* Close our descriptor only: it lives on in another process. */
void conn_leave(struct conn *c);

/* A closed one, for another connection. */
void conn_clear(struct conn *c);

#endif
