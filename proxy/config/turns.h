/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_CONFIG_TURNS_H
#define PROXY_CONFIG_TURNS_H

#include "config/config.h"

/*
 * The order in which weighted backends take turns, evenly mixed: backups, or the others.
 * 0, or -ENOMEM; ret->order is the caller's to free.
 */
int turns_make(const struct backend *b, unsigned count, bool backup, struct turns *ret);

#endif
