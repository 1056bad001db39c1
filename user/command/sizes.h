/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_COMMAND_SIZES_H
#define USER_COMMAND_SIZES_H

#include "load/load.h"

/*
 * Add to opts->sizes what the configuration in the file `path` needs of names, slots and
 * rows, twice over, where that is more than the default and was not told by --size.  0,
 * or a negative errno with the reason logged.
 */
int sizes_from_config(const char *path, struct load_opts *opts);

#endif
