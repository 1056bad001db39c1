/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reconciling the books (README, "What a byte means").  A residual is what no named
 * column explains; it is 0 or something is wrong.
 */
#ifndef USER_BOOK_AUDIT_H
#define USER_BOOK_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "book/book.h"

#define AUDIT_CHECKS(X)           \
	X(PROXY_TCP, "proxy_tcp") \
	X(TCP_WIRE, "tcp_wire")   \
	X(WIRE_NFT, "wire_nft")   \
	X(TOTALS_SOCKETS, "totals_sockets")

enum audit_check {
#define X(name, label) AUDIT_##name,
	AUDIT_CHECKS(X)
#undef X
		AUDIT_MAX
};

extern const char *const audit_names[AUDIT_MAX];

#define AUDIT_COLUMNS_MAX 14
#define AUDIT_LINES_MAX	  1024

/* One comparison: left = right, but for the named columns.  Values are bytes unless the
 * column's name says otherwise. */
struct audit_line {
	enum audit_check check;
	char what[160]; /* listener, leg, direction ... as people read it */
	uint64_t residual;
	struct {
		const char *name;
		uint64_t value;
	} columns[AUDIT_COLUMNS_MAX];
	unsigned columns_n;
};

/* A connection whose books differed when it closed. */
struct audit_odd {
	struct odd odd;
	char what[160];
	double age_seconds;
};

struct audit {
	const char *odd_book; /* which book disagrees with the others, NULL if none */
	struct audit_odd odd[TG_ODD_MAX];
	unsigned odd_n;
	uint64_t odd_total;   /* ever; only the last TG_ODD_MAX are kept */
	char flowtables[256]; /* of nftables, "table/name ..."; they may hide packets */
	uint64_t residual[AUDIT_MAX];
	bool compared[AUDIT_MAX]; /* false: there was nothing to compare */
	struct audit_line *lines;
	unsigned lines_n;
	int nft_err; /* why the nft book is missing, or 0 */
};

/* Reconcile one snapshot taken with BOOK_NFT.  0 and lines to free, or -ENOMEM. */
int audit_snapshot(const struct snapshot *s, struct audit *ret);

/*
 * Take snapshots until the residuals are 0, at most `tries` of them some milliseconds
 * apart: books read one after the other differ while traffic flows.  0 or -errno.
 */
int audit_run(struct book *b, unsigned tries, struct audit *ret);
void audit_free(struct audit *a);

#endif
