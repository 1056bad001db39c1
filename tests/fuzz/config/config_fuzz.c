/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text is either a configuration or refused with a sentence; nothing leaks.  What is
 * one is the same when its resolved text is read again.
 */
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/faults.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void read_again(const char *text)
{
	struct faults f = { .n = 0 };
	struct config *c = NULL;
	char *again = NULL;

	if (config_read("g", text, strlen(text), &c, &again, &f) < 0 ||
	    strcmp(text, again) != 0)
		abort();
	config_put(c);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct faults f = { .n = 0 };
	struct config *c = NULL;
	char *resolved = NULL, line[CONFIG_ERROR_MAX];

	if (config_read("f", (const char *)data, len, &c, &resolved, &f) == 0) {
		read_again(resolved);
		config_put(c);
		free(resolved);
	} else {
		if (f.n)
			fault_format(&f.list[0], line, sizeof(line));
		if (!f.n || strncmp(line, "f:", 2) != 0)
			abort();
	}
	faults_free(&f);
	return 0;
}
