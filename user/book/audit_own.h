/* SPDX-License-Identifier: Apache-2.0 */
/* Of the files of audit.c, and nobody else's. */
#ifndef USER_BOOK_AUDIT_OWN_H
#define USER_BOOK_AUDIT_OWN_H

#include "book/audit.h"

/* A line of a check; NULL when there are too many, which the others take. */
__attribute__((format(printf, 3, 4))) struct audit_line *
audit_line_add(struct audit *a, enum audit_check check, const char *fmt, ...);
void audit_column(struct audit_line *line, const char *name, uint64_t value);

/* The check has compared something, and so much is left over. */
void audit_residual(struct audit *a, enum audit_check check, struct audit_line *line,
		    uint64_t bytes);

/* A row by its names. */
void audit_row_what(const struct snapshot *s, const struct row_key *k, char *buf,
		    size_t size);

uint64_t audit_distance(uint64_t a, uint64_t b);

/* audit_app.c */
void audit_payload_app(const struct snapshot *s, struct audit *a);
void audit_app_http(const struct snapshot *s, struct audit *a);

#endif
