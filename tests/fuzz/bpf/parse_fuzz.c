/* SPDX-License-Identifier: Apache-2.0 */
/* parse.h compiled here, with sanitizers, against the same header run by the kernel. */
#include "tests/bpf/parse_run.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	parse_load();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct parse_result here, there;

	parse_here(data, len, &here);
	if (here.fault >= TG_FAULT_MAX)
		abort();
	if (len < PARSE_LEN_MIN || len > PARSE_LEN_MAX)
		return 0;
	for (int i = 0; i < PARSE_PROGRAMS; i++) {
		int err = parse_there(i, data, len, &there);

		if (err == -EINVAL && i == 0)
			continue;
		if (err < 0 || memcmp(&here, &there, sizeof(here)) != 0)
			abort();
	}
	return 0;
}
