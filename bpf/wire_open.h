/* SPDX-License-Identifier: GPL-2.0-only */
/* A socket takes its flow of the wire book over. */
#ifndef BPF_WIRE_OPEN_H
#define BPF_WIRE_OPEN_H

#include "tcp_sock.h"
#include "wire_flow.h"

/*
 * A listener that is bound to a device passes that on, but the flow of the SYN did not
 * know: it goes on under its socket's own key.
 */
static __always_inline struct wire_flow *flow_bind(struct flow_key *key)
{
	struct flow_key unbound = *key;
	struct wire_flow *f, *bound;

	unbound.device = 0;
	f = bpf_map_lookup_elem(&wire, &unbound);
	if (!f || f->socket)
		return NULL;
	bpf_map_update_elem(&wire, key, f, BPF_NOEXIST);
	bound = bpf_map_lookup_elem(&wire, key);
	bpf_map_delete_elem(&wire, &unbound);
	if (bound)
		bound->key = *key;
	return bound;
}

/*
 * From now on packets of this 4-tuple belong to a socket.  A passive flow exists since
 * its SYN, or it is not on a watched device; an active one begins here.  A flow that has
 * a socket already is of a life whose end nobody told us.
 */
static __always_inline void wire_open(struct flow_key *key, __u8 role, __u8 state)
{
	static const struct wire_flow empty;
	struct meta *m = meta_get();
	struct wire_flow *f;
	int fresh = 0;
	long err = 0;

	if (!m || !m->wire || m->netns_cookie != key->netns_cookie)
		return;
	/* nothing was sent yet, so nobody looks for this element while it is filled */
	if (role == TG_ROLE_CONNECTED) {
		err = bpf_map_update_elem(&wire, key, &empty, BPF_NOEXIST);
		fresh = err == 0;
	}
	f = bpf_map_lookup_elem(&wire, key);
	if (f && !fresh && (state == BPF_TCP_SYN_SENT || f->socket)) {
		/* of an earlier conversation that nobody ended */
		flow_settle(key, f, ~0ull);
		err = bpf_map_update_elem(&wire, key, &empty, BPF_NOEXIST);
		fresh = err == 0;
		f = bpf_map_lookup_elem(&wire, key);
	}
	if (!f && key->device && role == TG_ROLE_ACCEPTED)
		f = flow_bind(key);
	if (!f) {
		fault_insert(err, TG_FAULT_WIRE_FULL);
		return;
	}
	if (fresh) {
		f->key = *key;
		f->active = role == TG_ROLE_CONNECTED;
		f->opened_ns = f->seen_ns = bpf_ktime_get_ns();
		f->epoch = cursor_get(TG_CURSOR_EPOCH);
	}
	f->socket = 1;
}

#endif
