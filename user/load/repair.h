/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a load was attached to comes and goes: a service's cgroup is remade at each
 * restart, devices are, `nft flush ruleset` takes our table.  Here it is found by name
 * and attached again, from the pins alone.
 */
#ifndef USER_LOAD_REPAIR_H
#define USER_LOAD_REPAIR_H

#include <stdbool.h>

/*
 * Look at every hook of the load pinned in `pins`, attach again what is not attached and
 * can be, make the nft table anew if it is gone; and write down how the hooks are
 * (book/hooks.h).  With `reorder` ours are put before programs of others again, which an
 * operator must want: two programs that both want to be first would never rest.  Needs
 * root, in the network namespace of the load.  One process at a time; who comes second
 * has nothing to do.  The number of things that were mended, or a negative errno; what is
 * done and what cannot be is logged.
 */
int repair_run(const char *pins, bool reorder);

#endif
