/* SPDX-License-Identifier: Apache-2.0 */
/* A file and what the API has made beside it. */
#ifndef PROXY_STATE_MERGE_H
#define PROXY_STATE_MERGE_H

#include "config/faults.h"
#include "state/objects.h"

enum {
	MERGE_PRUNE = 1, /* what is of the API and not in the file goes */
	MERGE_TAKE = 2	 /* what both have is the file's */
};

/*
 * The objects of the file, all ORIGIN_FILE, and those of `now` that are of the API, each
 * where it was among the others.  0; -EEXIST with each in *f where two truths would be:
 * what both have and say differently, and what the API has put into a listener that the
 * file has no more; or -ENOMEM.  *ret is to be freed in any case.
 */
int merge_file(const struct objects *now, const struct objects *file, unsigned how,
	       struct objects *ret, struct faults *f);

#endif
