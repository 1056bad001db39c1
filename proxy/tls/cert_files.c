/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "base/util.h"
#include "tls/cert_files.h"

static int each(int (*fn)(void *arg, const char *path), void *arg, const char *path)
{
	return path ? fn(arg, path) : 0;
}

static int files_of_backend(const struct backend_tls *b,
			    int (*fn)(void *arg, const char *path), void *arg)
{
	int ret = b ? each(fn, arg, b->ca) : 0;

	if (b && !ret)
		ret = each(fn, arg, b->certificate);
	return b && !ret ? each(fn, arg, b->key) : ret;
}

int cert_files_each(const struct config *c, int (*fn)(void *arg, const char *path),
		    void *arg)
{
	int ret = 0;

	for (unsigned i = 0; i < c->listeners_count && !ret; i++) {
		const struct listener *l = &c->listeners[i];

		for (unsigned k = 0; k < l->certificates_count && !ret; k++) {
			ret = each(fn, arg, l->certificates[k].certificate);
			if (!ret)
				ret = each(fn, arg, l->certificates[k].key);
		}
		for (unsigned k = 0; k < l->routes_count && !ret; k++) {
			const struct route *r = &l->routes[k];

			ret = files_of_backend(r->backend_tls, fn, arg);
			if (!ret && r->client_certificates)
				ret = fn(arg, r->client_certificates->ca);
		}
	}
	return ret;
}

uint64_t cert_files_mark(uint64_t before, const char *path)
{
	struct stat st;
	uint64_t parts[5] = { before };

	if (stat(path, &st) == 0) {
		parts[1] = st.st_ino;
		parts[2] = (uint64_t)st.st_size;
		parts[3] = (uint64_t)st.st_mtim.tv_sec * 1000000000 +
			   (uint64_t)st.st_mtim.tv_nsec;
		parts[4] = (uint64_t)st.st_ctim.tv_sec * 1000000000 +
			   (uint64_t)st.st_ctim.tv_nsec;
	}
	return util_hash(parts, sizeof(parts));
}
