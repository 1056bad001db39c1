/* SPDX-License-Identifier: Apache-2.0 */
/* Any text is either a configuration or refused with a sentence; nothing leaks. */
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char why[CONFIG_ERROR_MAX];
	struct config *c = NULL;

	if (config_parse("f", (const char *)data, len, &c, why) == 0)
		config_put(c);
	else if (strncmp(why, "f:", 2) != 0)
		abort();
	return 0;
}
