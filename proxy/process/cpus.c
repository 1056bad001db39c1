/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>

#include "process/daemon.h"

/* The CPUs we may use, and how many they are. */
static int cpus_allowed(cpu_set_t *ret)
{
	CPU_ZERO(ret);
	if (sched_getaffinity(0, sizeof(*ret), ret) < 0 || CPU_COUNT(ret) == 0)
		CPU_SET(0, ret);
	return CPU_COUNT(ret);
}

int daemon_cpu(unsigned worker)
{
	cpu_set_t cpus;

	(void)cpus_allowed(&cpus);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET((size_t)cpu, &cpus) && worker-- == 0)
			return cpu;
	}
	return -1;
}

int daemon_cpus(void)
{
	cpu_set_t cpus;

	return cpus_allowed(&cpus);
}
