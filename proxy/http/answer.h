/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of our own: the only place that makes a status. */
#ifndef PROXY_HTTP_ANSWER_H
#define PROXY_HTTP_ANSWER_H

#include "http/end.h"
#include "http/forward.h"

struct answer {
	unsigned status;
	struct text body, type; /* p NULL: the status in words */
	struct text location;	/* of a redirect; n 0: none */
	struct text challenge;	/* of 401 (RFC 9110 11.6.1); n 0: none */
	unsigned retry_after;	/* seconds; 0: nothing is said */
	bool allow;		/* say which methods there are (405) */
	const struct http_head
		*more; /* whose answer it is: some of its fields; or NULL */
	const struct http_cors *cors; /* NULL: nothing is said of origins */
	struct text origin;	      /* as cors_origin() has it */
	bool preflight;
};

/* The words of a status (RFC 9110 15); "" of one that has none. */
const char *answer_words(unsigned status);

#define ANSWER_WORDS 64

/*
 * Its head.  0 or a negative errno, as of put_head(); *ret_body: what is then to be put,
 * of `a`, or made in words; n 0: that was all.  head_only: of a HEAD request.
 */
int answer_head(struct http_end *e, struct worker *w, const struct answer *a,
		bool head_only, char words[ANSWER_WORDS], struct text *ret_body);

#endif
