/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "tls/cert_files.h"

/* --- of an entry --- */

static bool exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* DIR/NAME and what follows, if it is there; NULL if not, or without memory. */
static char *there(const char *dir, const char *name, int len, const char *rest)
{
	char *path;

	if (asprintf(&path, "%s/%.*s%s", dir, len, name, rest) < 0)
		return NULL;
	if (exists(path))
		return path;
	free(path);
	return NULL;
}

static int add_path(struct cert_paths *p, struct cert_path path)
{
	struct cert_path *more = reallocarray(p->all, p->n + 1, sizeof(*more));

	if (more) {
		p->all = more;
		more[p->n++] = path;
		return 0;
	}
	free(path.chain);
	free(path.key);
	free(path.staple);
	return -ENOMEM;
}

static int add_folder(struct cert_paths *p, const char *dir, const char *name)
{
	char **more = reallocarray(p->folders, p->folders_n + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	p->folders = more;
	if (asprintf(&more[p->folders_n], "%s%s%s/.", dir, name[0] ? "/" : "", name) < 0)
		return -ENOMEM;
	p->folders_n++;
	return 0;
}

static int look_in_folder(struct cert_paths *p, const char *dir, const char *name)
{
	int len = (int)strlen(name), err = add_folder(p, dir, name);
	struct cert_path path = { .chain = there(dir, name, len, "/fullchain.pem"),
				  .key = there(dir, name, len, "/privkey.pem"),
				  .staple = there(dir, name, len, "/ocsp.der") };

	if (!err && path.chain && path.key)
		return add_path(p, path);
	free(path.chain);
	free(path.key);
	free(path.staple);
	return err;
}

static int look_at_file(struct cert_paths *p, const char *dir, const char *name)
{
	const char *dot = strrchr(name, '.');
	int len = dot ? (int)(dot - name) : 0;
	bool is_pem = len && strcmp(dot, ".pem") == 0;
	struct cert_path path;

	if (!is_pem && !(len && strcmp(dot, ".crt") == 0))
		return 0;
	path = (struct cert_path){ .chain = there(dir, name, len, dot),
				   .key = there(dir, name, len, ".key"),
				   .staple = there(dir, name, len, ".ocsp") };
	if (path.chain && (is_pem || path.key))
		return add_path(p, path);
	free(path.chain);
	free(path.key);
	free(path.staple);
	return 0;
}

static int is_seen(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int look_in(struct cert_paths *p, const char *dir)
{
	struct dirent **list;
	int n = scandir(dir, &list, is_seen, alphasort), err = n < 0 ? -errno : 0;
	struct stat st;
	char *path;

	if (!err)
		err = add_folder(p, dir, "");
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;

		if (!err && asprintf(&path, "%s/%s", dir, name) < 0)
			err = -ENOMEM;
		if (!err) {
			err = stat(path, &st) < 0   ? 0
			      : S_ISDIR(st.st_mode) ? look_in_folder(p, dir, name)
						    : look_at_file(p, dir, name);
			free(path);
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return err;
}

static char *copy(const char *path, int *err)
{
	char *ret = path ? strdup(path) : NULL;

	if (path && !ret)
		*err = -ENOMEM;
	return ret;
}

int cert_paths_find(const struct certificate *from, struct cert_paths *ret)
{
	struct cert_path one;
	int err = 0;

	*ret = (struct cert_paths){ NULL };
	if (from->directory)
		return look_in(ret, from->directory);
	one = (struct cert_path){ .chain = copy(from->certificate, &err),
				  .key = copy(from->key, &err),
				  .staple = copy(from->staple, &err),
				  .is_default = from->is_default };
	return err ? err : add_path(ret, one);
}

void cert_paths_free(struct cert_paths *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->all[i].chain);
		free(p->all[i].key);
		free(p->all[i].staple);
	}
	free(p->all);
	for (size_t i = 0; i < p->folders_n; i++)
		free(p->folders[i]);
	free(p->folders);
	*p = (struct cert_paths){ NULL };
}

/* --- of a configuration --- */

struct visit {
	int (*fn)(void *arg, const char *path);
	void *arg;
};

/* Each that is not NULL, of n. */
static int visit_all(const struct visit *v, const char *const *paths, size_t n)
{
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++)
		ret = paths[i] ? v->fn(v->arg, paths[i]) : 0;
	return ret;
}

static int visit_entry(const struct visit *v, const struct certificate *from)
{
	struct cert_paths p;
	int ret = 0;

	/* of a directory that cannot be read what can be known is its name */
	if (cert_paths_find(from, &p) < 0 && from->directory)
		ret = v->fn(v->arg, from->directory);
	for (size_t i = 0; i < p.folders_n && !ret; i++)
		ret = v->fn(v->arg, p.folders[i]);
	for (size_t i = 0; i < p.n && !ret; i++) {
		const char *const paths[] = { p.all[i].chain, p.all[i].key,
					      p.all[i].staple };

		ret = visit_all(v, paths, 3);
	}
	cert_paths_free(&p);
	return ret;
}

static int visit_route(const struct visit *v, const struct route *r)
{
	const struct backend_tls *b = r->backend_tls;
	const struct client_certificates *c = r->client_certificates;
	const char *const paths[] = { b ? b->ca : NULL, b ? b->certificate : NULL,
				      b ? b->key : NULL, c ? c->ca : NULL,
				      c ? c->crl : NULL };

	return visit_all(v, paths, ARRAY_SIZE(paths));
}

int cert_files_each(const struct config *c, int (*fn)(void *arg, const char *path),
		    void *arg)
{
	const struct visit v = { .fn = fn, .arg = arg };
	int ret =
		visit_all(&v, (const char *const *)c->ticket_keys, c->ticket_keys_count);

	for (unsigned i = 0; i < c->listeners_count && !ret; i++) {
		const struct listener *l = &c->listeners[i];

		for (unsigned k = 0; k < l->certificates_count && !ret; k++)
			ret = visit_entry(&v, &l->certificates[k]);
		for (unsigned k = 0; k < l->routes_count && !ret; k++)
			ret = visit_route(&v, &l->routes[k]);
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
