/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the kernel's books that are added to those of the past. */
#ifndef USER_BOOK_FOLD_H
#define USER_BOOK_FOLD_H

#include <stddef.h>

#include "bpf/abi.h"

struct fold {
	int tcp_fd, wire_fd, folding_fd, cursors_fd;
	size_t cpus;
	/* set by fold_read(), to be freed */
	struct row_key *left;
	size_t left_n;
};

/*
 * Of these *n rows, add to the past of their leg what the kernel's books have, and remove
 * them there.  A row with a live socket stays: it is taken out of the list, whose rest
 * moves up, in no order.  0 or a negative errno, with nothing changed.
 */
int fold_rows(struct fold *f, struct row_key *rows, size_t *n);

/* The rows there are, in no order, some twice.  0 or -ENOMEM. */
int fold_read(struct fold *f);

#endif
