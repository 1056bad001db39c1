/* SPDX-License-Identifier: Apache-2.0 */
#include "base/kept.h"
#include "tests/unit/t.h"

static struct kept_mark of(const struct kept *k, const char *a, const char *b)
{
	const struct kept_part parts[] = { { a, strlen(a) }, { b, strlen(b) } };

	return kept_mark(k, parts, 2);
}

static void what_was_kept_and_nothing_else(void)
{
	struct kept *k = kept_new(), *other = kept_new();

	CHECK(k && other);
	CHECK(!kept_has(k, of(k, "alice", "secret")));
	kept_add(k, of(k, "alice", "secret"));
	CHECK(kept_has(k, of(k, "alice", "secret")));
	CHECK(!kept_has(k, of(k, "alice", "secrets")));
	CHECK(!kept_has(k, of(k, "secret", "alice")));
	CHECK(!kept_has(k, of(k, "alices", "ecret")));
	CHECK(!kept_has(k, of(k, "alicesecret", "")));
	/* another has other keys */
	kept_add(other, of(k, "alice", "secret"));
	CHECK(!kept_has(other, of(other, "alice", "secret")));
	kept_free(k);
	kept_free(other);
}

/* As many as there is room for: the newest are there. */
static void newer_ones_take_the_place_of_older(void)
{
	struct kept *k = kept_new();
	char name[16];
	int there = 0;

	for (int i = 0; i < 4 * KEPT_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		kept_add(k, of(k, name, ""));
		CHECK(kept_has(k, of(k, name, "")));
	}
	for (int i = 0; i < 4 * KEPT_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		there += kept_has(k, of(k, name, ""));
	}
	CHECK(there <= KEPT_MAX && there > KEPT_MAX / 2);
	kept_free(k);
}

int main(void)
{
	RUN(what_was_kept_and_nothing_else);
	RUN(newer_ones_take_the_place_of_older);
	DONE();
}
