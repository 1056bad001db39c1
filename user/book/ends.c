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
