/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's table of sessions joined with the kernel's sockets, by cookie, both ways.
 * A session whose socket the kernel does not have any more is a zombie: its end was
 * missed, and it is ended.  A socket of ours that is in no session is a stray: nobody
 * will ever read it, and it is told of.  Neither should ever be; both are believed when
 * they are seen twice.
 */
#ifndef PROXY_PROCESS_ZOMBIES_H
#define PROXY_PROCESS_ZOMBIES_H

#include "net/worker.h"

struct zombies;

struct zombies *zombies_new(void); /* NULL without memory */
void zombies_free(struct zombies *z);

/* From the main thread, when `interval_ms` has passed since the last time; 0: never. */
void zombies_look(struct zombies *z, struct proxy *p, int64_t interval_ms);

#endif
