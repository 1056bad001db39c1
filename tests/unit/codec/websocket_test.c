/* SPDX-License-Identifier: Apache-2.0 */
/* The example of RFC 6455 1.3. */
#include "codec/websocket.h"
#include "tests/unit/t.h"

static void the_example_of_the_rfc(void)
{
	char accept[WEBSOCKET_ACCEPT_LEN + 1];

	websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", accept);
	CHECK_STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accept);
}

static void a_key_is_sixteen_bytes_in_base64(void)
{
	static const uint8_t bytes[16] = "the sample nonce";
	char key[WEBSOCKET_KEY_LEN + 1];

	websocket_key(bytes, key);
	CHECK_STR("dGhlIHNhbXBsZSBub25jZQ==", key);
}

int main(void)
{
	RUN(the_example_of_the_rfc);
	RUN(a_key_is_sixteen_bytes_in_base64);
	DONE();
}
