/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-sent events (WHATWG HTML, 9.2): each record is an event with its epoch and
 * number as id, so that a client that comes again says where it was (Last-Event-ID).
 */
#ifndef USER_EXPORTER_SSE_H
#define USER_EXPORTER_SSE_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "exporter/events.h"

struct sse;

struct sse *sse_new(struct events *events); /* NULL without memory */

/*
 * A response that streams records that `f` wants, which is copied, after `after`; with
 * `lost` it begins by saying that some may have been missed.  NULL if there are too many
 * clients.
 */
struct MHD_Response *sse_response(struct sse *s, struct MHD_Connection *connection,
				  const struct events_filter *f, uint64_t after,
				  bool lost);

/* There may be something new; arg is a struct sse. */
void sse_wake(void *arg);

/* Ends every stream; before MHD_stop_daemon(), which waits for nobody who sleeps. */
void sse_stop(struct sse *s);
void sse_free(struct sse *s);

#endif
