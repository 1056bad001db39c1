/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cursor over a ClientHello that hello_scan() has found whole, for the codecs that read
 * it: hello.c and ja4.c.
 */
#ifndef USER_CODEC_HELLO_CURSOR_H
#define USER_CODEC_HELLO_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_HEADER	   5
#define HANDSHAKE_HEADER   4
#define SESSION_ID_MAX	   32
#define EXT_SERVER_NAME	   0
#define EXT_SIGNATURE_ALGS 13
#define EXT_ALPN	   16
#define EXT_VERSIONS	   43

/* A cursor over the handshake bytes in the records of buf. */
struct cursor {
	const uint8_t *buf;
	size_t pos;    /* of the next byte in buf */
	size_t record; /* bytes left in the current record */
	size_t left;   /* handshake bytes left in the message */
	bool bad;      /* read past the end; values read since are 0 */
};

static inline unsigned get_u8(struct cursor *c)
{
	if (c->bad || c->left == 0) {
		c->bad = true;
		return 0;
	}
	if (c->record == 0) {
		c->record = (size_t)c->buf[c->pos + 3] << 8 | c->buf[c->pos + 4];
		c->pos += RECORD_HEADER;
	}
	c->record--;
	c->left--;
	return c->buf[c->pos++];
}

static inline unsigned get_u16(struct cursor *c)
{
	unsigned hi = get_u8(c);

	return hi << 8 | get_u8(c);
}

static inline void skip(struct cursor *c, size_t n)
{
	if (n > c->left)
		c->bad = true;
	while (!c->bad && n > 0) {
		size_t step = n < c->record ? n : c->record;

		if (step == 0) { /* steps into the next record */
			(void)get_u8(c);
			n--;
			continue;
		}
		c->pos += step;
		c->record -= step;
		c->left -= step;
		n -= step;
	}
}

#endif
