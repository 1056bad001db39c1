/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot: its references, its end, and finding what is in it. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/files.h"
#include "config/http.h"
#include "config/identity.h"
#include "config/match.h"
#include "config/passwords.h"
#include "config/pattern.h"
#include "config/schema.h"

static void patterns_free(struct pattern **patterns, unsigned n)
{
	for (unsigned i = 0; patterns && i < n; i++)
		pattern_free(patterns[i]);
	free(patterns);
}

static void edits_free(struct http_edits *e)
{
	free(e->set_rules);
	free(e->add_rules);
	free(e->remove_rules);
}

static void http_free_derived(struct http_route *h)
{
	patterns_free(h->host_patterns, h->host_count);
	patterns_free(h->path_patterns, h->path_count);
	identity_rules_free(h->identities, h->certificate_count);
	free(h->headers);
	free(h->queries);
	edits_free(&h->request);
	edits_free(&h->response);
	if (h->sticky) {
		free(h->sticky->values);
		free(h->sticky->fields);
	}
	if (h->jwt)
		free(h->jwt->wanted);
	if (h->basic_auth)
		passwords_free(h->basic_auth->passwords);
	if (h->cors) {
		free(h->cors->methods_text);
		free(h->cors->headers_text);
		free(h->cors->expose_text);
	}
}

static void route_free_derived(struct route *r)
{
	if (r->http)
		http_free_derived(r->http);
	patterns_free(r->patterns, r->sni_count);
	free(r->sources);
	free(r->turns[0].order);
	free(r->turns[1].order);
	free(r->backends);
}

static void listener_free_derived(struct listener *l)
{
	free(l->trusted);
	free(l->acme);
	if (l->http) {
		request_index_free(l->http->index);
		free(l->http->trusted_prefixes);
	}
	route_index_free(l->index);
	for (unsigned i = 0; i < l->routes_count; i++)
		route_free_derived(&l->routes[i]);
}

static void config_free(struct config *c)
{
	for (unsigned i = c->releases_n; i-- > 0;)
		c->releases[i].fn(c, c->releases[i].arg);
	for (unsigned i = 0; i < c->listeners_count; i++)
		listener_free_derived(&c->listeners[i]);
	free(c->warnings);
	config_files_free(c);
	schema_free(c);
}

struct listener *config_listener(struct config *c, uint16_t id)
{
	for (unsigned i = 0; i < c->listeners_count; i++) {
		if (c->listeners[i].id == id)
			return &c->listeners[i];
	}
	return NULL;
}

bool config_same_listener(const struct listener *a, const struct listener *b)
{
	return a->id == b->id && a->ipv6_only == b->ipv6_only &&
	       memcmp(&a->addr, &b->addr, sizeof(a->addr)) == 0;
}

bool config_answers(const struct route *r)
{
	return r->http && (r->http->redirect || r->http->respond);
}

bool config_has_status(const uint16_t *codes, unsigned n, unsigned status)
{
	for (unsigned i = 0; i < n; i++) {
		if (codes[i] == status || codes[i] == status / 100)
			return true;
	}
	return false;
}

struct route *config_route(const struct listener *l, uint16_t id)
{
	for (unsigned i = 0; i < l->routes_count; i++) {
		if (l->routes[i].id == id)
			return &l->routes[i];
	}
	return NULL;
}

struct config *config_get(struct config *c)
{
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void config_get_more(struct config *c, unsigned n)
{
	__atomic_fetch_add(&c->refs, n, __ATOMIC_RELAXED);
}

void config_put(struct config *c)
{
	if (c && __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) == 0)
		config_free(c);
}

void config_on_release(struct config *c, void (*fn)(struct config *c, void *arg),
		       void *arg)
{
	for (unsigned i = 0; i < c->releases_n; i++) {
		if (c->releases[i].fn == fn)
			return;
	}
	assert(c->releases_n < CONFIG_RELEASES_MAX);
	c->releases[c->releases_n++] = (struct config_release){ fn, arg };
}

void config_each_backend(struct config *c,
			 void (*fn)(struct listener *l, struct route *r,
				    struct backend *b, void *arg),
			 void *arg)
{
	for (unsigned i = 0; i < c->listeners_count; i++) {
		struct listener *l = &c->listeners[i];

		for (unsigned k = 0; k < l->routes_count; k++) {
			struct route *r = &l->routes[k];

			for (unsigned n = 0; n < r->backend_names_count; n++)
				fn(l, r, &r->backends[n], arg);
		}
	}
}
