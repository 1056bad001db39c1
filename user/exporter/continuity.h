/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_EXPORTER_CONTINUITY_H
#define USER_EXPORTER_CONTINUITY_H

#include <stdint.h>

/*
 * A counter that begins anew while we live, because what counts it was made anew: as it
 * would be if it had gone on from its last known value.  `name` is cut to 159 bytes;
 * those that were not asked for longest are forgotten beyond 1,024.  One thread.
 */
uint64_t continuity(const char *name, uint64_t value);

#endif
