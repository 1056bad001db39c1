/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "config/files.h"
#include "tls/cert_files.h"

/* --- of an entry --- */

/*
 * DIR/NAME and what follows, if it is there.  Only what is not there is absent: what
 * cannot be looked at may be what others are served by now.
 */
static char *there(const char *dir, const char *name, int len, const char *rest, int *err)
{
	struct stat st;
	char *path;

	if (*err)
		return NULL;
	if (asprintf(&path, "%s/%.*s%s", dir, len, name, rest) < 0) {
		*err = -ENOMEM;
		return NULL;
	}
	if (stat(path, &st) < 0)
		*err = errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	else if (S_ISREG(st.st_mode))
		return path;
	free(path);
	return NULL;
}

static void path_done(struct cert_path *p)
{
	free(p->chain);
	free(p->key);
	free(p->staple);
}

static int add_path(struct cert_paths *p, struct cert_path path)
{
	struct cert_path *more = reallocarray(p->all, p->n + 1, sizeof(*more));

	if (more) {
		p->all = more;
		more[p->n++] = path;
		return 0;
	}
	path_done(&path);
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
	struct cert_path path = { .chain =
					  there(dir, name, len, "/fullchain.pem", &err) };

	path.key = there(dir, name, len, "/privkey.pem", &err);
	path.staple = there(dir, name, len, "/ocsp.der", &err);
	if (!err && path.chain && path.key)
		return add_path(p, path);
	path_done(&path);
	return err;
}

static int look_at_file(struct cert_paths *p, const char *dir, const char *name)
{
	const char *dot = strrchr(name, '.');
	int len = dot ? (int)(dot - name) : 0, err = 0;
	bool is_pem = len && strcmp(dot, ".pem") == 0;
	struct cert_path path = { NULL };

	if (!is_pem && !(len && strcmp(dot, ".crt") == 0))
		return 0;
	path.chain = there(dir, name, len, dot, &err);
	path.key = there(dir, name, len, ".key", &err);
	path.staple = there(dir, name, len, ".ocsp", &err);
	if (!err && path.chain && (is_pem || path.key))
		return add_path(p, path);
	path_done(&path);
	return err;
}

/* A folder, or a file; what went meanwhile is none. */
static int look_at(struct cert_paths *p, const char *dir, const char *name)
{
	struct stat st = { 0 };
	char *path;
	int err;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return -ENOMEM;
	err = stat(path, &st) < 0 && errno != ENOENT ? -errno : 0;
	free(path);
	return err		     ? err
	       : S_ISDIR(st.st_mode) ? look_in_folder(p, dir, name)
				     : look_at_file(p, dir, name);
}

static int is_seen(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int look_in(struct cert_paths *p, const char *dir)
{
	struct dirent **list;
	int n = scandir(dir, &list, is_seen, alphasort), err = n < 0 ? -errno : 0;

	if (!err)
		err = add_folder(p, dir, "");
	for (int i = 0; i < n; i++) {
		err = err ? err : look_at(p, dir, list[i]->d_name);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return err;
}

/* STATE/certs/NAME is where the helper puts them; it may not have been there yet. */
static int look_for_acme(struct cert_paths *p, const struct certificate *from)
{
	char *dir;
	int err = asprintf(&dir, "%s/certs", from->state) < 0 ? -ENOMEM : 0;

	if (err)
		return err;
	err = add_folder(p, from->state, "");
	if (!err)
		err = add_folder(p, dir, "");
	if (!err)
		err = look_in_folder(p, dir, from->acme[0]);
	for (size_t i = 0; i < p->n; i++)
		p->all[i].is_default = from->is_default;
	free(dir);
	return err;
}

/* NAME.crt.pem and NAME.key.pem, as dehydrated has them. */
int cert_paths_challenges(const char *state, struct cert_paths *ret)
{
	static const char end[] = ".crt.pem";
	struct dirent **list = NULL;
	struct cert_path path;
	char *dir;
	int n, err = asprintf(&dir, "%s/challenges", state) < 0 ? -ENOMEM : 0;

	*ret = (struct cert_paths){ NULL };
	if (err)
		return err;
	err = add_folder(ret, dir, "");
	n = scandir(dir, &list, is_seen, alphasort);
	for (int i = 0; i < n; i++) {
		int len = (int)strlen(list[i]->d_name) - (int)sizeof(end) + 1;

		if (!err && len > 0 && strcmp(list[i]->d_name + len, end) == 0) {
			path = (struct cert_path){ .chain = there(dir, list[i]->d_name,
								  len, end, &err) };
			path.key = there(dir, list[i]->d_name, len, ".key.pem", &err);
			if (!err && path.chain && path.key)
				err = add_path(ret, path);
			else
				path_done(&path);
		}
		free(list[i]);
	}
	free(list);
	free(dir);
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
	if (from->acme)
		return look_for_acme(ret, from);
	one = (struct cert_path){ .chain = copy(from->certificate, &err),
				  .key = copy(from->key, &err),
				  .staple = copy(from->staple, &err),
				  .is_default = from->is_default };
	return err ? err : add_path(ret, one);
}

void cert_paths_free(struct cert_paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		path_done(&p->all[i]);
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

static int visit_paths(const struct visit *v, const struct cert_paths *p)
{
	int ret = 0;

	for (size_t i = 0; i < p->folders_n && !ret; i++)
		ret = v->fn(v->arg, p->folders[i]);
	for (size_t i = 0; i < p->n && !ret; i++) {
		const char *const paths[] = { p->all[i].chain, p->all[i].key,
					      p->all[i].staple };

		ret = visit_all(v, paths, 3);
	}
	return ret;
}

static int visit_entry(const struct visit *v, const struct certificate *from)
{
	struct cert_paths p;
	int ret = 0;

	/* of a directory that cannot be read what can be known is its name */
	if (cert_paths_find(from, &p) < 0 && from->directory)
		ret = v->fn(v->arg, from->directory);
	if (!ret)
		ret = visit_paths(v, &p);
	cert_paths_free(&p);
	if (ret || !from->acme)
		return ret;
	(void)cert_paths_challenges(from->state, &p);
	ret = visit_paths(v, &p);
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

	for (const struct config_file *f = c->files; f && !ret; f = f->next)
		ret = fn(arg, f->path);
	for (unsigned i = 0; i < c->listeners_count && !ret; i++) {
		const struct listener *l = &c->listeners[i];

		for (unsigned k = 0; k < l->certificates_count && !ret; k++)
			ret = visit_entry(&v, &l->certificates[k]);
		for (unsigned k = 0; k < l->routes_count && !ret; k++)
			ret = visit_route(&v, &l->routes[k]);
	}
	return ret;
}

/* Of a folder only what is found in it counts, and that comes by itself. */
static int add_mark(void *arg, const char *path)
{
	uint64_t *mark = arg, parts[6] = { *mark };
	size_t len = strlen(path);
	struct stat st;

	if (len > 1 && strcmp(path + len - 2, "/.") == 0)
		return 0;
	parts[1] = util_hash(path, len);
	if (stat(path, &st) == 0) {
		parts[2] = st.st_ino;
		parts[3] = (uint64_t)st.st_size;
		parts[4] = (uint64_t)st.st_mtim.tv_sec * 1000000000 +
			   (uint64_t)st.st_mtim.tv_nsec;
		parts[5] = (uint64_t)st.st_ctim.tv_sec * 1000000000 +
			   (uint64_t)st.st_ctim.tv_nsec;
	}
	*mark = util_hash(parts, sizeof(parts));
	return 0;
}

uint64_t cert_files_mark(const struct config *c)
{
	uint64_t mark = 0;

	(void)cert_files_each(c, add_mark, &mark);
	return mark;
}
