/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <inttypes.h>

#include "base/addr.h"
#include "show/offenders.h"

static const char *offender_format(const struct offender *o, char ret[ADDR_STR_MAX])
{
	bool v4 = addr_is_v4(o->ip);

	(void)inet_ntop(v4 ? AF_INET : AF_INET6, o->ip + (v4 ? 12 : 0), ret,
			ADDR_STR_MAX);
	return ret;
}

#define OFFENDERS_SHOWN 10

void offenders_print(FILE *out, const struct snapshot *s)
{
	char ip[ADDR_STR_MAX];

	for (size_t i = 0; i < s->offenders_n && i < OFFENDERS_SHOWN; i++) {
		const struct offender *o = &s->offenders[i];

		fprintf(out, "offender   %s at %s: %s %" PRIu64 "\n",
			offender_format(o, ip),
			snapshot_name(s, TG_NAME_LISTENER, o->listener),
			tg_end_names[o->reason], (uint64_t)o->refused);
	}
}

json_t *offenders_json(const struct snapshot *s)
{
	json_t *list = json_array();
	char ip[ADDR_STR_MAX];

	for (size_t i = 0; i < s->offenders_n; i++) {
		const struct offender *o = &s->offenders[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:I, s:I, s:f}", "source",
					offender_format(o, ip), "listener",
					snapshot_name(s, TG_NAME_LISTENER, o->listener),
					"reason", tg_end_names[o->reason], "refused",
					(json_int_t)o->refused, "at_most_too_high",
					(json_int_t)o->over, "age_seconds",
					(double)(s->taken_ns - o->last_ns) / 1e9));
	}
	return list;
}
