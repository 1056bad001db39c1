/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens as anybody may send them: what is read is of the token, and is asked for safely.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/jwt.h"

static void must(bool is)
{
	if (!is)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct text token = text_of((const char *)data, n);
	struct jwt j;
	int64_t t;

	if (jwt_read(token, &j) == 0) {
		must(j.covered.p == token.p && j.covered.n < token.n);
		must(token.p[j.covered.n] == '.');
		must(memchr(j.covered.p, '.', j.covered.n) != NULL);
		must(j.signature_n > 0 && j.signature_n <= JWT_SIGNATURE);
		must(strlen(j.alg) < sizeof(j.alg) && strlen(j.kid) < sizeof(j.kid));
		if (jwt_time(&j, "exp", &t) == 1)
			must(t > -1000000000000001 && t < 1000000000000001);
		if (jwt_string(&j, "aud"))
			must(jwt_has(&j, "aud", jwt_string(&j, "aud")));
	} else {
		must(!j.claims);
	}
	jwt_free(&j);
	return 0;
}
