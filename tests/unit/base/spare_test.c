/* SPDX-License-Identifier: Apache-2.0 */
/* What is given back is taken again, and no more is kept than is said. */
#include "base/spare.h"
#include "tests/unit/t.h"

static void pieces_come_and_go(void)
{
	struct spare s = { .size = 2000 };
	void *p[SPARE_MAX + 10];

	for (unsigned i = 0; i < SPARE_MAX + 10; i++) {
		p[i] = spare_take(&s);
		CHECK(p[i] != NULL);
		memset(p[i], (int)i, 2000);
	}
	CHECK_INT(0, s.n);
	for (unsigned i = 0; i < SPARE_MAX + 10; i++) {
		CHECK_INT((unsigned char)i, ((unsigned char *)p[i])[1999]);
		spare_give(&s, p[i]);
	}
	CHECK(s.n <= SPARE_MAX);
	spare_free(&s);
	CHECK_INT(0, s.n);
	spare_give(&s, spare_take(&s));
	spare_free(&s);
	CHECK(s.first == NULL);
}

int main(void)
{
	RUN(pieces_come_and_go);
	DONE();
}
