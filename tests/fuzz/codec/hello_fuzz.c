/* SPDX-License-Identifier: Apache-2.0 */
/* The answer may not depend on how the bytes arrive: whole, or one at a time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/hello.h"
#include "codec/ja4.h"

#define MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct hello_scan once = { 0 }, steps = { 0 };
	struct hello whole = { 0 }, fed = { 0 };
	char ja4[JA4_LEN + 1];
	ssize_t n, m = -EAGAIN;
	size_t i = 0;

	n = hello_scan(&once, data, len, MAX, &whole);
	if (n > (ssize_t)len || n == 0 || n > MAX)
		abort();
	while (m == -EAGAIN && i <= len)
		m = hello_scan(&steps, data, i++, MAX, &fed);
	if (m != n)
		abort();
	if (n > 0) {
		ja4_make(data, &once, ja4);
		if (ja4[0] && strlen(ja4) != JA4_LEN)
			abort();
	}
	if (n > 0 && memcmp(whole.alpn, fed.alpn, sizeof(whole.alpn)) != 0)
		abort();
	(void)hello_offers(&whole, "h2");
	if (n > 0 && (whole.has_sni != fed.has_sni || strcmp(whole.sni, fed.sni) != 0 ||
		      strlen(whole.sni) > HELLO_NAME_MAX || (size_t)n != i - 1))
		abort();
	return 0;
}
