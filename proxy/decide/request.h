/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be done for a request: the one place.  Nothing here waits, or does I/O. */
#ifndef PROXY_DECIDE_REQUEST_H
#define PROXY_DECIDE_REQUEST_H

#include <stdbool.h>

#include "bpf/abi.h"
#include "config/http.h"

struct verdict {
	struct route *route; /* NULL: none */
	uint16_t status;     /* of our own answer; 0: it goes to the route's backends */
	uint8_t reason;	     /* enum tg_request, of that */
};

/* Who asks. */
struct asker {
	const struct addr *client; /* the real one */
	/* which its TLS was agreed on by; NULL without TLS, or where that says nothing */
	const struct route *connection;
	const struct identity *who; /* by its certificate; NULL: it showed none */
};

void decide_request(const struct listener *l, const struct asker *a,
		    const struct http_head *h, struct verdict *ret);

/* Would TLS for these two routes be agreed on alike? */
bool decide_same_policy(const struct route *a, const struct route *b);

/* What a message that is not taken is counted as. */
enum tg_request decide_fault(enum http_fault f);

#endif
