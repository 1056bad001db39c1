/* SPDX-License-Identifier: Apache-2.0 */
/* Names of codes and ids, all from the lists in abi.h. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "book/book.h"

const char *const tg_leg_names[TG_LEG_MAX] = {
#define X(name, label) [TG_LEG_##name] = label,
	TG_LEGS(X)
#undef X
};

const char *const tg_close_names[TG_CLOSE_MAX] = {
#define X(name, label, side) [TG_CLOSE_##name] = label,
	TG_CLOSES(X)
#undef X
};

const char *const tg_close_sides[TG_CLOSE_MAX] = {
#define X(name, label, side) [TG_CLOSE_##name] = side,
	TG_CLOSES(X)
#undef X
};

const char *const tg_end_names[TG_END_MAX] = {
#define X(name, label, side, class) label,
	TG_ENDS(X)
#undef X
};

const char *const tg_side_names[TG_SIDE_MAX] = {
#define X(name, label) label,
	TG_SIDES(X)
#undef X
};

const char *const tg_fault_names[TG_FAULT_MAX] = {
#define X(name, label) [TG_FAULT_##name] = label,
	TG_FAULTS(X)
#undef X
};

const char *protocol_name(unsigned proto)
{
	static _Thread_local char number[12];
	static const struct {
		unsigned proto;
		const char *name;
	} names[] = { { 6, "tcp" },	{ 17, "udp" },	 { 1, "icmp" },
		      { 58, "icmpv6" }, { 132, "sctp" }, { 136, "udplite" },
		      { 33, "dccp" } };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].proto == proto)
			return names[i].name;
	}
	(void)snprintf(number, sizeof(number), "%u", proto);
	return number;
}

const char *tcp_state_name(unsigned state)
{
	/* include/net/tcp_states.h */
	static const char *const names[] = { "-",	    "ESTABLISHED", "SYN_SENT",
					     "SYN_RECV",    "FIN_WAIT1",   "FIN_WAIT2",
					     "TIME_WAIT",   "CLOSE",	   "CLOSE_WAIT",
					     "LAST_ACK",    "LISTEN",	   "CLOSING",
					     "NEW_SYN_RECV" };

	return state < ARRAY_SIZE(names) ? names[state] : "?";
}

const char *snapshot_name(const struct snapshot *s, enum tg_name_kind kind, unsigned id)
{
	static _Thread_local char unnamed[16];

	if (id == 0)
		return "";
	for (size_t i = 0; i < s->names_n; i++) {
		if (s->names[i].key.kind == kind && s->names[i].key.id == id)
			return s->names[i].val.name;
	}
	(void)snprintf(unnamed, sizeof(unnamed), "#%u", id);
	return unnamed;
}
