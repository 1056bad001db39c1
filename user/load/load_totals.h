/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_LOAD_LOAD_TOTALS_H
#define USER_LOAD_LOAD_TOTALS_H

#include <stdint.h>

#include "load/programs.h"

/*
 * Fill the maps of a load that counts nothing yet with the totals in the file `path`
 * (totals.h).  0 and in *ret_since when those began to count; or a negative errno with
 * the reason logged: the maps are then not to be used.
 */
int load_totals(struct programs *p, const char *path, uint64_t *ret_since);

#endif
