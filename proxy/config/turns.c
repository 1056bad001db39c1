/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "config/turns.h"

int turns_make(const struct backend *b, unsigned count, bool backup, struct turns *ret)
{
	int current[CONFIG_BACKENDS_MAX] = { 0 }, total = 0;

	for (unsigned i = 0; i < count; i++)
		total += b[i].backup == backup && !b[i].drain ? (int)b[i].weight : 0;
	ret->order = malloc(total ? (size_t)total : 1);
	ret->n = (unsigned)total;
	if (!ret->order)
		return -ENOMEM;
	for (int k = 0; k < total; k++) {
		int best = -1;

		for (unsigned i = 0; i < count; i++) {
			if (b[i].backup != backup || b[i].drain)
				continue;
			current[i] += (int)b[i].weight;
			if (best < 0 || current[i] > current[best])
				best = (int)i;
		}
		current[best] -= total;
		ret->order[k] = (uint8_t)best;
	}
	return 0;
}
