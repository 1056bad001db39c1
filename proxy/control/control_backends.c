/* SPDX-License-Identifier: Apache-2.0 */
/* Backends: how they are, and whether anybody new may go there. */
#include <string.h>

#include "backend/place.h"
#include "backend/target.h"
#include "base/util.h"
#include "control/control_own.h"

static json_t *backend_json(const struct listener *l, const struct route *r,
			    const struct backend *b)
{
	int64_t now = (int64_t)(util_now_ns() / 1000000);
	const char *drained = b->drain			     ? "file"
			      : target_is_drained(b->target) ? "control"
							     : NULL;
	json_t *o = json_pack("{s:s, s:s, s:s, s:b, s:b, s:b, s:I, s:I}", "listener",
			      l->name, "route", r->name, "backend", b->name, "up",
			      target_is_up(b->target), "ejected",
			      target_is_ejected(b->target, now), "backup", b->backup,
			      "weight", (json_int_t)b->weight, "connections",
			      (json_int_t)target_active(b->target));

	json_object_set_new(o, "drained", drained ? json_string(drained) : json_null());
	json_object_set_new(o, "has_address",
			    json_boolean(target_has_address(b->target)));
	return o;
}

static void add(struct listener *l, struct route *r, struct backend *b, void *arg)
{
	json_array_append_new(arg, backend_json(l, r, b));
}

void control_list_backends(struct control *c, const struct server_request *r,
			   const char *rest, struct server_answer *ret)
{
	json_t *list = json_array();

	(void)r;
	(void)rest;
	config_each_backend(c->process.config(c->process.arg), add, list);
	control_answer(ret, 200, json_pack("{s:o}", "backends", list));
}

struct draining {
	const char *listener, *route, *backend;
	bool drain;
	unsigned matched, changed, by_file;
};

static bool is_wanted(const char *want, const char *is)
{
	return !want || strcmp(want, is) == 0;
}

static void drain_one(struct listener *l, struct route *r, struct backend *b, void *arg)
{
	struct draining *d = arg;

	if (!is_wanted(d->listener, l->name) || !is_wanted(d->route, r->name) ||
	    !is_wanted(d->backend, b->name))
		return;
	d->matched++;
	d->by_file += b->drain;
	d->changed += target_drain(b->target, d->drain) != d->drain;
	target_show_drained(b->target, b->upstream, b->drain);
}

/* The value of a key that may be there; false with the answer made. */
static bool read_word(const json_t *o, const char *key, const char **ret,
		      struct server_answer *a)
{
	const json_t *v = json_object_get(o, key);

	*ret = json_string_value(v);
	if (!v || *ret)
		return true;
	control_problem(a, 400, "bad-value", "%s: is not a string", key);
	return false;
}

static bool read_request(const json_t *o, struct draining *ret, struct server_answer *a)
{
	static const char *const keys[] = { "listener", "route", "backend", "drain" };
	const json_t *drain = json_object_get(o, "drain");
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)o, key, value)
	{
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			known |= strcmp(keys[i], key) == 0;
		if (known)
			continue;
		control_problem(
			a, 400, "bad-key",
			"%.40s: is no key; there are listener, route, backend and "
			"drain",
			key);
		return false;
	}
	if (!read_word(o, "listener", &ret->listener, a) ||
	    !read_word(o, "route", &ret->route, a) ||
	    !read_word(o, "backend", &ret->backend, a))
		return false;
	if (!json_is_boolean(drain)) {
		control_problem(a, 400, "bad-value",
				"drain: true, or false to take it "
				"back");
		return false;
	}
	ret->drain = json_is_true(drain);
	if (!ret->listener && !ret->route && !ret->backend) {
		control_problem(a, 400, "all-backends",
				"which? listener, route or backend; the proxy as a whole "
				"is drained by SIGTERM");
		return false;
	}
	return true;
}

void control_drain(struct control *c, const struct server_request *r, const char *rest,
		   struct server_answer *ret)
{
	struct draining d = { .drain = false };
	json_t *o;

	(void)rest;
	if (c->process.is_draining(c->process.arg)) { /* nobody comes here any more */
		control_problem(ret, 409, "draining", "it ends, and changes nothing");
		return;
	}
	o = control_body(r, ret);
	if (!o)
		return;
	if (read_request(o, &d, ret)) {
		config_each_backend(c->process.config(c->process.arg), drain_one, &d);
		if (!d.drain && d.changed) /* who waits for a place has one */
			place_backend_up(c->process.proxy);
		control_changed(
			c, r, d.matched > 0, "%s%s%.48s%s%.48s%s%.64s: %u backends",
			d.drain ? "drain" : "undrain", d.listener ? " listener " : "",
			d.listener ? d.listener : "", d.route ? " route " : "",
			d.route ? d.route : "", d.backend ? " backend " : "",
			d.backend ? d.backend : "", d.matched);
		if (!d.matched)
			control_problem(ret, 404, "no-such-backend",
					"the configuration has no such backend");
		else
			control_answer(ret, 200,
				       json_pack("{s:i, s:i, s:i}", "matched",
						 (int)d.matched, "changed",
						 (int)d.changed, "drained_by_file",
						 (int)d.by_file));
	}
	json_decref(o);
}
