/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/base64.h"
#include "codec/digest.h"
#include "tests/unit/t.h"

static ssize_t decode(const char *s, enum base64_kind kind, char ret[64])
{
	ssize_t n = base64_decode(s, strlen(s), kind, (uint8_t *)ret, 63);

	ret[n < 0 ? 0 : n] = '\0';
	return n;
}

static void vectors_of_rfc_4648(void)
{
	static const char *const all[][2] = {
		{ "", "" },
		{ "Zg==", "f" },
		{ "Zm8=", "fo" },
		{ "Zm9v", "foo" },
		{ "Zm9vYg==", "foob" },
		{ "Zm9vYmE=", "fooba" },
		{ "Zm9vYmFy", "foobar" },
	};
	char got[64], bare[16];

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		CHECK(decode(all[i][0], BASE64, got) == (ssize_t)strlen(all[i][1]));
		CHECK(strcmp(got, all[i][1]) == 0);
		memcpy(bare, all[i][0], strlen(all[i][0]) + 1);
		bare[strcspn(bare, "=")] = '\0';
		CHECK(decode(bare, BASE64_URL, got) == (ssize_t)strlen(all[i][1]));
		CHECK(strcmp(got, all[i][1]) == 0);
	}
}

static void one_text_for_a_value_and_no_other(void)
{
	static const char *const none[] = {
		"Z",	"Zg",	  "Zg=",  "Zh==", "Zm9=", "Zg===", "====",     "Zm9v=",
		"Zm 9", "Zm9v\n", "Z===", "=Zg=", "Zm-v", "Zm_v",  "Zg==Zg==",
	};
	static const char *const none_of_url[] = { "Z",	   "Zg==", "Zh",   "Zm9",
						   "Zm+v", "Zm/v", "Zm9v=" };
	char got[64];

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		CHECK(decode(none[i], BASE64, got) == -EINVAL);
	for (size_t i = 0; i < sizeof(none_of_url) / sizeof(none_of_url[0]); i++)
		CHECK(decode(none_of_url[i], BASE64_URL, got) == -EINVAL);
	CHECK(base64_decode("Zm9v", 4, BASE64, (uint8_t *)got, 2) == -ENOSPC);
}

static void what_was_encoded_comes_back(void)
{
	uint8_t in[40], out[40];
	char text[64];

	for (size_t n = 0; n <= sizeof(in); n++) {
		for (size_t i = 0; i < n; i++)
			in[i] = (uint8_t)(i * 37 + n * 11);
		digest_base64(in, n, text);
		CHECK(base64_decode(text, strlen(text), BASE64, out, sizeof(out)) ==
		      (ssize_t)n);
		CHECK(memcmp(in, out, n) == 0);
	}
}

int main(void)
{
	RUN(vectors_of_rfc_4648);
	RUN(one_text_for_a_value_and_no_other);
	RUN(what_was_encoded_comes_back);
	DONE();
}
