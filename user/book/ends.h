/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_BOOK_ENDS_H
#define USER_BOOK_ENDS_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

/* Whose doing each reason is, if it is not either's: enum tg_side. */
extern const uint8_t tg_end_sides[TG_END_MAX];

/* enum tg_end_class of each. */
extern const uint8_t tg_end_classes[TG_END_MAX];

/* Could bytes be passed?  Else it was refused. */
static inline bool tg_end_is_relayed(unsigned reason)
{
	return reason < TG_END_MAX && tg_end_classes[reason] == TG_END_CLASS_RELAYED;
}

/* The labels of what a request came to, a method, a kind of byte. */
extern const char *const tg_request_names[TG_REQUEST_MAX];
extern const char *const tg_method_names[TG_METHOD_MAX];
extern const char *const tg_http_kind_names[TG_HTTP_KIND_MAX];

#endif
