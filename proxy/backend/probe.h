/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A check of one address of a backend, as `health` of its route says: it accepts a
 * connection; or it answers a hello by one, or where TLS to it is ours shakes hands; or
 * it answers a request of HTTP, or of gRPC's own service of health.  The keeper's thread
 * alone.
 */
#ifndef PROXY_BACKEND_PROBE_H
#define PROXY_BACKEND_PROBE_H

#include "base/ev.h"
#include "codec/hello.h"
#include "config/config.h"
#include "net/worker.h"

struct ask;
struct tls_probe;

/* What all of them share. */
struct prober {
	struct ev_loop *loop;
	struct worker tls; /* none, but for contexts of handshakes */
};

enum probe_step {
	PROBE_IDLE, /* none is under way */
	PROBE_CONNECTS,
	PROBE_SHAKES,  /* hands */
	PROBE_LISTENS, /* for a hello */
	PROBE_ASKS,
};

struct probe {
	struct prober *prober;
	const struct route *route;
	const struct backend *backend;
	/* The address has passed or failed; the next may begin. */
	void (*done)(struct probe *p, bool passed);
	struct addr addr;
	struct ev_io io;
	struct ev_timer timer; /* the end of this check */
	int fd;
	uint8_t step; /* enum probe_step */
	uint8_t answer_n;
	uint8_t answer[HELLO_ANSWER_LEN];
	struct tls_probe *tls; /* if it is ours */
	struct ask *ask;
};

void probe_init(struct probe *p, struct prober *prober, const struct route *r,
		const struct backend *b, void (*done)(struct probe *p, bool passed));

/*
 * Check this address; done() comes, but not of what could not be tried for a shortage of
 * ours, which is logged.  No-op while one is under way.
 */
void probe_begin(struct probe *p, const struct addr *a);

/* Without a result. */
void probe_stop(struct probe *p);

#endif
