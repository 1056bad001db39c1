/* SPDX-License-Identifier: Apache-2.0 */
/* No counter is left out where all of them are added, exported or gone on with. */
#include <string.h>

#include "book/counts.h"
#include "tests/unit/t.h"

/* Bytes of all fields; each begins where the one before ended, or behind `gap` bytes. */
static size_t covered(const struct counted_field *fields)
{
	size_t n = 0;

	for (const struct counted_field *f = fields; f->name; f++)
		n += f->n * sizeof(__u64);
	return n;
}

static void every_counter_has_a_name(void)
{
	const size_t gauges = sizeof(((struct proxy_slot *)0)->backend_up) +
			      sizeof(((struct proxy_slot *)0)->addresses) +
			      sizeof(((struct proxy_slot *)0)->backend_drained) +
			      sizeof(((struct proxy_slot *)0)->store) +
			      sizeof(((struct proxy_slot *)0)->file_differs);

	CHECK_INT(sizeof(struct tcp_totals), covered(counts_tcp));
	CHECK_INT(sizeof(struct wire_totals), covered(counts_wire));
	CHECK_INT(sizeof(struct proxy_slot) - offsetof(struct proxy_slot, opened) -
			  gauges - sizeof(((struct proxy_slot *)0)->reserved),
		  covered(counts_slot));
	CHECK_INT(sizeof(struct proxy_ends) - offsetof(struct proxy_ends, n),
		  covered(counts_ends));
}

static void no_field_is_named_or_counted_twice(void)
{
	const struct counted_field *const all[] = { counts_tcp, counts_wire,
						    counts_slot };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (const struct counted_field *f = all[i]; f->name; f++) {
			for (const struct counted_field *g = f + 1; g->name; g++) {
				CHECK(strcmp(f->name, g->name) != 0);
				CHECK(f->at + f->n * 8 <= g->at ||
				      g->at + g->n * 8 <= f->at);
			}
		}
	}
}

static void a_row_balances(void)
{
	struct tcp_totals t = {
		.opened = 5, .adopted = 2, .waiting = 3, .waited = 2, .left = 1
	};

	t.closed[TG_CLOSE_ABORTED] = 3;
	t.closed[TG_CLOSE_CLOSED_BY_US] = 2;
	CHECK_INT(5, tcp_closed(&t));
	CHECK_INT(2, tcp_live(&t));
	t.left = 9; /* read while it grew */
	CHECK(tcp_balance(&t) < 0);
	CHECK_INT(0, tcp_live(&t));
}

int main(void)
{
	RUN(every_counter_has_a_name);
	RUN(no_field_is_named_or_counted_twice);
	RUN(a_row_balances);
	DONE();
}
