/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TESTS_BPF_PARSE_RESULT_H
#define TESTS_BPF_PARSE_RESULT_H

#include "bpf/parse.h"

struct parse_result {
	struct packet packet;
	__u32 fault; /* enum tg_fault */
};

#endif
