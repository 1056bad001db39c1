/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of an ended connection, as one JSON object. */
#ifndef USER_SHOW_EVENT_JSON_H
#define USER_SHOW_EVENT_JSON_H

#include <jansson.h>

#include "book/book.h"

/* Of the kernel's `records`: a socket, or a conversation nobody here had a socket of. */
json_t *event_json_record(const struct book *book, const struct record *r);

/* Of `proxy_events`: both sockets of a connection through the proxy.  Either returns a
 * new reference, or NULL without memory. */
json_t *event_json_proxy(const struct book *book, const struct proxy_event *e);

#endif
