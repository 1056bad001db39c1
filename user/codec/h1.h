/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of HTTP/1.1 (RFC 9112), read strictly: what two readers could read differently is
 * a fault, and whatever is written here would be read again.  Pure: no I/O, no memory.
 */
#ifndef USER_CODEC_H1_H
#define USER_CODEC_H1_H

#include <sys/types.h>

#include "codec/http.h"

#define H1_TARGET_MAX 8192 /* RFC 9112 3: at least 8000 octets */

enum h1_kind { H1_REQUEST, H1_RESPONSE };

/*
 * Where a head ends that begins at buf: bytes up to and with its empty line, 0 if that is
 * not there yet.  *from: how far it was looked at before, 0 at first.  Ends that are
 * faults (bare LF) are ends, too; then h1_read() says what is wrong.
 */
size_t h1_end(const uint8_t *buf, size_t n, size_t *from);

/* Empty lines before a request, which RFC 9112 2.2 wants ignored: how many bytes. */
size_t h1_blank(const uint8_t *buf, size_t n);

/*
 * A whole head of n bytes, up to its empty line.  Names become lower case in buf, to
 * which all texts of *ret point.  Not in the fields: Host, Content-Length and
 * Transfer-Encoding, which are authority, length and body.
 */
enum http_fault h1_read(enum h1_kind kind, uint8_t *buf, size_t n, unsigned fields_max,
			struct http_head *ret);

/* The same of a trailer section, whose empty line it has: fields only. */
enum http_fault h1_read_trailers(uint8_t *buf, size_t n, unsigned fields_max,
				 struct http_head *ret);

/*
 * A response's body goes by what was asked, too (RFC 9112 6.3); of those that may not say
 * a length it is forgotten (RFC 9110 8.6).
 */
void h1_body_of(struct http_head *response, enum http_method asked);

/*
 * As h1_read() would read it: 1.1, with Host, Content-Length or Transfer-Encoding as the
 * head says; hop-by-hop fields are not written, `connection` is, unless it is "".  Bytes
 * written; 0 if cap is too small, or it is a request without an authority.
 */
size_t h1_write(uint8_t *buf, size_t cap, const struct http_head *h,
		struct text connection);
size_t h1_write_trailers(uint8_t *buf, size_t cap, const struct http_head *h);

#endif
