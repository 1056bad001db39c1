/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the hooks of a load are, measured from their links: what it was attached to may be
 * gone or remade, and programs of others may stand before ours.  Needs root; what was
 * found is kept in the `hooks` map, for readers that are not.
 */
#ifndef USER_BOOK_HOOKS_H
#define USER_BOOK_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/abi.h"

extern const char *const tg_hook_names[TG_HOOK_KIND_MAX];

/* Pins of a device's hooks, by its ifindex, as attach.c makes them. */
#define HOOKS_PIN_WIRE_RX   "link-wire-rx-"
#define HOOKS_PIN_WIRE_TX   "link-wire-tx-"
#define HOOKS_PIN_CLSACT_RX "clsact-rx-"
#define HOOKS_PIN_CLSACT_TX "clsact-tx-"
#define HOOKS_PIN_XDP	    "link-xdp-"

/* Where our filters stand in clsact: before what tc and most others pick. */
#define HOOKS_CLSACT_PREF 1

/* Does the device `name` fit the target: its name, or the beginning of one before a '*'?
 */
bool hooks_device_fits(const char *target, const char *name);

/*
 * Measure every hook that should be there into list, of room for `max`, and write the
 * map. 0 and their number in *ret_n, or a negative errno.
 */
int hooks_measure(const char *pins, struct hook *list, size_t max, size_t *ret_n);

#endif
