/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/t.h"
#include "tls/tickets.h"

static void a_key_opens_what_it_closed_for_two_lives(void)
{
	struct ticket_key first, now, found;
	bool old = true;

	tickets_clear();
	tickets_rotate(1000);
	CHECK_INT(0, tickets_current(&first));
	CHECK(tickets_find(first.name, &found, &old));
	CHECK(!old);
	CHECK(memcmp(&first, &found, sizeof(found)) == 0);
	tickets_rotate(1000 + TICKETS_LIFE_MS - 1);
	CHECK_INT(0, tickets_current(&now));
	CHECK(memcmp(&first, &now, sizeof(now)) == 0);
	tickets_rotate(1000 + TICKETS_LIFE_MS);
	CHECK_INT(0, tickets_current(&now));
	CHECK(memcmp(&first, &now, sizeof(now)) != 0);
	CHECK(tickets_find(first.name, &found, &old));
	CHECK(old); /* and another ticket is given */
	tickets_rotate(1000 + 2 * TICKETS_LIFE_MS);
	CHECK(!tickets_find(first.name, &found, &old));
	CHECK(tickets_find(now.name, &found, &old));
}

static void a_successor_opens_what_was_closed_before(void)
{
	struct ticket_key first, found;
	struct ticket_ring ring;
	bool old = true;

	tickets_clear();
	tickets_rotate(1000);
	CHECK_INT(0, tickets_current(&first));
	tickets_export(&ring);
	tickets_clear();
	CHECK(!tickets_find(first.name, &found, &old));
	tickets_import(&ring);
	CHECK(tickets_find(first.name, &found, &old));
	CHECK(!old);
	tickets_rotate(1000 + TICKETS_LIFE_MS); /* in time, too */
	CHECK(tickets_find(first.name, &found, &old));
	CHECK(old);
}

static void keys_of_files_go_before_our_own(void)
{
	const struct ticket_key files[2] = { { .name = "one" }, { .name = "two" } };
	struct ticket_key own, found;
	bool old = true;

	tickets_clear();
	CHECK_INT(0, tickets_current(&own));
	tickets_use(files, 2);
	CHECK_INT(0, tickets_current(&found));
	CHECK(memcmp(&found, &files[0], sizeof(found)) == 0);
	CHECK(tickets_find(files[0].name, &found, &old));
	CHECK(!old);
	CHECK(tickets_find(files[1].name, &found, &old));
	CHECK(old);
	CHECK(tickets_find(own.name, &found, &old)); /* given before */
	CHECK(old);
	tickets_use(NULL, 0);
	CHECK_INT(0, tickets_current(&found));
	CHECK(memcmp(&found, &own, sizeof(found)) == 0);
	CHECK(!tickets_find(files[0].name, &found, &old));
}

static void a_name_of_nobody_opens_nothing(void)
{
	struct ticket_key key;
	bool old;

	tickets_clear();
	CHECK(!tickets_find((const uint8_t[16]){ 0 }, &key, &old));
	CHECK_INT(0, tickets_current(&key));
	CHECK(!tickets_find((const uint8_t[16]){ 0 }, &key, &old));
}

int main(void)
{
	RUN(a_key_opens_what_it_closed_for_two_lives);
	RUN(a_successor_opens_what_was_closed_before);
	RUN(keys_of_files_go_before_our_own);
	RUN(a_name_of_nobody_opens_nothing);
	DONE();
}
