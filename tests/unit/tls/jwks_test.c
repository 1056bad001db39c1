/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "base/base64.h"
#include "tests/unit/t.h"
#include "tls/jwks.h"

/* RFC 7515 A.1, A.3; RFC 8037 A.2, A.4. */
#define CLAIMS                                                                        \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9" \
	"pc19yb290Ijp0cnVlfQ"

#define GOOD "{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"

static const char keys[] =
	"{\"keys\":["
	"{\"kty\":\"oct\",\"kid\":\"h\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"
	"1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"},"
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"e\",\"x\":\"11qYAYKxCrfVS_"
	"7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
	"{\"kty\":\"new\"},{\"kty\":\"EC\",\"crv\":\"P-999\"},{\"kty\":\"oct\",\"use\":\"enc\"}]}";

static const struct {
	const char *alg, *kid, *covered, *signature;
} vectors[] = {
	{ "HS256", "h", "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." CLAIMS,
	  "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" },
	{ "ES256", "x", "eyJhbGciOiJFUzI1NiJ9." CLAIMS,
	  "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
	  "Kg6NU1Q" },
	{ "EdDSA", "e", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
	  "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_"
	  "MuM0KAg" },
};

static struct jwks *read_keys(const char *text)
{
	struct jwks *s = NULL;
	char why[160];

	CHECK_INT(0, jwks_read(text, strlen(text), &s, why));
	return s;
}

static void signatures_of_the_rfcs(void)
{
	struct jwks *s = read_keys(keys);

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const char *d = vectors[i].covered, *sig = vectors[i].signature;
		uint8_t bytes[256];
		ssize_t n = base64_decode(sig, strlen(sig), BASE64_URL, bytes, 256);

		CHECK(n > 0);
		CHECK(jwks_verify(s, vectors[i].alg, "", d, strlen(d), bytes, (size_t)n));
		CHECK(jwks_verify(s, vectors[i].alg, vectors[i].kid, d, strlen(d), bytes,
				  (size_t)n));
		/* any other bit, length, text, name or algorithm */
		for (size_t bit = 0; bit < (size_t)n * 8; bit++) {
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			CHECK(!jwks_verify(s, vectors[i].alg, "", d, strlen(d), bytes,
					   (size_t)n));
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		CHECK(!jwks_verify(s, vectors[i].alg, "", d, strlen(d), bytes,
				   (size_t)n - 1));
		CHECK(!jwks_verify(s, vectors[i].alg, "", d, strlen(d) - 1, bytes,
				   (size_t)n));
		CHECK(i == 1 || !jwks_verify(s, vectors[i].alg, "no", d, strlen(d), bytes,
					     (size_t)n));
		CHECK(!jwks_verify(s, vectors[(i + 1) % 3].alg, "", d, strlen(d), bytes,
				   (size_t)n));
		CHECK(!jwks_verify(s, "none", "", d, strlen(d), bytes, (size_t)n));
		CHECK(!jwks_verify(s, "", "", d, strlen(d), bytes, 0));
	}
	jwks_free(s);
}

static void what_is_no_set_of_keys(void)
{
	static const char *const none[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"keys\":{}}",
		"{\"keys\":[]}",
		"{\"keys\":[1,null]}",
		"{\"keys\":[" GOOD "],\"keys\":[" GOOD "]}",
		"{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}]}",
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
		"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		"\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}", /* off the
									       curve */
		"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
		"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":5}]}",
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"-----BEGIN PUBLIC KEY-----\n",
	};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		struct jwks *s = NULL;
		char why[160] = "";

		CHECK_INT(-EINVAL, jwks_read(none[i], strlen(none[i]), &s, why));
		CHECK(why[0] && !s);
	}
}

static void more_keys_than_there_may_be(void)
{
	static const char key[] =
		"{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}";
	static char text[128 * sizeof(key)];

	for (int n = JWKS_MAX; n <= JWKS_MAX + 1; n++) {
		struct jwks *s = NULL;
		char why[160];
		size_t at = (size_t)snprintf(text, sizeof(text), "{\"keys\":[%s", key);

		for (int i = 1; i < n; i++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, ",%s", key);
		at += (size_t)snprintf(text + at, sizeof(text) - at, "]}");
		CHECK_INT(n == JWKS_MAX ? 0 : -EINVAL, jwks_read(text, at, &s, why));
		jwks_free(s);
	}
}

int main(void)
{
	RUN(more_keys_than_there_may_be);
	RUN(signatures_of_the_rfcs);
	RUN(what_is_no_set_of_keys);
	DONE();
}
