/* SPDX-License-Identifier: Apache-2.0 */
/* tollgate check: the configuration in the words of who runs it. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/util.h"
#include "command/check.h"
#include "config/http.h"
#include "tls/certs.h"

#define LOOKUP_MS 3000

static const char *const balances[] = {
	[BALANCE_ROUND_ROBIN] = "in turn",
	[BALANCE_LEAST_CONNECTIONS] = "to whom has the fewest connections",
	[BALANCE_SOURCE_HASH] = "by the client's address",
	[BALANCE_RANDOM] = "to the less busy of two drawn at random",
};

static void show_list(const char *what, char *const *words, unsigned n)
{
	if (!n)
		return;
	printf("%s", what);
	for (unsigned i = 0; i < n; i++)
		printf("%s%s", i ? ", " : " ", words[i]);
}

static void show_backend(const struct backend *b)
{
	printf("      %s", b->name);
	if (b->weight != 1)
		printf(", weight %u", b->weight);
	if (b->limit)
		printf(", at most %u connections", b->limit);
	if (b->backup)
		printf(", backup");
	if (b->drain)
		printf(", drained: no new connections");
	putchar('\n');
}

void check_show_conditions(const struct route *r)
{
	const struct http_route *h = r->http;

	show_list(" for host", h->host_count ? h->host : r->sni,
		  h->host_count ? h->host_count : r->sni_count);
	if (!h->host_count && !r->sni_count)
		printf(" for any host");
	show_list(", path", h->path, h->path_count);
	show_list(", method", h->method, h->method_count);
	show_list(", field", h->header, h->header_count);
	show_list(", query", h->query, h->query_count);
	show_list(", certificate", h->certificate, h->certificate_count);
}

/* What becomes of its requests. */
static void show_http(const struct route *r)
{
	const struct http_route *h = r->http;

	if (h->internal) {
		printf(" asked by forward_auth only");
	} else {
		printf(" requests");
		check_show_conditions(r);
	}
	if (h->cors)
		show_list("; for pages of", h->cors->origins, h->cors->origins_count);
	if (h->basic_auth)
		printf("; for who is in %s", h->basic_auth->file);
	if (h->jwt)
		printf("; with a token by a key of %s", h->jwt->keys);
	if (h->rate)
		printf("; at most %s by %s", h->rate->limit,
		       h->rate->by ? h->rate->by : "the client's address");
	if (h->forward_auth)
		printf("; if route %s says so", h->forward_auth->route);
	if (h->redirect)
		printf("; redirected (%u) to %s", h->redirect->status, h->redirect->to);
	else if (h->respond)
		printf("; answered here (%u)", h->respond->status);
	else
		printf("; by %s", config_protocol(h));
}

/* What is said of a route stands behind ':', and behind ';' each time after that. */
static void separate(bool *said)
{
	printf("%s", *said ? ";" : "");
	*said = true;
}

static void show_words(bool *said, const char *what, char *const *words, unsigned n)
{
	if (n)
		separate(said);
	show_list(what, words, n);
}

/* Which connections it takes. */
static void show_connections(const struct route *r, bool *said)
{
	show_words(said, " names", r->sni, r->sni_count);
	show_words(said, " protocols", r->alpn, r->alpn_count);
	show_words(said, " from", r->from, r->from_count);
	if (!*said && !r->http) {
		separate(said);
		printf(" every connection");
	}
	if (r->priority) {
		separate(said);
		printf(" priority %d", r->priority);
	}
	if (r->tls != TLS_PASSTHROUGH) {
		separate(said);
		printf(" TLS ends here, %s or later, groups %s%s",
		       r->min_tls == 13 ? "1.3" : "1.2",
		       r->groups ? r->groups : certs_groups(),
		       r->tls == TLS_REENCRYPT ? ", and begins anew to the backend" : "");
	} else if (r->tls_to_backends) {
		separate(said);
		printf(" over TLS to the backend");
	}
}

static void show_route(const struct listener *l, const struct route *r)
{
	bool said = false;

	printf("    route %s:", r->name);
	show_connections(r, &said);
	if (r == l->fallback_route) {
		separate(&said);
		printf(" and what cannot be decided");
	}
	if (r->http) {
		separate(&said);
		show_http(r);
	}
	if (r->http && r->http->sticky)
		printf("; back to their own by the cookie %s", r->http->sticky->cookie);
	if (r->http && r->http->hash)
		printf("; by %s", r->http->hash);
	else if (r->backend_names_count)
		printf("; %s", r->backend_names_count > 1 ? balances[r->balance]
							  : "to one backend");
	putchar('\n');
	for (unsigned i = 0; i < r->backend_names_count; i++)
		show_backend(&r->backends[i]);
}

static void show_certificate(const struct cert *c)
{
	long days = (long)((c->not_after - time(NULL)) / 86400);

	printf("    certificate %s, %s:", c->file, c->is_rsa ? "RSA" : "ECDSA or EdDSA");
	show_list("", c->names, c->names_n);
	printf("; %ld days%s%s\n", days, c->is_default ? "; for every other name" : "",
	       c->staple ? "; with an OCSP response" : "");
}

static void show_listener(const struct listener *l)
{
	char at[ADDR_STR_MAX];

	printf("  listener %s at %s, %s", l->name,
	       l->path ? l->address : addr_format(&l->addr, at),
	       l->tls	   ? "by the ClientHello"
	       : l->serves ? "by the request"
			   : "by the port");
	if (l->proxy_protocol)
		show_list("; PROXY headers from", l->proxy_protocol->from,
			  l->proxy_protocol->from_count);
	putchar('\n');
	for (unsigned i = 0; l->certs && i < l->certs->n; i++)
		show_certificate(&l->certs->list[i]);
	for (unsigned i = 0; i < l->routes_count; i++)
		show_route(l, &l->routes[i]);
}

/* --- names that have no address --- */

struct lookups {
	struct gaicb **cbs;
	unsigned n, room;
};

static void add_name(struct listener *l, struct route *r, struct backend *b, void *arg)
{
	struct lookups *all = arg;
	struct gaicb *cb;
	char *host, *colon;
	struct addr a;

	(void)l;
	(void)r;
	if (b->path || addr_parse(b->name, &a) == 0)
		return;
	host = strdup(b->name);
	colon = host ? strrchr(host, ':') : NULL;
	cb = colon ? calloc(1, sizeof(*cb)) : NULL;
	if (!cb) {
		free(host);
		return;
	}
	*colon = '\0';
	cb->ar_name = host;
	for (unsigned i = 0; i < all->n; i++) {
		if (strcmp(all->cbs[i]->ar_name, host) == 0) {
			free(host);
			free(cb);
			return;
		}
	}
	if (all->n == all->room) {
		unsigned room = all->room ? 2 * all->room : 64;
		struct gaicb **cbs = realloc(all->cbs, room * sizeof(struct gaicb *));

		if (!cbs) {
			free(host);
			free(cb);
			return;
		}
		all->cbs = cbs;
		all->room = room;
	}
	all->cbs[all->n++] = cb;
}

static void wait_for(const struct lookups *all)
{
	uint64_t until = util_now_ns() + LOOKUP_MS * 1000000ull, now;

	for (unsigned i = 0; i < all->n; i++) {
		while (gai_error(all->cbs[i]) == EAI_INPROGRESS &&
		       (now = util_now_ns()) < until) {
			struct timespec t = { (time_t)((until - now) / 1000000000),
					      (long)((until - now) % 1000000000) };

			(void)gai_suspend((const struct gaicb *const *)&all->cbs[i], 1,
					  &t);
		}
	}
}

static void warn_of_names(const struct config *c)
{
	/* kept: what has not answered is still the resolver's, and the process ends soon
	 */
	static struct lookups all;

	config_each_backend((struct config *)c, add_name, &all);
	if (!all.n || getaddrinfo_a(GAI_NOWAIT, all.cbs, (int)all.n, NULL) != 0) {
		return;
	}
	wait_for(&all);
	for (unsigned i = 0; i < all.n; i++) {
		int err = gai_error(all.cbs[i]);

		if (err == EAI_INPROGRESS)
			log_warn("%s: no answer in %d seconds", all.cbs[i]->ar_name,
				 LOOKUP_MS / 1000);
		else if (err)
			log_warn("%s: has no address here and now: %s",
				 all.cbs[i]->ar_name, gai_strerror(err));
	}
}

void check_show(const char *path, const struct config *c)
{
	for (const char *p = c->warnings; p && *p; p += strcspn(p, "\n") + 1)
		log_warn("%.*s", (int)strcspn(p, "\n"), p);
	for (unsigned i = 0; i < c->listeners_count; i++)
		show_listener(&c->listeners[i]);
	(void)fflush(stdout);
	warn_of_names(c);
	printf("%s: fine, %u listener%s\n", path, c->listeners_count,
	       c->listeners_count == 1 ? "" : "s");
}
