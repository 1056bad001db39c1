/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of a listener's routes and backends, and their parsed forms. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/match.h"
#include "config/pattern.h"
#include "config/check.h"
#include "config/http.h"
#include "config/turns.h"
#include "config/value.h"
#include "config/where.h"

/* host:port; the port's place is after the last colon. */
static int check_address(struct where *w, const char *text)
{
	const char *colon = strrchr(text, ':');
	struct addr a;
	uint64_t port;

	if (strchr(text, '%'))
		return where_wrong(w, "'%s': a zone (%%...) is not taken here", text);
	if (strstr(text, "://"))
		return where_wrong(w,
				   "'%s' is a URL: write HOST:PORT; TLS to it is "
				   "'backend_tls', a path 'prefix' of 'http'",
				   text);
	if (text[0] != '[' && addr_parse_ip(text, a.ip) == 0)
		return where_wrong(w, "'%s' has no port%s", text,
				   strchr(text, ':') ? ": write \"[ADDRESS]:PORT\"" : "");
	if (!colon || colon == text || util_parse_u64(colon + 1, 65535, &port) < 0 ||
	    port == 0)
		return where_wrong(w,
				   "'%s' is not ADDRESS:PORT, [V6ADDRESS]:PORT or "
				   "NAME:PORT with a port of 1 to 65535",
				   text);
	if ((text[0] == '[' || memchr(text, ':', (size_t)(colon - text))) &&
	    addr_parse(text, &a) < 0)
		return where_wrong(w, "'%s' is not a valid address", text);
	return 0;
}

/* "unix:/path" of a socket (unix(7)). */
static int check_path(struct where *w, struct backend *b)
{
	const char *path = b->name + 5;

	if (path[0] != '/' || strlen(path) > CONFIG_UNIX_MAX)
		return where_wrong(w,
				   "'%s' is not unix: and the whole path of a socket, of "
				   "at most %d characters",
				   b->name, CONFIG_UNIX_MAX);
	b->path = path;
	return 0;
}

/* "weight=N", "limit=N", "backup" or "drain". */
static int check_option(struct where *w, const char *option, struct backend *b)
{
	uint64_t n;

	if (strcmp(option, "backup") == 0) {
		b->backup = true;
	} else if (strcmp(option, "drain") == 0) {
		b->drain = true;
	} else if (strncmp(option, "weight=", 7) == 0 &&
		   util_parse_u64(option + 7, CONFIG_WEIGHT_MAX, &n) == 0) {
		b->weight = (unsigned)n;
	} else if (strncmp(option, "limit=", 6) == 0 &&
		   util_parse_u64(option + 6, UINT32_MAX, &n) == 0) {
		b->limit = (unsigned)n;
	} else {
		return where_wrong(w,
				   "'%s' is not weight=0 to %d, limit=NUMBER, backup or "
				   "drain",
				   option, CONFIG_WEIGHT_MAX);
	}
	return 0;
}

static int check_backend(struct where *w, const char *text, struct backend *b)
{
	char copy[512], *rest, *word;
	struct addr a;
	int err;

	(void)snprintf(copy, sizeof(copy), "%s", text);
	word = strtok_r(copy, " ", &rest);
	if (!word || strlen(word) >= sizeof(b->name))
		return where_wrong(w, "'%s' is no backend, or too long", text);
	(void)snprintf(b->name, sizeof(b->name), "%s", word);
	err = strncmp(word, "unix:", 5) == 0 ? check_path(w, b) : check_address(w, word);
	b->named = !b->path && addr_parse(b->name, &a) < 0;
	b->weight = 1;
	while (!err && (word = strtok_r(NULL, " ", &rest)))
		err = check_option(w, word, b);
	return err;
}

static int check_backends(struct where *w, struct route *r)
{
	unsigned at = w->depth + 1;
	int err = 0;

	r->backends = calloc(r->backend_names_count ? r->backend_names_count : 1,
			     sizeof(*r->backends));
	if (!r->backends)
		return -ENOMEM;
	where_enter_key(w, "backends");
	for (unsigned i = 0; i < r->backend_names_count; i++) {
		int now;

		where_enter_index(w, i);
		now = check_backend(w, r->backend_names[i], &r->backends[i]);
		for (unsigned k = 0; !now && k < i; k++) {
			if (strcmp(r->backends[i].name, r->backends[k].name) == 0)
				now = where_wrong(w, "'%s' is here already",
						  r->backends[i].name);
		}
		err = where_also(w, at, err, now);
	}
	where_leave(w, 1);
	if (!err)
		err = turns_make(r->backends, r->backend_names_count, false,
				 &r->turns[0]);
	return err ? err
		   : turns_make(r->backends, r->backend_names_count, true, &r->turns[1]);
}

/* What is for one type does nothing with another. */
static int check_health_keys(struct where *w, const struct health *h)
{
	if (h->type != CHECK_HTTP && (h->path || h->status || h->body))
		return where_wrong(w, "'path', 'status' and 'body' are for type: http");
	if (h->type != CHECK_GRPC && h->service)
		return where_wrong(w, "'service' is for type: grpc");
	if (h->type == CHECK_TCP && h->name)
		return where_wrong(w, "'name' is for the other types than tcp");
	return 0;
}

static int check_http_health(struct where *w, const struct health *h)
{
	if (h->type != CHECK_HTTP && h->type != CHECK_GRPC)
		return 0;
	if (h->path && (h->path[0] != '/' || !http_is_path(text_of_string(h->path))))
		return where_wrong(w, "'%s' is not a path", h->path);
	if (h->name && !http_is_authority(text_of_string(h->name)))
		return where_wrong(w, "'%s' is no HOST or HOST:PORT", h->name);
	return h->status && (h->status < 200 || h->status > 599)
		       ? where_wrong(w, "%u is outside 200 to 599", h->status)
		       : 0;
}

static int check_health(struct where *w, struct health *h)
{
	unsigned at = w->depth + 1;
	int err;

	if (!h)
		return 0;
	h->rise = h->rise ? h->rise : 2;
	h->fall = h->fall ? h->fall : 3;
	where_enter_key(w, "health");
	err = check_health_keys(w, h);
	err = where_also(w, at, err, check_http_health(w, h));
	err = where_also(
		w, at, err,
		value_duration(w, "interval", h->interval, 2000, &h->interval_ms));
	err = where_also(w, at, err,
			 value_duration(w, "timeout", h->timeout, 1000, &h->timeout_ms));
	where_leave(w, 1);
	return err;
}

static int check_queue(struct where *w, struct queue *q)
{
	int err;

	if (!q)
		return 0;
	where_enter_key(w, "queue");
	err = value_duration(w, "timeout", q->timeout, 5000, &q->timeout_ms);
	if (!err)
		where_leave(w, 1);
	return err;
}

static int check_ejection(struct where *w, struct route *r)
{
	unsigned at = w->depth + 1;
	int err;

	r->eject_failures = r->ejection ? r->ejection->failures : 5;
	where_enter_key(w, "ejection");
	err = where_also(w, at, 0,
			 value_duration(w, "time", r->ejection ? r->ejection->time : NULL,
					10000, &r->eject_ms));
	if (r->ejection && r->ejection->status_count && !r->http)
		err = where_wrong(w, "'status' is for routes with 'http'");
	else if (r->ejection)
		err = where_also(w, at, err,
				 value_statuses(w, r->ejection->status,
						r->ejection->status_count,
						r->ejection->codes));
	where_leave(w, 1);
	return err;
}

static int check_source(struct where *w, struct route *r)
{
	if (!r->source)
		return 0;
	where_enter_key(w, "source");
	if (addr_parse_ip(r->source, r->source_addr.ip) < 0)
		return where_wrong(w, "'%s' is not an address, without a port",
				   r->source);
	where_leave(w, 1);
	return 0;
}

static int check_upstream(struct where *w, struct route *r)
{
	unsigned at = w->depth;
	int err = 0;

	if (!r->backend_names_count && !config_answers(r))
		err = where_wrong(w, "route '%s' has no 'backends'", r->name);
	err = where_also(w, at, err, check_backends(w, r));
	err = where_also(w, at, err, check_source(w, r));
	err = where_also(w, at, err, check_health(w, r->health));
	err = where_also(w, at, err, check_queue(w, r->queue));
	err = where_also(w, at, err, check_ejection(w, r));
	err = where_also(w, at, err, value_limits(w, &r->limits));
	r->retries_max = r->retries ? *r->retries : CONFIG_RETRIES;
	return where_also(
		w, at, err,
		value_duration(w, "slow_start", r->slow_start, 0, &r->slow_start_ms));
}

static int check_alpn(struct where *w, const struct route *r)
{
	where_enter_key(w, "alpn");
	for (unsigned i = 0; i < r->alpn_count; i++) {
		where_enter_index(w, i);
		if (!r->alpn[i][0])
			return where_wrong(w, "a protocol has a name, such as h2");
		where_leave(w, 1);
	}
	where_leave(w, 1);
	return 0;
}

static int check_clients(struct where *w, const struct client_certificates *c)
{
	if (!c || !c->depth || *c->depth <= CONFIG_DEPTH)
		return 0;
	where_enter_key(w, "client_certificates");
	where_enter_key(w, "depth");
	return where_wrong(w, "%u is more than %d issuers between", *c->depth,
			   CONFIG_DEPTH);
}

/* What its files are is tls/certs.c's to say. */
static int check_tls(struct where *w, const struct listener *l, struct route *r)
{
	const char *v = r->min_version;
	bool only = r->min_version || r->ciphers || r->groups || r->client_certificates;

	r->min_tls = 12;
	if (r->backend_tls && !r->tls_to_backends) {
		where_enter_key(w, "backend_tls");
		return where_wrong(w, "is for routes with tls: reencrypt, and for those "
				      "of listeners without TLS");
	}
	if ((r->tls == TLS_PASSTHROUGH && !only) || where_lost(w, 0, "tls"))
		return 0;
	if (r->tls == TLS_PASSTHROUGH) {
		where_enter_key(w, r->min_version ? "min_version"
				   : r->ciphers	  ? "ciphers"
				   : r->groups	  ? "groups"
						  : "client_certificates");
		return where_wrong(w, "is for routes whose TLS ends here (tls: terminate "
				      "or reencrypt)");
	}
	if (!l->certificates_count) {
		if (where_lost(w, 2, "certificates"))
			return 0;
		where_enter_key(w, "tls");
		return where_wrong(
			w, "the listener has no 'certificates' to terminate with");
	}
	if (v && strcmp(v, "1.2") != 0 && strcmp(v, "1.3") != 0) {
		where_enter_key(w, "min_version");
		return where_wrong(w, "'%s' is not \"1.2\" or \"1.3\"", v);
	}
	r->min_tls = v && strcmp(v, "1.3") == 0 ? 13 : 12;
	return check_clients(w, r->client_certificates);
}

/* Anew where TLS from the client has ended, or for the first time. */
static bool begins_tls(const struct listener *l, const struct route *r)
{
	bool is_plain = !l->tls || (r->http && r->http->internal);

	return r->tls == TLS_REENCRYPT ||
	       (r->backend_tls && r->tls == TLS_PASSTHROUGH && is_plain);
}

static int check_route(struct where *w, struct config *c, const struct listener *l,
		       struct route *r)
{
	unsigned at = w->depth;
	int err;

	r->tls_to_backends = begins_tls(l, r);
	err = where_also(w, at, 0, value_name(w, r->name));
	err = where_also(w, at, err,
			 value_names(w, c, "sni", r->sni, r->sni_count, &r->patterns));
	err = where_also(w, at, err, check_alpn(w, r));
	err = where_also(w, at, err,
			 value_prefixes(w, "from", r->from, r->from_count, &r->sources));
	err = where_also(w, at, err, check_upstream(w, r));
	err = where_also(w, at, err, check_tls(w, l, r));
	err = where_also(w, at, err, config_check_http_route(w, c, l, r));
	if (l->tls && !(r->http && r->http->internal) && !r->sni_count &&
	    !r->alpn_count && (!r->from_count || r->http) && r != l->fallback_route)
		return where_wrong(
			w,
			"route '%s' has no 'sni', 'alpn' or 'from', but its listener routes by "
			"server name; for all other names write sni: [\"*\"]",
			r->name);
	return err;
}

static int find_fallback(struct where *w, struct listener *l)
{
	if (!l->fallback)
		return 0;
	for (unsigned i = 0; i < l->routes_count; i++) {
		if (strcmp(l->routes[i].name, l->fallback) == 0)
			l->fallback_route = &l->routes[i];
	}
	if (l->fallback_route || where_lost(w, 0, "routes"))
		return 0;
	where_enter_key(w, "fallback");
	return where_wrong(w, "there is no route '%s' here", l->fallback);
}

static int build_index(struct where *w, struct listener *l)
{
	const char *name;
	unsigned second;
	int err = route_index_build(l, &l->index, &second, &name);

	if (err != -EEXIST)
		return err;
	where_enter_key(w, "routes");
	where_enter_index(w, second);
	if (name)
		return where_wrong(w, "'%s' is in an earlier route already", name);
	return where_wrong(w, "a second route without 'sni' can never be reached");
}

int config_check_routes(struct where *w, struct config *c, struct listener *l)
{
	unsigned at = w->depth;
	int err;

	for (unsigned i = 0; i < l->routes_count; i++) {
		l->tls |= l->routes[i].sni_count || l->routes[i].alpn_count ||
			  l->routes[i].tls != TLS_PASSTHROUGH;
		l->serves |= l->routes[i].http != NULL;
	}
	err = where_also(w, at, 0, config_check_http(w, c, l));
	if (err == -ENOMEM)
		return err;
	err = where_also(w, at, err, find_fallback(w, l));
	where_enter_key(w, "routes");
	for (unsigned i = 0; err != -ENOMEM && i < l->routes_count; i++) {
		where_enter_index(w, i);
		err = where_also(w, at + 1, err, check_route(w, c, l, &l->routes[i]));
	}
	where_leave(w, 1);
	if (!err) /* of what cannot be understood there is no order */
		err = build_index(w, l);
	return err ? err : config_check_requests(w, c, l);
}
