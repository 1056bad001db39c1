/* SPDX-License-Identifier: Apache-2.0 */
/* What the exporter serves, path by path. */
#ifndef USER_EXPORTER_PAGES_H
#define USER_EXPORTER_PAGES_H

#include "book/book.h"
#include "exporter/events.h"
#include "exporter/http.h"
#include "exporter/sse.h"

struct pages;

/* All are borrowed, and must outlive the pages.  NULL without memory. */
struct pages *pages_new(struct book *book, struct events *events, struct sse *sse);
void pages_free(struct pages *p); /* NULL is fine */

/* Answer a request; arg: the struct pages.  On one thread. */
void pages_answer(void *arg, const struct request *r, struct answer *ret);

/* The paths, for help texts: "/metrics, /flows, ...". */
const char *pages_list(void);

#endif
