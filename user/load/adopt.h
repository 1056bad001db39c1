/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that are older than the books. */
#ifndef USER_LOAD_ADOPT_H
#define USER_LOAD_ADOPT_H

#include <stdint.h>

/* Whose open connections to adopt: every network namespace's, or this one's. */
enum adopt_whose { ADOPT_ALL, ADOPT_HERE, ADOPT_NONE };

/*
 * Take in what is open and in no book yet, by the program pinned below `pins`.  0 and the
 * number in *ret_n (if not NULL), or a negative errno, logged.
 */
int adopt_run(const char *pins, enum adopt_whose whose, uint64_t *ret_n);

#endif
