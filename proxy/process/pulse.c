/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/log.h"
#include "base/util.h"
#include "process/pulse.h"

struct beat {
	struct worker_post post;
	uint64_t asked_ns;
	bool asked; /* and not answered; atomic */
	bool stuck; /* said */
};

struct pulse {
	struct proxy *proxy;
	struct beat beats[]; /* workers_n of them */
};

static void answer(struct worker_post *post)
{
	__atomic_store_n(&container_of(post, struct beat, post)->asked, false,
			 __ATOMIC_RELEASE);
}

static void run(struct worker *w, struct worker_post *post)
{
	(void)w;
	answer(post);
}

struct pulse *pulse_new(struct proxy *p)
{
	struct pulse *pulse =
		calloc(1, sizeof(*pulse) + p->workers_n * sizeof(pulse->beats[0]));

	if (!pulse)
		return NULL;
	pulse->proxy = p;
	for (unsigned i = 0; i < p->workers_n; i++)
		pulse->beats[i].post = (struct worker_post){ .run = run, .drop = answer };
	return pulse;
}

void pulse_free(struct pulse *pulse)
{
	free(pulse);
}

static bool is_stuck(struct beat *b, struct worker *w, uint64_t now_ns)
{
	if (__atomic_load_n(&b->asked, __ATOMIC_ACQUIRE))
		return now_ns - b->asked_ns > PULSE_STUCK_MS * 1000000ull;
	b->asked_ns = now_ns;
	b->asked = true;
	if (!worker_post(w, &b->post))
		b->asked = false;
	return false;
}

bool pulse_take(struct pulse *pulse, uint64_t now_ns)
{
	bool all = true;

	for (unsigned i = 0; i < pulse->proxy->workers_n; i++) {
		struct beat *b = &pulse->beats[i];
		bool stuck = is_stuck(b, &pulse->proxy->workers[i], now_ns);

		if (stuck && !b->stuck)
			log_error("worker %u has not answered for %d ms: its connections "
				  "stand still",
				  i, PULSE_STUCK_MS);
		if (b->stuck && !stuck)
			log_warn("worker %u answers again", i);
		b->stuck = stuck;
		all &= !stuck;
	}
	return all;
}
