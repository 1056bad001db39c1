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
#include "book/gaps.h"

#define AUDIT_CHECKS(X)                     \
	X(PROXY_TCP, "proxy_tcp")           \
	X(TCP_WIRE, "tcp_wire")             \
	X(WIRE_NFT, "wire_nft")             \
	X(TOTALS_SOCKETS, "totals_sockets") \
	X(PAYLOAD_APP, "payload_app")       \
	X(APP_HTTP, "app_http")

enum audit_check {
#define X(name, label) AUDIT_##name,
	AUDIT_CHECKS(X)
#undef X
		AUDIT_MAX
};

_Static_assert(AUDIT_MAX <= TG_CHECKS_MAX, "accepted.residual_bytes is map ABI");

extern const char *const audit_names[AUDIT_MAX];

/* The answer, of which each has its own exit code, HTTP status and word. */
enum audit_verdict { AUDIT_AGREES, AUDIT_DIFFERS, AUDIT_INCOMPLETE, AUDIT_VERDICT_MAX };

extern const char *const audit_verdicts[AUDIT_VERDICT_MAX];

#define AUDIT_COLUMNS_MAX 14
#define AUDIT_LINES_MAX	  1024

/*
 * A column may explain only what was measured as such, and nothing explains a difference
 * of unbounded size (README, "What a byte means").
 */

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
	enum audit_verdict verdict; /* differs, else incomplete, else agrees */
	struct gaps gaps;	    /* what is missing */
	struct accepted accepted;   /* what an operator has accepted; not told again */
	const char *odd_book; /* which book disagrees with the others, NULL if none */
	struct audit_odd odd[TG_ODD_MAX];
	unsigned odd_n;
	uint64_t odd_total;   /* ever; only the last TG_ODD_MAX are kept */
	char flowtables[256]; /* of nftables, "table/name ..."; they may hide packets */
	uint64_t residual[AUDIT_MAX]; /* less what was accepted */
	bool compared[AUDIT_MAX];     /* false: there was nothing to compare */
	struct audit_line *lines;
	unsigned lines_n;
	int nft_err; /* why the nft book is missing, or 0 */
};

/* Reconcile one snapshot taken with BOOK_NFT.  0 and lines to free, or -ENOMEM. */
int audit_snapshot(const struct snapshot *s, struct audit *ret);

/*
 * Take snapshots until the books agree, at most `tries` of them some milliseconds apart:
 * books read one after the other differ while traffic flows.  0, the last snapshot, the
 * caller's to free, and its audit; or -errno.
 */
int audit_run(struct book *b, unsigned tries, struct snapshot **ret_s, struct audit *ret);
void audit_free(struct audit *a);

/* "agrees", "differs: 12 bytes in tcp_wire" or "incomplete: ..." into buf, which is
 * returned. */
#define AUDIT_SENTENCE_MAX 640
const char *audit_sentence(const struct audit *a, char buf[AUDIT_SENTENCE_MAX]);

/*
 * Accept what is there now, residuals and counted gaps, with a word on why; `pins` must
 * be writable.  0 or a negative errno.
 */
int audit_accept(const char *pins, const struct snapshot *s, const char *text);

#endif
