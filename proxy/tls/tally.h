/* SPDX-License-Identifier: Apache-2.0 */
/* What TLS of a listener's clients was made of, counted in its book. */
#ifndef PROXY_TLS_TALLY_H
#define PROXY_TLS_TALLY_H

#include <stdint.h>

#include "bpf/abi.h"

/* An alert by its number (RFC 8446 6), that we sent or got.  From any thread. */
void tally_alert(struct hello_book *book, enum tg_dir dir, uint8_t number);

/* A handshake that is done: numbers of suite and group as of IANA's tables, 0: none. */
void tally_handshake(struct hello_book *book, uint16_t suite, uint16_t group);

#endif
