/* SPDX-License-Identifier: Apache-2.0 */
/* Pinned maps by name. */
#ifndef USER_BOOK_PIN_H
#define USER_BOOK_PIN_H

#include <stddef.h>
#include <stdint.h>

/* Open the pin `name` below `pins`.  0 and a descriptor, or a negative errno. */
int pin_open(const char *pins, const char *name, int *ret);

/*
 * Map a whole array for reading and writing.  value_size: of an element as this program
 * was built, else -EPROTO.  0 and the elements, their number in *ret_n if that is not
 * NULL; or a negative errno.  Ends with munmap(*ret, value_size * number).
 */
int pin_map(const char *pins, const char *name, size_t value_size, void **ret,
	    size_t *ret_n);

/* The kernel's number of the map that is pinned as `name`; 0 if there is none. */
uint32_t pin_map_id(const char *pins, const char *name);

#endif
