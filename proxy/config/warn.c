/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"

void config_warn(struct config *c, const char *fmt, ...)
{
	char line[CONFIG_ERROR_MAX], *all;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (asprintf(&all, "%s%s\n", c->warnings ? c->warnings : "", line) < 0)
		return; /* without memory there are other worries */
	free(c->warnings);
	c->warnings = all;
}
