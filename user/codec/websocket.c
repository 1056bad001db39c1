/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "codec/digest.h"
#include "codec/websocket.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 1.3 */

void websocket_key(const uint8_t random[16], char ret[WEBSOCKET_KEY_LEN + 1])
{
	digest_base64(random, 16, ret);
}

void websocket_accept(const char key[WEBSOCKET_KEY_LEN + 1],
		      char ret[WEBSOCKET_ACCEPT_LEN + 1])
{
	char text[WEBSOCKET_KEY_LEN + sizeof(GUID)];
	uint8_t hash[DIGEST_SHA1_LEN];
	int n = snprintf(text, sizeof(text), "%s" GUID, key);

	digest_sha1(text, (size_t)n, hash);
	digest_base64(hash, sizeof(hash), ret);
}
