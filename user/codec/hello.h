/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a TLS ClientHello asks for (RFC 8446 4.1.2): server name (RFC 6066 3), protocols
 * (RFC 7301), version, and whether the name is the outer one of an encrypted hello,
 * whatever number of TLS records (RFC 8446 5.1) and TCP segments it comes in.  Pure: no
 * I/O, no allocation.
 */
#ifndef USER_CODEC_HELLO_H
#define USER_CODEC_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HELLO_NAME_MAX 255
#define HELLO_ALPN_MAX 255 /* bytes of the list that are kept; others are not matched */

/* How far a scan has come.  Set to zero before the first call. */
struct hello_scan {
	size_t next_record; /* offset of the next record header */
	size_t have;	    /* handshake bytes in the records seen so far */
	size_t need;	    /* handshake bytes of the whole hello, 0 if not known yet */
	unsigned records;
};

/* What it asks for. */
struct hello {
	bool has_sni;
	bool ech_outer; /* the name is the public one of an encrypted hello (RFC 9849) */
	bool has_alpn;
	uint8_t alpn_len;
	uint16_t version;	      /* the highest offered, 0x0304 is TLS 1.3 */
	uint8_t alpn[HELLO_ALPN_MAX]; /* length(1) name, as offered, RFC 7301 3.1 */
	char sni[HELLO_NAME_MAX + 1]; /* lower case, without a trailing dot */
};

/*
 * Look at all bytes received so far, buf[0..len); buf must hold what earlier calls saw.
 * The scan remembers where it is, so feeding a hello byte by byte costs no more than in
 * one piece.  max: the largest hello accepted, record headers included.  Returns the
 * bytes up to the hello's last byte (> 0, *ret is written); -EAGAIN if more bytes are
 * needed; -EPROTO if it is no ClientHello, and -EBADMSG if it began as one but is
 * malformed: no continuation can mend either; -EMSGSIZE over max.
 */
ssize_t hello_scan(struct hello_scan *scan, const uint8_t *buf, size_t len, size_t max,
		   struct hello *ret);

/*
 * Once more, and whole, from bytes that are kept; max as before.  False: it is none, or
 * malformed; *ret is empty then.
 */
bool hello_read(const uint8_t *buf, size_t len, size_t max, struct hello *ret);

/*
 * The fatal alert for a hello that is for nobody here, in a record of its own version
 * (RFC 8446 6.2): unrecognized_name (RFC 6066 3), or missing_extension of one without a
 * name (RFC 8446 4.4.2.2).
 */
#define HELLO_ALERT_LEN 7
void hello_alert(bool named, uint8_t ret[HELLO_ALERT_LEN]);

/* Does the client offer this application protocol? */
bool hello_offers(const struct hello *h, const char *protocol);

/*
 * Write a ClientHello of TLS 1.2 and 1.3 to be answered with a ServerHello; `name` is the
 * server's, or NULL.  For checks: its share is a valid X25519 one that nobody knows the
 * secret of.  Returns its bytes, or -ENOSPC.
 */
ssize_t hello_make(uint8_t *buf, size_t cap, const char *name);

/* Do the first HELLO_ANSWER_LEN bytes that came back begin a ServerHello? */
#define HELLO_ANSWER_LEN 6
bool hello_is_answer(const uint8_t bytes[HELLO_ANSWER_LEN]);

#endif
