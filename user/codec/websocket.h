/* SPDX-License-Identifier: Apache-2.0 */
/* The two fields by which a client and a server of WebSocket know each other. */
#ifndef USER_CODEC_WEBSOCKET_H
#define USER_CODEC_WEBSOCKET_H

#include <stdint.h>

#define WEBSOCKET_KEY_LEN    24 /* base64 of 16 bytes */
#define WEBSOCKET_ACCEPT_LEN 28 /* of 20 */

/* Sec-WebSocket-Key of 16 random bytes (RFC 6455 4.1); NUL-terminated. */
void websocket_key(const uint8_t random[16], char ret[WEBSOCKET_KEY_LEN + 1]);

/* The Sec-WebSocket-Accept that answers it (4.2.2). */
void websocket_accept(const char key[WEBSOCKET_KEY_LEN + 1],
		      char ret[WEBSOCKET_ACCEPT_LEN + 1]);

#endif
