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
	uint8_t reason;	 /* enum tg_end, of STEP_OVER */
	bool reset;	 /* both sides are told by RST, of STEP_OVER */
	int32_t wait_ms; /* of WAIT and AGAIN: > 0 so long from now, -1 for ever, 0 as
			    long as was said before */
};

static inline struct outcome outcome_wait(void)
{
	return (struct outcome){ .step = STEP_WAIT };
}

static inline struct outcome outcome_again(void)
{
	return (struct outcome){ .step = STEP_AGAIN };
}

/*
 * The same, but not longer than so many milliseconds; -1: for ever.  Who waits for 24
 * days is asked before, and says how long then.
 */
static inline struct outcome outcome_until(struct outcome o, int64_t ms)
{
	o.wait_ms = ms < 0 ? -1 : ms == 0 ? 1 : ms > INT32_MAX ? INT32_MAX : (int32_t)ms;
	return o;
}

static inline struct outcome outcome_next(void)
{
	return (struct outcome){ .step = STEP_NEXT };
}

static inline struct outcome outcome_over(enum tg_end reason, bool reset)
{
	return (struct outcome){ STEP_OVER, (uint8_t)reason, reset, 0 };
}

/* Is this step at its end, by NEXT or OVER? */
static inline bool outcome_ends(struct outcome o)
{
	return o.step == STEP_NEXT || o.step == STEP_OVER;
}

#endif
