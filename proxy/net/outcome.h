/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a step of a connection's life came to.  A step never ends its session and never
 * begins the next step: it says so, and session.c does it.  So calls go down, answers
 * come up, and no file names one above it.
 */
#ifndef PROXY_NET_OUTCOME_H
#define PROXY_NET_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

enum step {
	STEP_WAIT,  /* for an event or the deadline */
	STEP_AGAIN, /* the budget ran out: call again when others had their turn */
	STEP_NEXT,  /* done: what comes next may begin */
	STEP_OVER,  /* nothing comes next, for this reason */
};

/* By value: it fits a register. */
struct outcome {
	uint8_t step;
	uint8_t reason; /* enum tg_end, of STEP_OVER */
	bool reset;	/* both sides are told by RST, of STEP_OVER */
};

static inline struct outcome outcome_wait(void)
{
	return (struct outcome){ .step = STEP_WAIT };
}

static inline struct outcome outcome_again(void)
{
	return (struct outcome){ .step = STEP_AGAIN };
}

static inline struct outcome outcome_next(void)
{
	return (struct outcome){ .step = STEP_NEXT };
}

static inline struct outcome outcome_over(enum tg_end reason, bool reset)
{
	return (struct outcome){ STEP_OVER, (uint8_t)reason, reset };
}

/* Is this step at its end, by NEXT or OVER? */
static inline bool outcome_ends(struct outcome o)
{
	return o.step == STEP_NEXT || o.step == STEP_OVER;
}

#endif
