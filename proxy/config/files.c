/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/files.h"
#include "config/passwords.h"

struct config_file *config_file(struct config *c, const char *path, size_t max)
{
	struct config_file *f;

	for (f = c->files; f; f = f->next) {
		if (strcmp(f->path, path) == 0 && f->max == max)
			return f;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->path = path;
	f->max = max;
	f->next = c->files;
	c->files = f;
	return f;
}

int config_files_read(struct config *c, char why[CONFIG_ERROR_MAX])
{
	for (struct config_file *f = c->files; f; f = f->next) {
		int err = util_read_file(f->path, f->max, &f->text, &f->len);

		if (!err)
			continue;
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
