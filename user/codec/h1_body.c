/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "codec/h1_body.h"

#define EXTENSION_MAX  256   /* of a chunk */
#define EXTENSIONS_MAX 16384 /* of a body: they are work, and nobody's bytes */
#define DIGITS_MAX     15

enum { AT_SIZE, AT_EXTENSION, AT_SIZE_LF, AT_DATA, AT_DATA_CR, AT_DATA_LF, AT_TRAILERS };

void h1_body_begin(struct h1_body *b, const struct http_head *h)
{
	*b = (struct h1_body){ .kind = h->body,
			       .left = h->body == HTTP_BODY_LENGTH ? h->length : 0 };
}

static int digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum http_fault at_size(struct h1_body *b, uint8_t c)
{
	int d = digit(c);

	if (d >= 0) {
		if (b->digits == DIGITS_MAX)
			return HTTP_FAULT_CHUNK_SIZE;
		b->digits++;
		b->left = b->left * 16 + (unsigned)d;
		return HTTP_FINE;
	}
	if (!b->digits || (c != ';' && c != '\r'))
		return HTTP_FAULT_CHUNK_SIZE;
	b->state = c == ';' ? AT_EXTENSION : AT_SIZE_LF;
	return HTTP_FINE;
}

static enum http_fault at_extension(struct h1_body *b, uint8_t c)
{
	if (c == '\r') {
		b->state = AT_SIZE_LF;
		return HTTP_FINE;
	}
	if (!(http_chars[c] & HTTP_IS_VALUE) || ++b->extension > EXTENSION_MAX ||
	    ++b->extensions > EXTENSIONS_MAX)
		return HTTP_FAULT_CHUNK_EXTENSION;
	return HTTP_FINE;
}

/* One byte of framing. */
static enum http_fault at_byte(struct h1_body *b, uint8_t c)
{
	switch (b->state) {
	case AT_SIZE:
		return at_size(b, c);
	case AT_EXTENSION:
		return at_extension(b, c);
	case AT_SIZE_LF:
		if (c != '\n')
			return HTTP_FAULT_CHUNK_SIZE;
		b->state = b->left ? AT_DATA : AT_TRAILERS;
		return HTTP_FINE;
	case AT_DATA_CR:
		b->state = AT_DATA_LF;
		return c == '\r' ? HTTP_FINE : HTTP_FAULT_CHUNK_END;
	default:
		b->state = AT_SIZE;
		b->digits = 0;
		b->extension = 0;
		return c == '\n' ? HTTP_FINE : HTTP_FAULT_CHUNK_END;
	}
}

static enum h1_step next_chunk(struct h1_body *b, const uint8_t *p, size_t n,
			       size_t *used, size_t *data_n, enum http_fault *fault)
{
	while (b->state != AT_DATA && b->state != AT_TRAILERS) {
		if (*used == n)
			return H1_MORE;
		*fault = at_byte(b, p[(*used)++]);
		if (*fault)
			return H1_BAD;
	}
	if (b->state == AT_TRAILERS)
		return H1_TRAILERS;
	*data_n = n - *used < b->left ? n - *used : (size_t)b->left;
	return *data_n ? H1_DATA : H1_MORE;
}

enum h1_step h1_body_next(struct h1_body *b, const uint8_t *p, size_t n, size_t *used,
			  size_t *data_n, enum http_fault *fault)
{
	*used = *data_n = 0;
	switch (b->kind) {
	case HTTP_BODY_NONE:
		return H1_OVER;
	case HTTP_BODY_LENGTH:
		*data_n = n < b->left ? n : (size_t)b->left;
		return *data_n ? H1_DATA : b->left ? H1_MORE : H1_OVER;
	case HTTP_BODY_CLOSE:
		*data_n = n;
		return n ? H1_DATA : H1_MORE;
	default:
		return next_chunk(b, p, n, used, data_n, fault);
	}
}

void h1_body_took(struct h1_body *b, size_t n)
{
	if (b->kind == HTTP_BODY_CLOSE)
		return;
	b->left -= n;
	if (b->kind == HTTP_BODY_CHUNKED && !b->left)
		b->state = AT_DATA_CR;
}

size_t h1_chunk(char buf[H1_CHUNK_MAX], size_t n)
{
	char digits[16];
	size_t at = sizeof(digits), len;

	for (; n; n /= 16)
		digits[--at] = "0123456789abcdef"[n % 16];
	len = sizeof(digits) - at;
	memcpy(buf, digits + at, len);
	memcpy(buf + len, "\r\n", 2);
	return len + 2;
}
