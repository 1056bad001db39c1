/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do the workers live?  The main thread asks each of them, by a post, and who does not
 * take it in PULSE_STUCK_MS hangs in something: then the proxy has no heartbeat.
 */
#ifndef PROXY_PROCESS_PULSE_H
#define PROXY_PROCESS_PULSE_H

#include <stdbool.h>
#include <stdint.h>

#include "net/worker.h"

#define PULSE_STUCK_MS 3000

struct pulse;

/* NULL without memory.  Freed when all workers are joined; NULL is fine. */
struct pulse *pulse_new(struct proxy *p);
void pulse_free(struct pulse *pulse);

/*
 * Ask again, of CLOCK_MONOTONIC.  False, and logged once, while a worker does not answer;
 * one that has stopped is none of these.
 */
bool pulse_take(struct pulse *pulse, uint64_t now_ns);

#endif
