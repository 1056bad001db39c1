/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JA4 of a ClientHello over TCP: what kind of program the client is, by what it offers
 * (FoxIO, JA4: TLS Client Fingerprinting, technical details; BSD 3-Clause).
 */
#ifndef USER_CODEC_JA4_H
#define USER_CODEC_JA4_H

#include <stddef.h>
#include <stdint.h>

#include "codec/hello.h"

#define JA4_LEN 36 /* "t13d1516h2_8daaf6152771_e5627efa2ab1" */

/*
 * `buf` holds a hello that hello_scan() accepted, `scan` is what it found.
 * Writes the fingerprint and a NUL; or an empty string if the hello lists more than 256
 * of anything, as no client does.
 */
void ja4_make(const uint8_t *buf, const struct hello_scan *scan, char ret[JA4_LEN + 1]);

#endif
