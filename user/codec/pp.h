/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PROXY protocol, versions 1 and 2 ("The PROXY protocol", HAProxy, 2020/03/05;
 * section numbers below are of that document).  Pure functions: no I/O, no allocation.
 */
#ifndef USER_CODEC_PP_H
#define USER_CODEC_PP_H

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

/* 2.2: types of TLVs that are known here; all others are passed on as they are. */
enum pp_type {
	PP_TYPE_ALPN = 0x01,
	PP_TYPE_AUTHORITY = 0x02,
	PP_TYPE_CRC32C = 0x03,
	PP_TYPE_NOOP = 0x04,
	PP_TYPE_UNIQUE_ID = 0x05,
	PP_TYPE_SSL = 0x20,
	PP_TYPE_NETNS = 0x30,
};

/* What is in PP_TYPE_SSL: flags of the client, a word that is 0 if it was verified, TLVs.
 */
enum {
	PP_CLIENT_SSL = 0x01,
	PP_CLIENT_CERT_CONN = 0x02, /* it showed a certificate in this connection, */
	PP_CLIENT_CERT_SESS = 0x04, /* or in one of this session */

	PP_TYPE_SSL_VERSION = 0x21,
	PP_TYPE_SSL_CN = 0x22,
	PP_TYPE_SSL_CIPHER = 0x23,
};

struct pp_tlv {
	uint8_t type;
	uint16_t len;
	const uint8_t *value; /* borrowed */
};

/* What is wrong with a header. */
enum pp_fault {
	PP_FAULT_NONE,
	PP_FAULT_SIGNATURE,   /* it is none */
	PP_FAULT_V1_LINE,     /* 2.1: protocol, addresses, ports or their separators */
	PP_FAULT_V1_LENGTH,   /* 2.1: no line end within 107 bytes */
	PP_FAULT_V2_VERSION,  /* 2.2: not version 2 */
	PP_FAULT_V2_COMMAND,  /* neither LOCAL nor PROXY */
	PP_FAULT_V2_FAMILY,   /* address family or transport that is not assigned */
	PP_FAULT_V2_ADDRESS,  /* shorter than the addresses of its family */
	PP_FAULT_V2_TLV,      /* TLVs that do not fill the header exactly, or a checksum
				 that is no four bytes or there twice */
	PP_FAULT_V2_CHECKSUM, /* 2.2.3: CRC32C differs */
	PP_FAULT_V2_LENGTH,   /* more than PP2_MAX, a limit of ours */
	PP_FAULT_MAX
};

struct pp_info {
	enum pp_version version;
	bool local; /* v2 LOCAL: a health check; addresses are the connection's own */
	bool known; /* src and dst are set (not UNKNOWN, not AF_UNSPEC or AF_UNIX) */
	struct addr src;    /* the real client */
	struct addr dst;    /* what it connected to */
	const uint8_t *tlv; /* v2: TLVs that fit, borrowed from the decoded buffer */
	size_t tlv_len;
};

/*
 * Decode one header, either version, from buf[0..len).  Returns the bytes consumed
 * (> 0); -EAGAIN if more bytes are needed; -EPROTO if no continuation can make it
 * valid, with the reason in *fault.  *ret is written only on success.
 */
ssize_t pp_decode(const uint8_t *buf, size_t len, struct pp_info *ret,
		  enum pp_fault *fault);

/* The TLV at *at (0 the first), which moves on; false when there is none. */
bool pp_tlv_next(const struct pp_info *info, size_t *at, struct pp_tlv *ret);
bool pp_has_tlv(const struct pp_info *info, uint8_t type);

/* What is added to the TLVs of a version 2 header. */
struct pp_extra {
	const struct pp_tlv *tlvs;
	unsigned n;
	bool checksum; /* CRC32C */
};

/*
 * Encode src and dst (or UNKNOWN / UNSPEC if !known, LOCAL if local) in info->version;
 * in version 2 with info->tlv behind, in order, but for a checksum, which would be of
 * another header, and then what `extra` (or NULL) adds.  Returns the bytes written, or
 * -ENOSPC.
 */
ssize_t pp_encode(uint8_t *buf, size_t cap, const struct pp_info *info,
		  const struct pp_extra *extra);

/*
 * Does a stream begin with a PROXY signature?  1 yes, 0 no, -EAGAIN if the bytes so far
 * are a prefix of one.
 */
int pp_sniff(const uint8_t *buf, size_t len);

#endif
