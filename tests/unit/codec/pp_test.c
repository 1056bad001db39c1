/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <sys/types.h>

#include "codec/pp.h"
#include "tests/unit/t.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4                                                                           \
	"\xc0\x00\x02\x01\xc6\x33\x64\x02\x04\xd2\x01\xbb" /* 192.0.2.1 198.51.100.2 \
							      1234 443 */
#define V6                                                                       \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\x01\x0d\xb8\0\0\0\0\0\0\0" \
	"\0\0\0\0\2\x04\xd2\x01\xbb"

struct vector {
	const char *what;
	const char *bytes;
	size_t len;
	const char *src; /* NULL: not known */
	const char *dst;
	bool local;
};

#define VEC(what, bytes, src, dst, local)                       \
	{                                                       \
		what, bytes, sizeof(bytes) - 1, src, dst, local \
	}

static enum pp_fault fault;

static const struct vector good[] = {
	VEC("v1 TCP4", "PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\n", "192.0.2.1:1234",
	    "198.51.100.2:443", false),
	VEC("v1 TCP6", "PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n",
	    "[2001:db8::1]:1234", "[2001:db8::2]:443", false),
	VEC("v1 v4-mapped TCP6",
	    "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1234 443\r\n",
	    "192.0.2.1:1234", "198.51.100.2:443", false),
	VEC("v1 UNKNOWN", "PROXY UNKNOWN\r\n", NULL, NULL, false),
	VEC("v1 UNKNOWN with a rest to ignore", "PROXY UNKNOWN ff 0 x 1\r\n", NULL, NULL,
	    false),
	VEC("v1 port 0 and 65535", "PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
	    "0.0.0.0:0", "255.255.255.255:65535", false),
	VEC("v1 the longest line",
	    "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
	    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", false),
	VEC("v2 IPv4", SIG "\x21\x11\x00\x0c" V4, "192.0.2.1:1234", "198.51.100.2:443",
	    false),
	VEC("v2 IPv6", SIG "\x21\x21\x00\x24" V6, "[2001:db8::1]:1234",
	    "[2001:db8::2]:443", false),
	VEC("v2 datagram family", SIG "\x21\x12\x00\x0c" V4, "192.0.2.1:1234",
	    "198.51.100.2:443", false),
	VEC("v2 LOCAL without addresses", SIG "\x20\x00\x00\x00", NULL, NULL, true),
	VEC("v2 LOCAL with addresses to ignore", SIG "\x20\x11\x00\x0c" V4, NULL, NULL,
	    true),
	VEC("v2 LOCAL with too few of them", SIG "\x20\x11\x00\x02xy", NULL, NULL, true),
	VEC("v2 UNSPEC", SIG "\x21\x00\x00\x00", NULL, NULL, false),
	VEC("v2 UNSPEC with bytes to ignore", SIG "\x21\x00\x00\x02xy", NULL, NULL,
	    false),
	VEC("v2 with two TLVs of one type",
	    SIG "\x21\x11\x00\x14" V4 "\x04\0\1a\x04\0\1b", "192.0.2.1:1234",
	    "198.51.100.2:443", false),
	VEC("v2 with an empty TLV", SIG "\x21\x11\x00\x0f" V4 "\xee\0\0",
	    "192.0.2.1:1234", "198.51.100.2:443", false),
};

static void good_headers_decode(void)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const struct vector *v = &good[i];
		struct pp_info info = { 0 };
		char text[ADDR_STR_MAX];

		CHECK_INT(v->len,
			  pp_decode((const uint8_t *)v->bytes, v->len, &info, &fault));
		CHECK_INT(v->src != NULL, info.known);
		CHECK_INT(v->local, info.local);
		if (v->src && info.known) {
			CHECK_STR(v->src, addr_format(&info.src, text));
			CHECK_STR(v->dst, addr_format(&info.dst, text));
		}
		if (t_failed)
			printf("# case: %s\n", v->what);
	}
}

static void every_prefix_needs_more(void)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		for (size_t n = 0; n < good[i].len; n++) {
			struct pp_info info = { .version = 77 };

			CHECK_INT(-EAGAIN, pp_decode((const uint8_t *)good[i].bytes, n,
						     &info, &fault));
			CHECK_INT(77, info.version);
			if (t_failed) {
				printf("# case: %s, %zu bytes\n", good[i].what, n);
				return;
			}
		}
	}
}

static void bytes_behind_a_header_are_left(void)
{
	char buf[256];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct pp_info info;

		memcpy(buf, good[i].bytes, good[i].len);
		memset(buf + good[i].len, 'x', 20);
		CHECK_INT(good[i].len,
			  pp_decode((uint8_t *)buf, good[i].len + 20, &info, &fault));
	}
}

static void bad_headers_are_rejected_without_touching_ret(void)
{
	static const struct {
		const char *what;
		const char *bytes;
		size_t len;
		enum pp_fault fault;
	} bad[] = {
#define BAD(why, what, bytes) { what, bytes, sizeof(bytes) - 1, PP_FAULT_##why }
		BAD(SIGNATURE, "first byte of a TLS hello", "\x16"),
		BAD(SIGNATURE, "HTTP", "GET"),
		BAD(SIGNATURE, "lower case", "proxy"),
		BAD(V1_LINE, "v1 unknown protocol",
		    "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"),
		BAD(V1_LINE, "v1 v6 address in TCP4", "PROXY TCP4 ::1 ::2 1 2\r\n"),
		BAD(V1_LINE, "v1 v4 address in TCP6",
		    "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"),
		BAD(V1_LINE, "v1 leading zero in a port",
		    "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"),
		BAD(V1_LINE, "v1 port 65536", "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"),
		BAD(V1_LINE, "v1 negative port", "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n"),
		BAD(V1_LINE, "v1 two spaces", "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
		BAD(V1_LINE, "v1 space at the end",
		    "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"),
		BAD(V1_LINE, "v1 missing port", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"),
		BAD(V1_LINE, "v1 LF without CR", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"),
		BAD(V1_LINE, "v1 CR without LF", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx"),
		BAD(V1_LINE, "v1 NUL in an address",
		    "PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"),
		BAD(V1_LINE, "v1 octal address", "PROXY TCP4 010.2.3.4 1.2.3.4 1 2\r\n"),
		BAD(V1_LINE, "v1 only a line end", "PROXY \r\n"),
		BAD(V2_VERSION, "v2 version 1", SIG "\x11\x11\x00\x0c"),
		BAD(V2_COMMAND, "v2 command 2", SIG "\x22\x11\x00\x0c"),
		BAD(V2_FAMILY, "v2 family 4", SIG "\x21\x41\x00\x0c"),
		BAD(V2_FAMILY, "v2 transport 3", SIG "\x21\x13\x00\x0c"),
		BAD(V2_ADDRESS, "v2 11 address bytes",
		    SIG "\x21\x11\x00\x0b"
			"12345678901"),
		BAD(V2_ADDRESS, "v2 35 address bytes", SIG "\x21\x21\x00\x23"),
		BAD(V2_TLV, "v2 half a TLV", SIG "\x21\x11\x00\x0e" V4 "\x04\0"),
		BAD(V2_TLV, "v2 TLV beyond the end",
		    SIG "\x21\x11\x00\x10" V4 "\x04\0\2a"),
		BAD(V2_LENGTH, "v2 longer than we take", SIG "\x21\x11\xff\xff"),
		BAD(V2_TLV, "v2 checksum of 3 bytes",
		    SIG "\x21\x11\x00\x12" V4 "\x03\0\3abc"),
		BAD(V2_CHECKSUM, "v2 wrong checksum",
		    SIG "\x21\x11\x00\x13" V4 "\x03\0\4abcd"),
#undef BAD
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct pp_info info = { .version = 77 };

		CHECK_INT(-EPROTO, pp_decode((const uint8_t *)bad[i].bytes, bad[i].len,
					     &info, &fault));
		CHECK_INT(77, info.version);
		CHECK_INT(bad[i].fault, fault);
		if (t_failed)
			printf("# case: %s\n", bad[i].what);
	}
}

static void a_v1_line_that_never_ends_is_rejected(void)
{
	char buf[PP1_MAX + 1];
	struct pp_info info;

	memset(buf, 'x', sizeof(buf));
	memcpy(buf, "PROXY UNKNOWN ", 14);
	CHECK_INT(-EAGAIN, pp_decode((uint8_t *)buf, PP1_MAX - 1, &info, &fault));
	CHECK_INT(-EPROTO, pp_decode((uint8_t *)buf, PP1_MAX, &info, &fault));
	CHECK_INT(-EPROTO, pp_decode((uint8_t *)buf, sizeof(buf), &info, &fault));
}

static void what_is_encoded_decodes_to_the_same(void)
{
	static const char *const pairs[][2] = {
		{ "192.0.2.1:1", "198.51.100.2:65535" },
		{ "[2001:db8::1]:1", "[2001:db8::2]:2" },
		{ "192.0.2.1:1", "[2001:db8::2]:2" }, /* mixed: sent as IPv6, v4-mapped */
	};

	for (size_t i = 0; i < 3; i++) {
		for (int version = PP_V1; version <= PP_V2; version++) {
			struct pp_info in = { .version = version, .known = true }, out;
			uint8_t buf[PP1_MAX + 1];
			ssize_t n;

			CHECK_INT(0, addr_parse(pairs[i][0], &in.src));
			CHECK_INT(0, addr_parse(pairs[i][1], &in.dst));
			n = pp_encode(buf, sizeof(buf), &in, NULL);
			CHECK(n > 0);
			CHECK_INT(n, pp_decode(buf, (size_t)n, &out, &fault));
			CHECK_INT(0, memcmp(&in.src, &out.src, sizeof(in.src)));
			CHECK_INT(0, memcmp(&in.dst, &out.dst, sizeof(in.dst)));
			CHECK_INT(-ENOSPC, pp_encode(buf, (size_t)n - 1, &in, NULL));
		}
	}
}

static void signatures_are_told_from_the_first_bytes(void)
{
	CHECK_INT(-EAGAIN, pp_sniff((const uint8_t *)"", 0));
	CHECK_INT(-EAGAIN, pp_sniff((const uint8_t *)"PRO", 3));
	CHECK_INT(1, pp_sniff((const uint8_t *)"PROXY ", 6));
	CHECK_INT(1, pp_sniff((const uint8_t *)SIG, 12));
	CHECK_INT(-EAGAIN, pp_sniff((const uint8_t *)SIG, 11));
	CHECK_INT(0, pp_sniff((const uint8_t *)"PROXI", 5));
	CHECK_INT(0, pp_sniff((const uint8_t *)"\x16\x03", 2));
}

static void tlvs_are_passed_on_in_order_under_a_new_checksum(void)
{
	static const uint8_t tlvs[] = "\xee\0\1a\x04\0\0\x03\0\4abcd\xee\0\2bc\x05\0\1i";
	static const uint8_t want[] =
		"\xee\0\1a\x04\0\0\xee\0\2bc\x05\0\1i\x02\0\3a.b\x03\0\4";
	const struct pp_tlv authority = { PP_TYPE_AUTHORITY, 3, (const uint8_t *)"a.b" };
	const struct pp_extra extra = { &authority, 1, true };
	struct pp_info in = { .version = PP_V2, .known = true, .tlv = tlvs }, out;
	uint8_t buf[256];
	ssize_t n;

	in.tlv_len = sizeof(tlvs) - 1;
	CHECK_INT(0, addr_parse("192.0.2.1:1", &in.src));
	CHECK_INT(0, addr_parse("192.0.2.2:2", &in.dst));
	n = pp_encode(buf, sizeof(buf), &in, &extra);
	CHECK_INT(PP2_HDR_LEN + 12 + sizeof(want) - 1 + 4, n);
	CHECK_INT(0, memcmp(buf + PP2_HDR_LEN + 12, want, sizeof(want) - 1));
	CHECK_INT(n, pp_decode(buf, (size_t)n, &out, &fault));
	CHECK(pp_has_tlv(&out, PP_TYPE_UNIQUE_ID) && !pp_has_tlv(&out, PP_TYPE_SSL));
	/* a changed byte is found, but in what says that there are TLVs, or this one */
	for (ssize_t i = 12; i < n; i++) {
		if (i == 13 || i == n - 7)
			continue;
		buf[i] ^= 0x10;
		CHECK(pp_decode(buf, (size_t)n, &out, &fault) != n);
		buf[i] ^= 0x10;
	}
}

/* Computed bit by bit by another program, which gets 0xe3069283 for "123456789". */
static void a_checksum_of_another_implementation_is_right(void)
{
	static const uint8_t header[] = SIG "\x21\x11\x00\x13" V4 "\x03\0\4"
					    "\x3f\x39\x34\x85";
	struct pp_info info;

	CHECK_INT(sizeof(header) - 1,
		  pp_decode(header, sizeof(header) - 1, &info, &fault));
}

int main(void)
{
	RUN(good_headers_decode);
	RUN(every_prefix_needs_more);
	RUN(bytes_behind_a_header_are_left);
	RUN(bad_headers_are_rejected_without_touching_ret);
	RUN(a_v1_line_that_never_ends_is_rejected);
	RUN(what_is_encoded_decodes_to_the_same);
	RUN(tlvs_are_passed_on_in_order_under_a_new_checksum);
	RUN(a_checksum_of_another_implementation_is_right);
	RUN(signatures_are_told_from_the_first_bytes);
	DONE();
}
