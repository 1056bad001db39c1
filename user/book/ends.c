/* SPDX-License-Identifier: Apache-2.0 */
#include "book/ends.h"

const uint8_t tg_end_sides[TG_END_MAX] = {
#define X(name, label, side, class) TG_SIDE_##side,
	TG_ENDS(X)
#undef X
};

const uint8_t tg_end_classes[TG_END_MAX] = {
#define X(name, label, side, class) TG_END_CLASS_##class,
	TG_ENDS(X)
#undef X
};

const char *const tg_request_names[TG_REQUEST_MAX] = {
#define X(name, label) label,
	TG_REQUESTS(X)
#undef X
};

const char *const tg_method_names[TG_METHOD_MAX] = {
#define X(name, label) label,
	TG_METHODS(X)
#undef X
};

const char *const tg_http_kind_names[TG_HTTP_KIND_MAX] = {
#define X(name, label) label,
	TG_HTTP_KINDS(X)
#undef X
};
