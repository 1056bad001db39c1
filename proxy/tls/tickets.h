/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of session tickets (RFC 5077 4, RFC 8446 4.6.1), the same for all workers of the
 * process, and unless files have them for all of its configurations: one that new tickets
 * are made with, the one before, which may still open what it has closed, and the next,
 * which a fleet would have by now.
 */
#ifndef PROXY_TLS_TICKETS_H
#define PROXY_TLS_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

#define TICKETS_LIFE_MS (12 * 3600000ll)

struct ticket_key {
	uint8_t name[16];
	uint8_t cipher[32]; /* AES-256-CBC */
	uint8_t mac[32];    /* HMAC-SHA-256 */
};

/* The one to make tickets with, made if there is none.  0 or -EIO.  Thread-safe. */
int tickets_current(struct ticket_key *ret);

/*
 * The one with that name: *ret, and in *old whether a new ticket should be given instead.
 * False if there is none any more.  Thread-safe.
 */
bool tickets_find(const uint8_t name[16], struct ticket_key *ret, bool *old);

/*
 * Of files, for a fleet (tickets_load()): the first is what tickets are made with; n 0:
 * those of our own.  What others have made before may still be opened.  Thread-safe.
 */
void tickets_use(const struct ticket_key *keys, unsigned n);

/*
 * Into c->tickets, of c->ticket_keys: 16 bytes of a name, 32 of the HMAC's key, 32 of
 * the cipher's, as nginx has them.  0, or said in l->why.
 */
struct loading;
int tickets_load(struct loading *l, struct config *c);

/* Called now and then: a key that is TICKETS_LIFE_MS old becomes the one before. */
void tickets_rotate(int64_t now_ms);

/* All of them, for a successor of this host, whose clock is ours. */
struct ticket_ring {
	int64_t since_ms; /* of CLOCK_MONOTONIC: when the current one began */
	uint8_t have[8];  /* of three: is there one? */
	struct ticket_key keys[3];
};

void tickets_export(struct ticket_ring *ret);
void tickets_import(const struct ticket_ring *from);

/* For tests: forget all. */
void tickets_clear(void);

#endif
