/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JA4 of hellos made from lists.  The expected hashes are those of the published example
 * of the fingerprint and of `printf LIST | sha256sum | cut -c1-12`.
 */
#include <stdint.h>
#include <string.h>

#include "codec/hello.h"
#include "codec/ja4.h"
#include "tests/unit/t.h"

static uint8_t *put16(uint8_t *p, unsigned v)
{
	*p++ = (uint8_t)(v >> 8);
	*p++ = (uint8_t)v;
	return p;
}

static uint8_t *put_list(uint8_t *p, const uint16_t *v)
{
	for (; *v; v++)
		p = put16(p, *v);
	return p;
}

/* What an extension of each type says; the lists of types end with 1, GREASE included. */
static uint8_t *put_extension(uint8_t *p, unsigned type, const uint16_t *signatures,
			      const char *alpn, unsigned version)
{
	uint8_t *length;

	p = put16(p, type);
	length = p;
	p += 2;
	if (type == 0) {
		p = put16(p, 4);
		*p++ = 0;
		p = put16(p, 1);
		*p++ = 'a';
	} else if (type == 13) {
		uint8_t *list = p;

		p = put_list(p + 2, signatures);
		(void)put16(list, (unsigned)(p - list - 2));
	} else if (type == 16) {
		p = put16(p, (unsigned)strlen(alpn) + 1);
		*p++ = (uint8_t)strlen(alpn);
		memcpy(p, alpn, strlen(alpn));
		p += strlen(alpn);
	} else if (type == 43) {
		*p++ = 4;
		p = put16(p, 0x1a1a);
		p = put16(p, version);
	}
	(void)put16(length, (unsigned)(p - length - 2));
	return p;
}

static void ja4_of(const uint16_t *ciphers, const uint16_t *types,
		   const uint16_t *signatures, const char *alpn, unsigned version,
		   char ret[JA4_LEN + 1])
{
	static uint8_t buf[65536];
	uint8_t *p = buf + 9, *length;
	struct hello_scan scan = { 0 };
	struct hello hello;
	size_t len;

	p = put16(p, 0x0303);
	memset(p, 7, 32);
	p += 32;
	*p++ = 0;
	length = p;
	p = put_list(p + 2, ciphers);
	(void)put16(length, (unsigned)(p - length - 2));
	*p++ = 1;
	*p++ = 0;
	length = p;
	p += 2;
	for (; *types != 1; types++)
		p = put_extension(p, *types, signatures, alpn, version);
	(void)put16(length, (unsigned)(p - length - 2));
	len = (size_t)(p - buf);
	memcpy(buf, "\x16\3\1", 3);
	(void)put16(buf + 3, (unsigned)(len - 5));
	buf[5] = 1;
	buf[6] = 0;
	(void)put16(buf + 7, (unsigned)(len - 9));
	CHECK(hello_scan(&scan, buf, len, sizeof(buf), &hello) == (ssize_t)len);
	ja4_make(buf, &scan, ret);
}

static const uint16_t browser_ciphers[] = { 0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b,
					    0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8,
					    0xc013, 0xc014, 0x009c, 0x009d, 0x002f,
					    0x0035, 0 };
static const uint16_t browser_types[] = { 0x8a8a, 0x001b, 0x0000, 0x0033, 0x0010,
					  0x4469, 0x0017, 0x002d, 0x000d, 0x0005,
					  0x0023, 0x0012, 0x002b, 0xff01, 0x000b,
					  0x000a, 0x0015, 0x5a5a, 1 };
static const uint16_t browser_signatures[] = { 0x0403, 0x0804, 0x0401, 0x0503, 0x0805,
					       0x0501, 0x0806, 0x0601, 0 };
static const uint16_t nothing[] = { 0 };

static void ja4_of_the_published_example(void)
{
	char ja4[JA4_LEN + 1];

	ja4_of(browser_ciphers, browser_types, browser_signatures, "h2", 0x0304, ja4);
	CHECK_STR("t13d1516h2_8daaf6152771_e5627efa2ab1", ja4);
}

static void ja4_without_extensions_names_and_protocols(void)
{
	static const uint16_t none[] = { 1 }, no_signatures[] = { 0x000a, 0x2b, 1 };
	static const uint16_t cipher[] = { 0x002f, 0 };
	char ja4[JA4_LEN + 1];

	ja4_of(cipher, none, nothing, "", 0, ja4);
	CHECK_STR("t12i010000_ba72b8082249_000000000000", ja4);
	/* "000a,002b": no underscore without signatures; 1.1 is older than legacy_version
	 */
	ja4_of(cipher, no_signatures, nothing, "", 0x0302, ja4);
	CHECK_STR("t11i010200_ba72b8082249_b0ac53b37fa7", ja4);
}

static void ja4_of_protocols_that_are_no_text(void)
{
	static const uint16_t types[] = { 0x10, 1 };
	static const uint16_t cipher[] = { 0x002f, 0 };
	static const struct {
		const char *alpn, *want;
	} cases[] = { { "h", "hh" },
		      { "http/1.1", "h1" },
		      { "\xab", "ab" },
		      { "\xab\xcd", "ad" },
		      { "\x30\xab", "3b" },
		      { "\x30\x31\xab\xcd", "3d" },
		      { "0\xab\xcd\x31", "01" },
		      { " ", "20" },
		      { " a", "21" },
		      { "a ", "60" } };
	char ja4[JA4_LEN + 1];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ja4_of(cipher, types, nothing, cases[i].alpn, 0, ja4);
		CHECK(memcmp(ja4 + 8, cases[i].want, 2) == 0);
	}
}

/* "If there are no extensions in the sorted extensions list": server_name and ALPN are
 * counted and are not in that list. */
static void ja4_without_extensions_in_the_list(void)
{
	static const uint16_t name[] = { 0, 1 }, alpn[] = { 0x10, 1 };
	static const uint16_t both[] = { 0x0a0a, 0, 0x10, 0xfafa, 1 };
	static const uint16_t cipher[] = { 0x002f, 0 };
	/* of socks-https-example.pcap in the test data of the reference */
	static const uint16_t old_ciphers[] = { 0x0039, 0x0038, 0x0035, 0x0016, 0x0013,
						0x000a, 0x0033, 0x0032, 0x002f, 0x009a,
						0x0099, 0x0096, 0x0005, 0x0004, 0x0015,
						0x0012, 0x0009, 0x0014, 0x0011, 0x0008,
						0x0006, 0x0003, 0x00ff, 0 };
	char ja4[JA4_LEN + 1];

	ja4_of(cipher, name, nothing, "", 0, ja4);
	CHECK_STR("t12d010100_ba72b8082249_000000000000", ja4);
	ja4_of(cipher, alpn, nothing, "h2", 0, ja4);
	CHECK_STR("t12i0101h2_ba72b8082249_000000000000", ja4);
	ja4_of(cipher, both, nothing, "h2", 0, ja4);
	CHECK_STR("t12d0102h2_ba72b8082249_000000000000", ja4);
	ja4_of(old_ciphers, name, nothing, "", 0, ja4);
	CHECK_STR("d230100_6a57a6f57151_000000000000", ja4 + 3);
}

/* "The version is the highest value in the extension", whatever legacy_version says, and
 * "Unknown = 00". */
static void ja4_of_versions_that_are_none_of_tls(void)
{
	static const uint16_t types[] = { 0x2b, 1 }, cipher[] = { 0x002f, 0 };
	static const struct {
		unsigned version;
		const char *want;
	} cases[] = { { 0x0305, "t00" }, { 0x7f1c, "t00" }, { 0x0002, "ts2" },
		      { 0x0300, "ts3" }, { 0x0301, "t10" }, { 0xfeff, "td1" },
		      { 0xfefd, "td2" }, { 0xfefc, "td3" } };
	char ja4[JA4_LEN + 1];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ja4_of(cipher, types, nothing, "", cases[i].version, ja4);
		ja4[3] = '\0';
		CHECK_STR(cases[i].want, ja4);
	}
}

/* 255 bytes are the longest name there is (RFC 7301 3.1). */
static void ja4_of_the_longest_protocol(void)
{
	static const uint16_t types[] = { 0x10, 1 }, cipher[] = { 0x002f, 0 };
	char ja4[JA4_LEN + 1], alpn[256];

	memset(alpn, 'a', 255);
	alpn[254] = 'z';
	alpn[255] = '\0';
	ja4_of(cipher, types, nothing, alpn, 0, ja4);
	ja4[10] = '\0';
	CHECK_STR("t12i0101az", ja4);
}

static void ja4_counts_to_99_and_gives_up_at_257(void)
{
	static uint16_t many[259];
	static const uint16_t none[] = { 1 };
	char ja4[JA4_LEN + 1];

	for (unsigned i = 0; i < 256; i++)
		many[i] = (uint16_t)(0x1000 + i);
	ja4_of(many, none, nothing, "", 0, ja4);
	CHECK(strncmp(ja4, "t12i9900", 8) == 0);
	many[256] = 0x2000;
	ja4_of(many, none, nothing, "", 0, ja4);
	CHECK_STR("", ja4);
}

int main(void)
{
	RUN(ja4_of_the_published_example);
	RUN(ja4_without_extensions_names_and_protocols);
	RUN(ja4_of_protocols_that_are_no_text);
	RUN(ja4_without_extensions_in_the_list);
	RUN(ja4_of_versions_that_are_none_of_tls);
	RUN(ja4_of_the_longest_protocol);
	RUN(ja4_counts_to_99_and_gives_up_at_257);
	DONE();
}
