/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PROXY protocol, versions 1 and 2 ("The PROXY protocol", HAProxy, 2020/03/05;
 * section numbers below are of that document).  Pure functions: no I/O, no allocation.
 */
#ifndef PROXY_PP_H
#define PROXY_PP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"

#define PP1_MAX	     107 /* 2.1: the longest line, CRLF included */
#define PP2_HDR_LEN  16
#define PP2_MAX	     4096 /* our limit for a whole version 2 header, TLVs included */
#define PP_SNIFF_LEN 12	  /* enough to know either signature */

enum pp_version { PP_NONE, PP_V1, PP_V2 };

struct pp_info {
	enum pp_version version;
	bool local; /* v2 LOCAL: a health check; addresses are the connection's own */
	bool known; /* src and dst are set (not UNKNOWN, not AF_UNSPEC or AF_UNIX) */
	struct addr src;    /* the real client */
	struct addr dst;    /* what it connected to */
	const uint8_t *tlv; /* v2: TLVs, borrowed from the decoded buffer */
	size_t tlv_len;
};

/*
 * Decode one header, either version, from buf[0..len).  Returns the bytes consumed
 * (> 0); -EAGAIN if more bytes are needed; -EPROTO if no continuation can make it
 * valid; -EMSGSIZE if it is longer than PP2_MAX.  *ret is written only on success.
 */
ssize_t pp_decode(const uint8_t *buf, size_t len, struct pp_info *ret);

/*
 * Encode src and dst (or UNKNOWN / UNSPEC if !known, LOCAL if local) in info->version,
 * with info->tlv copied behind (v2).  Returns the bytes written, or -ENOSPC.
 */
ssize_t pp_encode(uint8_t *buf, size_t cap, const struct pp_info *info);

/*
 * Does a stream begin with a PROXY signature?  1 yes, 0 no, -EAGAIN if the bytes so far
 * are a prefix of one.
 */
int pp_sniff(const uint8_t *buf, size_t len);

#endif
