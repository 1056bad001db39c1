/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "config/files.h"
#include "config/passwords.h"

struct config_file *config_file(struct config *c, const char *path, size_t max,
				bool secret)
{
	struct config_file *f;

	for (f = c->files; f; f = f->next) {
		if (strcmp(f->path, path) == 0 && f->max == max) {
			f->secret |= secret;
			return f;
		}
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->path = path;
	f->max = max;
	f->secret = secret;
	f->next = c->files;
	c->files = f;
	return f;
}

static void look_at_mode(struct config *c, const struct config_file *f)
{
	struct stat st;

	if (f->secret && stat(f->path, &st) == 0 && st.st_mode & 077)
		config_warn(c, "%s: others may read these passwords (mode %o)", f->path,
			    st.st_mode & 0777);
}

int config_files_read(struct config *c, char why[CONFIG_ERROR_MAX])
{
	for (struct config_file *f = c->files; f; f = f->next) {
		int err = util_read_file(f->path, f->max, &f->text, &f->len);

		if (!err) {
			look_at_mode(c, f);
			continue;
		}
		if (err == -EFBIG)
			(void)snprintf(why, CONFIG_ERROR_MAX,
				       "%.300s: has more than %zu bytes", f->path,
				       f->max);
		else
			(void)snprintf(why, CONFIG_ERROR_MAX,
				       "%.300s: cannot be read: %s", f->path,
				       strerror(-err));
		return err;
	}
	return config_passwords_read(c, why);
}

void config_files_free(struct config *c)
{
	while (c->files) {
		struct config_file *f = c->files;

		c->files = f->next;
		free(f->text);
		free(f);
	}
}
