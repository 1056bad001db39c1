/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/http.h"
#include "tests/unit/t.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct text text(const char *s)
{
	return text_of(s, strlen(s));
}

/* Each has its place in the table: four that meet in one place are the most. */
static void every_field_is_found_by_its_name(void)
{
	for (unsigned id = 1; id < HTTP_FIELD_IDS; id++) {
		struct text name = http_field_name(id);

		CHECK(name.n > 0 && http_is_token(name));
		CHECK_INT(id, http_field_id(name.p, name.n));
		if (t_failed)
			printf("# case: %s\n", name.p);
	}
}

static void a_name_that_is_nearly_one_is_another(void)
{
	char name[64];

	for (unsigned id = 1; id < HTTP_FIELD_IDS; id++) {
		struct text t = http_field_name(id);
		enum http_field_id shorter = http_field_id(t.p, t.n - 1);

		CHECK(shorter != id);
		memcpy(name, t.p, t.n);
		name[t.n] = 's';
		CHECK_INT(HTTP_OTHER_FIELD, http_field_id(name, t.n + 1));
		for (size_t i = 0; i < t.n; i++) {
			name[i] ^= 0x20; /* upper case, or another character */
			CHECK_INT(HTTP_OTHER_FIELD, http_field_id(name, t.n));
			name[i] ^= 0x20;
		}
	}
	CHECK_INT(HTTP_OTHER_FIELD, http_field_id("", 0));
	CHECK_INT(HTTP_OTHER_FIELD, http_field_id("x", 1));
	CHECK_INT(0, http_field_name(HTTP_OTHER_FIELD).n);
}

static void every_method_is_found_by_its_name_and_case_counts(void)
{
	for (unsigned m = 1; m < HTTP_METHOD_IDS; m++)
		CHECK_INT(m, http_method(text(http_method_name(m))));
	CHECK_INT(HTTP_METHOD_OTHER, http_method(TEXT("get")));
	CHECK_INT(HTTP_METHOD_OTHER, http_method(TEXT("Get")));
	CHECK_INT(HTTP_METHOD_OTHER, http_method(TEXT("GETS")));
	CHECK_INT(HTTP_METHOD_OTHER, http_method(TEXT("GE")));
	CHECK_INT(HTTP_METHOD_OTHER, http_method(TEXT("")));
	CHECK_INT(HTTP_METHOD_OTHER, http_method(TEXT("OTHER")));
}

static void methods_are_safe_and_idempotent_as_9110_has_them(void)
{
	static const struct {
		enum http_method m;
		bool safe, idempotent;
	} cases[] = {
		{ HTTP_METHOD_GET, true, true },
		{ HTTP_METHOD_HEAD, true, true },
		{ HTTP_METHOD_OPTIONS, true, true },
		{ HTTP_METHOD_TRACE, true, true },
		{ HTTP_METHOD_PUT, false, true },
		{ HTTP_METHOD_DELETE, false, true },
		{ HTTP_METHOD_POST, false, false },
		{ HTTP_METHOD_PATCH, false, false },
		{ HTTP_METHOD_CONNECT, false, false },
		{ HTTP_METHOD_OTHER, false, false },
	};

	CHECK_INT(HTTP_METHOD_IDS, COUNT(cases));
	for (size_t i = 0; i < COUNT(cases); i++) {
		CHECK_INT(cases[i].safe, http_is_safe(cases[i].m));
		CHECK_INT(cases[i].idempotent, http_is_idempotent(cases[i].m));
	}
}

static void every_fault_has_a_status_of_an_error(void)
{
	CHECK_INT(0, http_fault_status(HTTP_FINE));
	for (unsigned f = HTTP_FINE + 1; f < HTTP_FAULT_MAX; f++)
		CHECK(http_fault_status(f) >= 400 && http_fault_status(f) <= 599);
	CHECK_INT(505, http_fault_status(HTTP_FAULT_VERSION));
	CHECK_INT(414, http_fault_status(HTTP_FAULT_TARGET_TOO_LONG));
	CHECK_INT(431, http_fault_status(HTTP_FAULT_HEAD_TOO_LARGE));
	CHECK_INT(431, http_fault_status(HTTP_FAULT_FIELDS_TOO_MANY));
	CHECK_INT(501, http_fault_status(HTTP_FAULT_CODING_UNKNOWN));
	CHECK_INT(417, http_fault_status(HTTP_FAULT_EXPECTATION));
}

/* --- characters --- */

static void characters_of_a_token_are_those_of_9110(void)
{
	for (int c = 0; c < 256; c++) {
		char ch = (char)c;
		bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			     (c >= 'A' && c <= 'Z');
		bool want = alnum || (c && strchr("!#$%&'*+-.^_`|~", c));

		CHECK_INT(want, http_is_token(text_of(&ch, 1)));
		if (t_failed)
			printf("# case: %#x\n", (unsigned)c);
	}
	CHECK(!http_is_token(TEXT("")));
	CHECK(!http_is_token(TEXT("a b")));
	CHECK(!http_is_token(TEXT("a\0b")));
}

static void characters_of_a_value_are_those_of_9110(void)
{
	for (int c = 0; c < 256; c++) {
		char ch = (char)c;
		bool want = c == '\t' || (c >= ' ' && c != 0x7f);

		CHECK_INT(want, http_is_value(text_of(&ch, 1)));
	}
	CHECK(http_is_value(TEXT("")));
	CHECK(!http_is_value(TEXT("a\r\nb: c")));
	CHECK(!http_is_value(TEXT("a\0b")));
}

static void a_target_is_visible_ascii_without_a_fragment(void)
{
	for (int c = 0; c < 256; c++)
		CHECK_INT(c > ' ' && c < 0x7f && c != '#',
			  !!(http_chars[c] & HTTP_IS_PATH));
}

/* --- authorities --- */

static const char *const good_authorities[] = {
	"a",
	"a.example",
	"A.Example.",
	"a-b_c~d.e",
	"a:80",
	"a:0",
	"a:65535",
	"a:", /* RFC 3986 3.2.3: the port may be empty */
	"192.0.2.1",
	"192.0.2.1:8080",
	"[::]",
	"[::1]",
	"[::1]:443",
	"[2001:db8::1]",
	"[2001:DB8:0:0:0:0:0:1]:65535",
	"[::ffff:192.0.2.1]",
	"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]",
};

static const char *const bad_authorities[] = {
	"",
	":",
	":80",
	"u@a",
	"u:p@a",
	"u:p@a:80",
	"a,b",
	"a, b",
	"a/b",
	"a/",
	"/",
	"a b",
	" a",
	"a ",
	"a\tb",
	"a\\b",
	"a?b",
	"a#b",
	"a%2eb",
	"a:65536",
	"a:99999",
	"a:100000",
	"a:000080",
	"a:4294967376",
	"a:-1",
	"a:+80",
	"a:0x50",
	"a: 80",
	"a:80 ",
	"a:80:80",
	"a::80",
	"a:80,b",
	"::1",
	"2001:db8::1",
	"[",
	"]",
	"[]",
	"[]:80",
	"[a]",
	"[1]",
	"[::1",
	"::1]",
	"[::1]80",
	"[::1]a",
	"[::1]:65536",
	"[::1]:a",
	"[::1]]",
	"[[::1]]",
	"[::1][::1]",
	"[::g]",
	"[:::]",
	"[:]",
	"[1:2:3:4:5:6:7]",
	"[1:2:3:4:5:6:7:8:9]",
	"[12345::]",
	"[::1::]",
	"[::192.0.2.256]",
	"[192.0.2.1]",
	"[1.2:3:4::]",
	"[fe80::1%eth0]",
	"[fe80::1%25eth0]",
	"[v1.a]",
	"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555]",
	"\xc3\xa4.example",
};

static void authorities_are_a_host_and_a_port(void)
{
	for (size_t i = 0; i < COUNT(good_authorities); i++) {
		CHECK(http_is_authority(text(good_authorities[i])));
		if (t_failed)
			printf("# case: %s\n", good_authorities[i]);
	}
	for (size_t i = 0; i < COUNT(bad_authorities); i++) {
		CHECK(!http_is_authority(text(bad_authorities[i])));
		if (t_failed)
			printf("# case: '%s'\n", bad_authorities[i]);
	}
	CHECK(!http_is_authority(TEXT("a\0b")));
	CHECK(!http_is_authority(TEXT("a\0")));
	CHECK(!http_is_authority(TEXT("[::1\0]")));
	CHECK(!http_is_authority(TEXT("a:8\0")));
}

static void a_host_has_255_bytes_at_most(void)
{
	char host[262];

	memset(host, 'a', sizeof(host));
	CHECK(http_is_authority(text_of(host, 255)));
	CHECK(!http_is_authority(text_of(host, 256)));
	memcpy(host + 255, ":65535", 6);
	CHECK(http_is_authority(text_of(host, 261)));
}

static void a_host_is_what_is_before_the_port(void)
{
	static const char *const cases[][2] = {
		{ "a", "a" },
		{ "a:80", "a" },
		{ "a:", "a" },
		{ "[::1]", "[::1]" },
		{ "[::1]:80", "[::1]" },
		{ "", "" },
		{ "192.0.2.1:1", "192.0.2.1" },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		CHECK(text_is(text(cases[i][1]), http_host(text(cases[i][0]))));
}

/* --- texts --- */

static void a_text_is_cut_at_each_comma_and_trimmed(void)
{
	static const char *const want[] = { "a", "b c", "", "", "d\t.", "" };
	struct text rest = TEXT(" a,\tb c \t,, ,d\t. , ");

	for (size_t i = 0; i < COUNT(want); i++) {
		struct text t = text_cut(&rest, ',');

		CHECK(text_is(text(want[i]), t));
		if (t_failed)
			printf("# case: %zu, '%.*s'\n", i, (int)t.n, t.p);
	}
	CHECK_INT(0, rest.n);
	CHECK_INT(0, text_cut(&rest, ',').n);
}

static void a_cut_text_ends_with_its_rest(void)
{
	struct text one = TEXT("abc"), last = TEXT("a,"), none = TEXT("");

	CHECK(text_is(TEXT("abc"), text_cut(&one, ',')) && !one.n);
	CHECK(text_is(TEXT("a"), text_cut(&last, ',')) && !last.n);
	CHECK_INT(0, text_cut(&none, ',').n);
	CHECK(text_is(TEXT("a;b"), text_cut(&(struct text){ "a;b", 3 }, ',')));
	CHECK(text_is(TEXT("a"), text_cut(&(struct text){ "a;b", 3 }, ';')));
}

static void texts_are_equal_by_all_their_bytes(void)
{
	CHECK(text_is(TEXT(""), TEXT("")));
	CHECK(text_is(TEXT("a\0b"), TEXT("a\0b")) &&
	      !text_is(TEXT("a\0b"), TEXT("a\0c")));
	CHECK(!text_is(TEXT("a"), TEXT("A")) && text_is_nocase(TEXT("a"), TEXT("A")));
	CHECK(!text_is_nocase(TEXT("a"), TEXT("ab")) && !text_is(TEXT("ab"), TEXT("a")));
	CHECK(!text_is_nocase(TEXT("a@"), TEXT("a`"))); /* 0x20 apart, and no letters */
}

/* --- heads --- */

static struct http_head head;

static void add(const char *name, const char *value)
{
	enum http_field_id id = http_field_id(name, strlen(name));

	CHECK(http_add(&head, id, text(name), text(value)));
}

static bool is_hop(const char *name)
{
	for (unsigned i = 0; i < head.n; i++) {
		if (text_is(text(name),
			    text_of(head.fields[i].name, head.fields[i].name_n)))
			return head.fields[i].hop;
	}
	CHECK(!"there is such a field");
	return false;
}

static void fields_of_one_connection_are_marked(void)
{
	static const char *const hops[] = {
		"connection",
		"keep-alive",
		"proxy-connection",
		"proxy-authenticate",
		"te",
		"proxy-authorization",
		"upgrade",
		"transfer-encoding",
		"http2-settings",
	};

	head.n = 0;
	for (size_t i = 0; i < COUNT(hops); i++)
		add(hops[i], "x");
	add("accept", "x");
	add("trailer", "x");
	add("x", "y");
	CHECK_INT(HTTP_FINE, http_mark_hops(&head));
	for (size_t i = 0; i < COUNT(hops); i++)
		CHECK(is_hop(hops[i]));
	CHECK(!is_hop("accept") && !is_hop("trailer"));
	CHECK(is_hop("x")); /* the value of Connection above */
}

static void what_connection_names_is_of_the_connection(void)
{
	head.n = 0;
	add("x-a", "1");
	add("connection", "close, X-A ,, keep-alive,x-b");
	add("x-b", "2");
	add("x-b", "3");
	add("connection", "x-c");
	add("x-c", "4");
	add("x-d", "5");
	add("close", "6");
	add("accept", "x-d"); /* only Connection nominates */
	CHECK_INT(HTTP_FINE, http_mark_hops(&head));
	CHECK(is_hop("x-a") && is_hop("x-b") && is_hop("x-c"));
	CHECK(head.fields[3].hop);
	CHECK(!is_hop("x-d") && !is_hop("close"));
	head.fields[1].value_n = 0; /* marks are of this reading, not of the last */
	CHECK_INT(HTTP_FINE, http_mark_hops(&head));
	CHECK(!is_hop("x-a") && !is_hop("x-b") && is_hop("x-c"));
}

static void who_nominates_too_many_is_refused(void)
{
	static char names[8 * (HTTP_NOMINATED_MAX + 2)];

	for (int more = 0; more < 2; more++) {
		names[0] = '\0';
		for (int i = 0; i < HTTP_NOMINATED_MAX + more; i++)
			(void)snprintf(names + strlen(names),
				       sizeof(names) - strlen(names), "%sx%d",
				       i ? "," : "close, ", i);
		head.n = 0;
		add("connection", names);
		CHECK_INT(more ? HTTP_FAULT_FIELDS_TOO_MANY : HTTP_FINE,
			  http_mark_hops(&head));
	}
}

static void what_others_rely_on_cannot_be_nominated_away(void)
{
	static const char *const kept[] = {
		"host",
		"cookie",
		"authorization",
		"content-length",
		"content-type",
		"forwarded",
		"x-forwarded-for",
		"x-forwarded-host",
		"x-forwarded-port",
		"x-forwarded-proto",
		"x-real-ip",
	};

	for (size_t i = 0; i < COUNT(kept); i++) {
		head.n = 0;
		add("connection", kept[i]);
		add(kept[i], "x");
		CHECK_INT(HTTP_FINE, http_mark_hops(&head));
		CHECK(is_hop("connection") && !is_hop(kept[i]));
		if (t_failed)
			printf("# case: %s\n", kept[i]);
	}
}

static void fields_are_found_added_and_removed(void)
{
	int at = -1;

	head.n = 0;
	add("accept", "1");
	add("via", "2");
	add("accept", "3");
	CHECK(http_find(&head, HTTP_ACCEPT, &at) == &head.fields[0] && at == 0);
	CHECK(http_find(&head, HTTP_ACCEPT, &at) == &head.fields[2] && at == 2);
	CHECK(!http_find(&head, HTTP_ACCEPT, &at) && at == 2);
	http_remove(&head, HTTP_ACCEPT);
	CHECK_INT(1, head.n);
	CHECK(text_is(TEXT("2"), http_value(&head.fields[0])));
	http_remove(&head, HTTP_ACCEPT);
	CHECK_INT(1, head.n);
	while (head.n < HTTP_FIELDS_MAX)
		add("x", "y");
	CHECK(!http_add(&head, HTTP_OTHER_FIELD, TEXT("x"), TEXT("y")));
	CHECK_INT(HTTP_FIELDS_MAX, head.n);
}

static void a_known_field_is_added_by_its_own_name(void)
{
	head.n = 0;
	CHECK(http_add(&head, HTTP_VIA, TEXT(""), TEXT("x")));
	CHECK(text_is(TEXT("via"), text_of(head.fields[0].name, head.fields[0].name_n)));
}

static void a_copy_has_what_is_used(void)
{
	static struct http_head copy;

	head = (struct http_head){ .status = 204, .length = 7, .path = TEXT("/a") };
	add("accept", "1");
	add("x", "2");
	memset(&copy, 0xee, sizeof(copy));
	http_head_copy(&copy, &head);
	CHECK_INT(0, memcmp(&copy, &head,
			    offsetof(struct http_head, fields) +
				    2 * sizeof(struct http_field)));
	CHECK_INT(0xee, ((uint8_t *)&copy.fields[2])[0]);
}

static void credentials_of_one_scheme(void)
{
	static const struct {
		const char *said, *are;
	} all[] = {
		{ "Basic abc", "abc" }, { "bAsIc   abc", "abc" }, { "basic a b ", "a b" },
		{ "Basic", "" },	{ "Basic ", "" },	  { "", "" },
		{ "Bearer abc", "" },	{ "Basicabc", "" },	  { "Basics abc", "" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct http_head h = { .n = 0 };

		CHECK(!http_credentials(&h, TEXT("basic")).n);
		CHECK(http_add(&h, HTTP_AUTHORIZATION, TEXT(""),
			       text_of_string(all[i].said)));
		CHECK(text_is(http_credentials(&h, TEXT("basic")),
			      text_of_string(all[i].are)));
		CHECK(http_add(&h, HTTP_AUTHORIZATION, TEXT(""), TEXT("Basic abc")));
		CHECK(!http_credentials(&h, TEXT("basic")).n);
	}
}

int main(void)
{
	RUN(credentials_of_one_scheme);
	RUN(every_field_is_found_by_its_name);
	RUN(a_name_that_is_nearly_one_is_another);
	RUN(every_method_is_found_by_its_name_and_case_counts);
	RUN(methods_are_safe_and_idempotent_as_9110_has_them);
	RUN(every_fault_has_a_status_of_an_error);
	RUN(characters_of_a_token_are_those_of_9110);
	RUN(characters_of_a_value_are_those_of_9110);
	RUN(a_target_is_visible_ascii_without_a_fragment);
	RUN(authorities_are_a_host_and_a_port);
	RUN(a_host_has_255_bytes_at_most);
	RUN(a_host_is_what_is_before_the_port);
	RUN(a_text_is_cut_at_each_comma_and_trimmed);
	RUN(a_cut_text_ends_with_its_rest);
	RUN(texts_are_equal_by_all_their_bytes);
	RUN(fields_of_one_connection_are_marked);
	RUN(what_connection_names_is_of_the_connection);
	RUN(who_nominates_too_many_is_refused);
	RUN(what_others_rely_on_cannot_be_nominated_away);
	RUN(fields_are_found_added_and_removed);
	RUN(a_known_field_is_added_by_its_own_name);
	RUN(a_copy_has_what_is_used);
	DONE();
}
