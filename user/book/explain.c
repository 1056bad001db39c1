/* SPDX-License-Identifier: Apache-2.0 */
/* Why the pins cannot be opened, in the words every program uses. */
#include <errno.h>

#include "base/log.h"
#include "book/explain.h"

void book_explain(int err, const char *pins)
{
	switch (err) {
	case -ENOENT:
		log_error(
			"not loaded: nothing is pinned in %s; run 'tollgate load', or name "
			"the directory with --pins",
			pins);
		break;
	case -EACCES:
	case -EPERM:
		log_error("no permission to read %s: run as root", pins);
		break;
	case -EPROTO:
		log_error("%s was loaded by another version; run 'tollgate unload' and "
			  "'tollgate load'",
			  pins);
		break;
	case -EBUSY:
		break;
	default:
		(void)log_errno(err, "cannot open the books in %s", pins);
	}
}
