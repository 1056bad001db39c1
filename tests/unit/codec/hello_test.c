/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#include "codec/hello.h"
#include "tests/unit/t.h"

#define MAX 65536

/* A hello of records; `extra` bytes of an unknown extension stand before the name. */
struct made {
	uint8_t bytes[2 * MAX];
	size_t len;
};

static void put16(uint8_t **p, size_t v)
{
	*(*p)++ = (uint8_t)(v >> 8);
	*(*p)++ = (uint8_t)v;
}

static size_t make_message(uint8_t *buf, const char *sni, size_t extra)
{
	uint8_t *p = buf, *length, *extensions;
	size_t n = sni ? strlen(sni) : 0;

	*p++ = 1; /* client_hello */
	length = p;
	p += 3;
	put16(&p, 0x0303);
	memset(p, 0xaa, 32); /* random */
	p += 32;
	*p++ = 2; /* session id */
	put16(&p, 0xbeef);
	put16(&p, 4); /* cipher suites */
	put16(&p, 0x1301);
	put16(&p, 0x1302);
	*p++ = 1; /* compression methods */
	*p++ = 0;
	extensions = p;
	p += 2;
	put16(&p, 0x0a0a); /* GREASE */
	put16(&p, 0);
	while (extra > 0) { /* padding in extensions of at most 16000 bytes */
		size_t part = extra > 16000 ? 16000 : extra;

		put16(&p, 21);
		put16(&p, part);
		memset(p, 0, part);
		p += part;
		extra -= part;
	}
	if (sni) {
		put16(&p, 0); /* server_name */
		put16(&p, n + 5);
		put16(&p, n + 3);
		*p++ = 0; /* host_name */
		put16(&p, n);
		memcpy(p, sni, n);
		p += n;
	}
	extensions[0] = (uint8_t)((size_t)(p - extensions - 2) >> 8);
	extensions[1] = (uint8_t)(p - extensions - 2);
	length[0] = (uint8_t)((size_t)(p - length - 3) >> 16);
	length[1] = (uint8_t)((size_t)(p - length - 3) >> 8);
	length[2] = (uint8_t)(p - length - 3);
	return (size_t)(p - buf);
}

/* Cut a message into a first record of `first` bytes and others of `rest`. */
static void cut(struct made *m, const uint8_t *message, size_t len, size_t first,
		size_t rest)
{
	size_t n = first;

	m->len = 0;
	while (len > 0) {
		uint8_t *p = m->bytes + m->len;

		if (n > len)
			n = len;
		*p++ = 22;
		put16(&p, 0x0301);
		put16(&p, n);
		memcpy(p, message, n);
		m->len += 5 + n;
		message += n;
		len -= n;
		n = rest;
	}
}

static struct made made;
static uint8_t message[MAX + 1024];

static void build(const char *sni, size_t extra, size_t first, size_t rest)
{
	size_t len = make_message(message, sni, extra);

	cut(&made, message, len, first, rest);
}

static void names_are_found_however_the_hello_is_cut(void)
{
	static const struct {
		size_t extra, first, rest;
	} cuts[] = { { 0, 16384, 16384 },
		     { 1400, 16384, 16384 },
		     { 1400, 1000, 16384 },
		     { 1400, 512, 512 },
		     { 1400, 20, 16384 },
		     { 1400, 1, 16384 },
		     { 0, 1, 1 },
		     { 200, 1, 1 },
		     { 12000, 16384, 16384 },
		     { 17000, 16384, 16384 },
		     { 40000, 16384, 16384 },
		     { 60000, 16384, 999 } };

	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		struct hello_scan scan = { 0 };
		struct hello h = { 0 };

		build("Git.Example.ORG", cuts[i].extra, cuts[i].first, cuts[i].rest);
		CHECK_INT(made.len, hello_scan(&scan, made.bytes, made.len, MAX, &h));
		CHECK(h.has_sni);
		CHECK_STR("git.example.org", h.sni);
		if (t_failed)
			printf("# case: %zu\n", i);
	}
}

static void every_cut_inside_the_name_is_right(void)
{
	size_t len = make_message(message, "git.example.org", 0);

	for (size_t first = 1; first < len; first++) {
		struct hello_scan scan = { 0 };
		struct hello h = { 0 };

		cut(&made, message, len, first, 16384);
		CHECK_INT(made.len, hello_scan(&scan, made.bytes, made.len, MAX, &h));
		CHECK_STR("git.example.org", h.sni);
	}
}

static void every_prefix_needs_more(void)
{
	static const size_t records[] = { 16384, 100, 7, 1 };

	for (size_t i = 0; i < 4; i++) {
		struct hello_scan fed = { 0 };
		struct hello h;

		build("git.example.org", 300, records[i], records[i]);
		for (size_t n = 0; n < made.len; n++) {
			struct hello_scan fresh = { 0 };

			/* the bytes beyond are not to be looked at: give it its own copy
			 */
			uint8_t *copy = malloc(n + 1);

			memcpy(copy, made.bytes, n);
			CHECK_INT(-EAGAIN, hello_scan(&fresh, copy, n, MAX, &h));
			CHECK_INT(-EAGAIN, hello_scan(&fed, copy, n, MAX, &h));
			free(copy);
			if (t_failed) {
				printf("# records of %zu, %zu bytes\n", records[i], n);
				return;
			}
		}
		CHECK_INT(made.len, hello_scan(&fed, made.bytes, made.len, MAX, &h));
		CHECK_STR("git.example.org", h.sni);
	}
}

static void bytes_behind_the_hello_are_left(void)
{
	struct hello_scan scan = { 0 };
	struct hello h = { 0 };

	build("a.b", 0, 16384, 16384);
	memset(made.bytes + made.len, 0x17, 100);
	CHECK_INT(made.len, hello_scan(&scan, made.bytes, made.len + 100, MAX, &h));
}

static void no_name_is_no_error(void)
{
	struct hello_scan scan = { 0 };
	struct hello h = { 0 };

	build(NULL, 10, 16384, 16384);
	CHECK_INT(made.len, hello_scan(&scan, made.bytes, made.len, MAX, &h));
	CHECK(!h.has_sni);
}

static void what_is_no_hello_is_told_at_the_first_wrong_byte(void)
{
	static const struct {
		const char *what;
		const char *bytes;
		size_t len;
	} bad[] = {
		{ "HTTP", "G", 1 },
		{ "SSLv2", "\x80", 1 },
		{ "alert record", "\x15", 1 },
		{ "version 2", "\x16\x02", 2 },
		{ "empty record", "\x16\x03\x01\x00\x00", 5 },
		{ "record over 2^14", "\x16\x03\x01\x40\x01", 5 },
		{ "server hello", "\x16\x03\x01\x00\x10\x02", 6 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct hello_scan scan = { 0 };
		struct hello h = { 0 };

		CHECK_INT(-EPROTO, hello_scan(&scan, (const uint8_t *)bad[i].bytes,
					      bad[i].len, MAX, &h));
		if (t_failed)
			printf("# case: %s\n", bad[i].what);
	}
}

static ssize_t scan_patched(size_t offset, uint8_t value)
{
	struct hello_scan scan = { 0 };
	struct hello h = { 0 };

	build("git.example.org", 0, 16384, 16384);
	made.bytes[offset] = value;
	return hello_scan(&scan, made.bytes, made.len, MAX, &h);
}

static void malformed_hellos_are_rejected(void)
{
	size_t name = 0, len = make_message(message, "git.example.org", 0);

	while (memcmp(message + name, "git.", 4) != 0 && name < len)
		name++;
	name += 5;				       /* the record header */
	CHECK_INT(-EBADMSG, scan_patched(5 + 4, 2));   /* client version 2.x */
	CHECK_INT(-EBADMSG, scan_patched(5 + 38, 33)); /* session id too long */
	CHECK_INT(-EBADMSG, scan_patched(5 + 42, 3));  /* odd cipher suites */
	CHECK_INT(-EBADMSG, scan_patched(5 + 47, 0));  /* no compression method */
	CHECK_INT(-EBADMSG, scan_patched(name, 0));    /* NUL in the name */
	CHECK_INT(-EBADMSG, scan_patched(name, ' '));
	CHECK_INT(-EBADMSG, scan_patched(name, 0xc3));	 /* not ASCII */
	CHECK_INT(-EBADMSG, scan_patched(name - 1, 16)); /* name longer than its list */
	CHECK_INT(-EBADMSG, scan_patched(name - 1, 0));	 /* empty name */
	CHECK_INT(-EBADMSG,
		  scan_patched(name - 4, 17)); /* list longer than the extension */
	CHECK_INT(-EBADMSG, scan_patched(name - 6, 21)); /* extension beyond the hello */
}

static void two_names_are_rejected(void)
{
	size_t len = make_message(message, "a.example", 0);
	struct hello_scan scan = { 0 };
	struct hello h = { 0 };
	size_t ext = 9 + 9; /* bytes of the server_name extension */

	/* the same extension once more, lengths mended */
	memcpy(message + len, message + len - ext, ext);
	message[3] = (uint8_t)(len + ext - 4);
	message[50] = (uint8_t)(message[50] + ext);
	cut(&made, message, len + ext, 16384, 16384);
	CHECK_INT(-EBADMSG, hello_scan(&scan, made.bytes, made.len, MAX, &h));
}

static void another_record_type_in_between_is_rejected(void)
{
	struct hello_scan scan = { 0 };
	struct hello h = { 0 };

	build("git.example.org", 0, 20, 16384);
	made.bytes[25] = 23;
	CHECK_INT(-EBADMSG, hello_scan(&scan, made.bytes, made.len, MAX, &h));
}

static void the_limit_is_kept_to_the_byte(void)
{
	struct hello_scan exact = { 0 }, over = { 0 };
	struct hello h;

	build("git.example.org", 3000, 16384, 16384);
	CHECK_INT(made.len, hello_scan(&exact, made.bytes, made.len, made.len, &h));
	CHECK_INT(-EMSGSIZE, hello_scan(&over, made.bytes, 9, made.len - 1, &h));
}

static void a_trailing_dot_is_dropped(void)
{
	struct hello_scan scan = { 0 };
	struct hello h = { 0 };

	build("example.org.", 0, 16384, 16384);
	CHECK_INT(made.len, hello_scan(&scan, made.bytes, made.len, MAX, &h));
	CHECK_STR("example.org", h.sni);
}

/* Extensions behind the hello that was made, the lengths mended. */
static ssize_t scan_with(struct hello *h, const uint8_t *extension, size_t n)
{
	struct hello_scan scan = { 0 };
	size_t len = make_message(message, "a.example", 0);

	memcpy(message + len, extension, n);
	message[3] = (uint8_t)(len + n - 4);
	message[50] = (uint8_t)(message[50] + n);
	cut(&made, message, len + n, 30, 16384);
	return hello_scan(&scan, made.bytes, made.len, MAX, h);
}

#define SCAN_WITH(h, bytes) scan_with(h, (const uint8_t *)(bytes), sizeof(bytes) - 1)

static void protocols_and_versions_are_read(void)
{
	struct hello h = { 0 };

	CHECK(SCAN_WITH(&h, "\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1"
			    "\0\x2b\0\x07\x06\x7a\x7a\x03\x04\x03\x03") > 0);
	CHECK(hello_offers(&h, "h2") && hello_offers(&h, "http/1.1"));
	CHECK(!hello_offers(&h, "h") && !hello_offers(&h, "http/1.0"));
	CHECK_INT(0x0304, h.version);
	CHECK(!h.ech_outer);
}

static void an_encrypted_hello_has_an_outer_name(void)
{
	struct hello h = { 0 };

	CHECK(SCAN_WITH(&h, "\xfe\x0d\0\x03\0\x01\x02") > 0);
	CHECK(h.ech_outer);
	CHECK_STR("a.example", h.sni);
	CHECK_INT(0x0303, h.version);
}

static void malformed_extensions_are_rejected(void)
{
	struct hello h[5] = { 0 };

	CHECK_INT(-EBADMSG,
		  SCAN_WITH(&h[0], "\0\x10\0\x04\0\x02\x02h")); /* name too long */
	CHECK_INT(-EBADMSG, SCAN_WITH(&h[1], "\0\x10\0\x04\0\x02\0h")); /* empty name */
	CHECK_INT(-EBADMSG, SCAN_WITH(&h[2], "\0\x2b\0\x04\x03\x03\x04\x03")); /* odd */
	CHECK_INT(-EBADMSG, SCAN_WITH(&h[3], "\xfe\x0d\0\0"));
	CHECK_INT(-EBADMSG, SCAN_WITH(&h[4], "\0\x10\0\x05\0\x03\x02h2"
					     "\0\x10\0\x05\0\x03\x02h2")); /* twice */
}

int main(void)
{
	RUN(names_are_found_however_the_hello_is_cut);
	RUN(every_cut_inside_the_name_is_right);
	RUN(every_prefix_needs_more);
	RUN(bytes_behind_the_hello_are_left);
	RUN(no_name_is_no_error);
	RUN(what_is_no_hello_is_told_at_the_first_wrong_byte);
	RUN(malformed_hellos_are_rejected);
	RUN(two_names_are_rejected);
	RUN(another_record_type_in_between_is_rejected);
	RUN(the_limit_is_kept_to_the_byte);
	RUN(a_trailing_dot_is_dropped);
	RUN(protocols_and_versions_are_read);
	RUN(an_encrypted_hello_has_an_outer_name);
	RUN(malformed_extensions_are_rejected);
	DONE();
}
