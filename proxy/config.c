/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration: libcyaml maps the file onto the structs by the tables below; what a
 * schema cannot say is checked afterwards, and libyaml tells where the value stands.
 * The only file that includes either library.
 */
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cyaml/cyaml.h>
#include <yaml.h>

#include "base/util.h"
#include "config.h"

#define PATH_MAX_KEYS 6

/* --- schema --- */

static const cyaml_strval_t send_proxy_values[] = {
	{ "none", PP_NONE },
	{ "v1", PP_V1 },
	{ "v2", PP_V2 },
};

static const cyaml_schema_value_t string_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, 255),
};

static const cyaml_schema_field_t route_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct route, name, 1,
			       CONFIG_NAME_MAX),
	CYAML_FIELD_SEQUENCE("sni", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct route, sni,
			     &string_schema, 1, 1024),
	CYAML_FIELD_SEQUENCE_COUNT("backends", CYAML_FLAG_POINTER, struct route, backend_names,
				   backend_names_count, &string_schema, 1, 64),
	CYAML_FIELD_ENUM("send_proxy", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct route,
			 send_proxy, send_proxy_values, CYAML_ARRAY_LEN(send_proxy_values)),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t route_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct route, route_fields),
};

static const cyaml_schema_field_t proxy_from_fields[] = {
	CYAML_FIELD_SEQUENCE("from", CYAML_FLAG_POINTER, struct proxy_from, from,
			     &string_schema, 1, 256),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t limits_fields[] = {
	CYAML_FIELD_UINT("connections", CYAML_FLAG_OPTIONAL, struct limits, connections),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t listener_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct listener, name, 1,
			       CONFIG_NAME_MAX),
	CYAML_FIELD_STRING_PTR("address", CYAML_FLAG_POINTER, struct listener, address, 1, 64),
	CYAML_FIELD_BOOL("ipv6_only", CYAML_FLAG_OPTIONAL, struct listener, ipv6_only),
	CYAML_FIELD_MAPPING_PTR("proxy_protocol", CYAML_FLAG_OPTIONAL, struct listener,
				proxy_protocol, proxy_from_fields),
	CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct listener, limits,
			    limits_fields),
	CYAML_FIELD_SEQUENCE("routes", CYAML_FLAG_POINTER, struct listener, routes,
			     &route_schema, 1, 1024),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t listener_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct listener, listener_fields),
};

#define TIMEOUT(key)                                                                     \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,           \
			       struct timeouts, key, 1, 16)

static const cyaml_schema_field_t timeouts_fields[] = {
	TIMEOUT(connect), TIMEOUT(hello), TIMEOUT(idle), TIMEOUT(drain), CYAML_FIELD_END,
};

static const cyaml_schema_field_t config_fields[] = {
	CYAML_FIELD_STRING_PTR("user", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config,
			       user, 1, 32),
	CYAML_FIELD_UINT("workers", CYAML_FLAG_OPTIONAL, struct config, workers),
	CYAML_FIELD_UINT("hello_bytes", CYAML_FLAG_OPTIONAL, struct config, hello_bytes),
	CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct config, limits,
			    limits_fields),
	CYAML_FIELD_MAPPING("timeouts", CYAML_FLAG_OPTIONAL, struct config, timeouts,
			    timeouts_fields),
	CYAML_FIELD_SEQUENCE("listeners", CYAML_FLAG_POINTER, struct config, listeners,
			     &listener_schema, 1, CONFIG_LISTENERS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t config_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, config_fields),
};

const char *const config_keys[] = { "user",	      "workers",     "hello_bytes",
				    "limits",	      "connections", "timeouts",
				    "connect",	      "hello",	     "idle",
				    "drain",	      "listeners",   "name",
				    "address",	      "ipv6_only",   "proxy_protocol",
				    "from",	      "routes",	     "sni",
				    "backends",	      "send_proxy",  NULL };

/* --- libcyaml's messages: the first is what, the first position is where --- */

struct cyaml_said {
	char what[512];
	char in[512];
	unsigned line, column;
};

static void on_cyaml(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct cyaml_said *said = ctx;
	char text[512];
	const char *at;

	(void)level;
	(void)vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	at = strstr(text, "(line: ");
	if (at && !said->line) {
		if (sscanf(at, "(line: %u, column: %u)", &said->line, &said->column) != 2)
			said->line = 0;
		text[at - text - 1] = '\0';
		(void)snprintf(said->in, sizeof(said->in), "%s", text + strspn(text, " "));
	} else if (!said->what[0] && strncmp(text, "Load: ", 6) == 0) {
		(void)snprintf(said->what, sizeof(said->what), "%s", text + 6);
	}
}

static const cyaml_config_t *cyaml_config(struct cyaml_said *said)
{
	static _Thread_local cyaml_config_t cfg;

	cfg = (cyaml_config_t){ .log_fn = on_cyaml,
				.log_ctx = said,
				.mem_fn = cyaml_mem,
				.log_level = CYAML_LOG_ERROR,
				.flags = CYAML_CFG_NO_ALIAS };
	return &cfg;
}

/* --- where a value stands, for what the schema cannot check --- */

struct where {
	const char *path; /* of the file */
	const char *text;
	size_t len;
	char *err; /* CONFIG_ERROR_MAX */
	/* keys and, where a key is NULL, indexes from the root down */
	const char *keys[PATH_MAX_KEYS];
	unsigned indexes[PATH_MAX_KEYS];
	unsigned depth;
};

static yaml_node_t *child(yaml_document_t *doc, yaml_node_t *node, const char *key,
			  unsigned index)
{
	if (!key) {
		if (node->type != YAML_SEQUENCE_NODE ||
		    node->data.sequence.items.start + index >= node->data.sequence.items.top)
			return NULL;
		return yaml_document_get_node(doc, node->data.sequence.items.start[index]);
	}
	if (node->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
	     p < node->data.mapping.pairs.top; p++) {
		yaml_node_t *k = yaml_document_get_node(doc, p->key);

		if (k && k->type == YAML_SCALAR_NODE &&
		    strcmp((const char *)k->data.scalar.value, key) == 0)
			return yaml_document_get_node(doc, p->value);
	}
	return NULL;
}

static void locate(const struct where *w, unsigned *ret_line, unsigned *ret_column)
{
	yaml_document_t doc;
	yaml_parser_t parser;
	yaml_node_t *node;

	*ret_line = *ret_column = 0;
	if (!yaml_parser_initialize(&parser))
		return;
	yaml_parser_set_input_string(&parser, (const unsigned char *)w->text, w->len);
	if (yaml_parser_load(&parser, &doc)) {
		node = yaml_document_get_root_node(&doc);
		for (unsigned i = 0; node && i < w->depth; i++) {
			yaml_node_t *next = child(&doc, node, w->keys[i], w->indexes[i]);

			if (!next)
				break; /* an absent key: point at what lacks it */
			node = next;
		}
		if (node) {
			*ret_line = (unsigned)node->start_mark.line + 1;
			*ret_column = (unsigned)node->start_mark.column + 1;
		}
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
}

/* Write the error for the value that `w` leads to; always -EINVAL. */
__attribute__((format(printf, 2, 3))) static int wrong(struct where *w, const char *fmt, ...)
{
	unsigned line, column;
	size_t n = 0;
	va_list ap;

	locate(w, &line, &column);
	n += (size_t)snprintf(w->err, CONFIG_ERROR_MAX, "%.300s:%u:%u: ", w->path, line, column);
	for (unsigned i = 0; i < w->depth && n < CONFIG_ERROR_MAX; i++) {
		if (w->keys[i])
			n += (size_t)snprintf(w->err + n, CONFIG_ERROR_MAX - n, "%s%s",
					      i ? "." : "", w->keys[i]);
		else
			n += (size_t)snprintf(w->err + n, CONFIG_ERROR_MAX - n, "[%u]",
					      w->indexes[i]);
	}
	if (n < CONFIG_ERROR_MAX)
		n += (size_t)snprintf(w->err + n, CONFIG_ERROR_MAX - n, "%s",
				      w->depth ? ": " : "");
	va_start(ap, fmt);
	if (n < CONFIG_ERROR_MAX)
		(void)vsnprintf(w->err + n, CONFIG_ERROR_MAX - n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static void enter_key(struct where *w, const char *key)
{
	w->keys[w->depth++] = key;
}

static void enter_index(struct where *w, unsigned index)
{
	w->keys[w->depth] = NULL;
	w->indexes[w->depth++] = index;
}

static void leave(struct where *w, unsigned levels)
{
	w->depth -= levels;
}

/*
 * libcyaml reports an unknown key at the place of the value before it: find the first key
 * of that name from there on.
 */
static void locate_key(const char *text, size_t len, const char *key, struct cyaml_said *said)
{
	yaml_document_t doc;
	yaml_parser_t parser;
	yaml_node_t *node, *k;
	unsigned best = 0;

	if (!yaml_parser_initialize(&parser))
		return;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (yaml_parser_load(&parser, &doc)) {
		for (int i = 1; (node = yaml_document_get_node(&doc, i)); i++) {
			if (node->type != YAML_MAPPING_NODE)
				continue;
			for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
			     p < node->data.mapping.pairs.top; p++) {
				k = yaml_document_get_node(&doc, p->key);
				if (!k || k->type != YAML_SCALAR_NODE ||
				    strcmp((const char *)k->data.scalar.value, key) != 0 ||
				    k->start_mark.line + 1 < said->line ||
				    (best && k->start_mark.line + 1 >= best))
					continue;
				best = (unsigned)k->start_mark.line + 1;
				said->column = (unsigned)k->start_mark.column + 1;
			}
		}
		if (best)
			said->line = best;
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
}

/* --- checks; each leaves `w` where it was on success --- */

/* Names become nft counters and metric labels. */
static int check_name(struct where *w, const char *name)
{
	enter_key(w, "name");
	for (const char *p = name; *p; p++) {
		bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');

		if (!letter && (p == name || !strchr("0123456789-_", *p)))
			return wrong(w, "'%s' must begin with a letter and have only letters, "
					"digits, '-' and '_'", name);
	}
	leave(w, 1);
	return 0;
}

static int check_sni(struct where *w, struct route *r)
{
	enter_key(w, "sni");
	for (unsigned i = 0; i < r->sni_count; i++) {
		char *name = r->sni[i], *host = name;

		enter_index(w, i);
		if (strcmp(name, "*") == 0) {
			leave(w, 1);
			continue;
		}
		if (strncmp(name, "*.", 2) == 0)
			host += 2;
		if (!*host || strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789-_.") != strlen(host))
			return wrong(w, "'%s' is no host name, '*.suffix' or '*'", name);
		for (; *host; host++) {
			if (*host >= 'A' && *host <= 'Z')
				*host = (char)(*host - 'A' + 'a');
		}
		leave(w, 1);
	}
	leave(w, 1);
	return 0;
}

static int check_backends(struct where *w, struct route *r)
{
	struct addr a;

	r->backends = calloc(r->backend_names_count, sizeof(*r->backends));
	if (!r->backends)
		return -ENOMEM;
	enter_key(w, "backends");
	for (unsigned i = 0; i < r->backend_names_count; i++) {
		const char *text = r->backend_names[i], *colon = strrchr(text, ':');
		uint64_t port;

		enter_index(w, i);
		if (!colon || colon == text || strlen(text) >= 64 ||
		    util_parse_u64(colon + 1, 65535, &port) < 0 || port == 0)
			return wrong(w, "'%s' is not ADDRESS:PORT, [V6ADDRESS]:PORT or "
					"NAME:PORT with a port of 1 to 65535", text);
		if ((text[0] == '[' || memchr(text, ':', (size_t)(colon - text))) &&
		    addr_parse(text, &a) < 0)
			return wrong(w, "'%s' is not a valid address", text);
		r->backends[i].name = text;
		leave(w, 1);
	}
	leave(w, 1);
	return 0;
}

static int check_trusted(struct where *w, struct listener *l)
{
	struct proxy_from *p = l->proxy_protocol;

	if (!p)
		return 0;
	l->trusted = calloc(p->from_count, sizeof(*l->trusted));
	if (!l->trusted)
		return -ENOMEM;
	enter_key(w, "proxy_protocol");
	enter_key(w, "from");
	for (unsigned i = 0; i < p->from_count; i++) {
		enter_index(w, i);
		if (prefix_parse(p->from[i], &l->trusted[i]) < 0)
			return wrong(w, "'%s' is not ADDRESS or ADDRESS/BITS without host bits",
				     p->from[i]);
		leave(w, 1);
	}
	leave(w, 2);
	return 0;
}

static int check_routes(struct where *w, struct listener *l)
{
	int err;

	for (unsigned i = 0; i < l->routes_count; i++)
		l->tls |= l->routes[i].sni_count > 0;
	enter_key(w, "routes");
	for (unsigned i = 0; i < l->routes_count; i++) {
		struct route *r = &l->routes[i];

		enter_index(w, i);
		err = check_name(w, r->name);
		if (!err)
			err = check_sni(w, r);
		if (!err)
			err = check_backends(w, r);
		if (err)
			return err;
		if (l->tls && r->sni_count == 0)
			return wrong(w, "route '%s' has no 'sni', but its listener routes by "
					"server name; for all other names write sni: [\"*\"]",
				     r->name);
		if (!l->tls && i > 0)
			return wrong(w, "a second route without 'sni' can never be reached");
		leave(w, 1);
	}
	leave(w, 1);
	return 0;
}

/* The same name in two routes of a listener: the second could never be reached. */
static int check_unique_sni(struct where *w, const struct listener *l)
{
	for (unsigned i = 0; i < l->routes_count; i++) {
		for (unsigned k = 0; k < l->routes[i].sni_count; k++) {
			for (unsigned j = 0; j <= i; j++) {
				unsigned n = j < i ? l->routes[j].sni_count : k;

				for (unsigned m = 0; m < n; m++) {
					if (strcmp(l->routes[i].sni[k], l->routes[j].sni[m]))
						continue;
					enter_key(w, "routes");
					enter_index(w, i);
					enter_key(w, "sni");
					enter_index(w, k);
					return wrong(w, "'%s' is in route '%s' already",
						     l->routes[i].sni[k], l->routes[j].name);
				}
			}
		}
	}
	return 0;
}

static int check_listener(struct where *w, struct config *c, unsigned index)
{
	struct listener *l = &c->listeners[index];
	int err;

	err = check_name(w, l->name);
	if (err)
		return err;
	enter_key(w, "address");
	if (addr_parse(l->address, &l->addr) < 0)
		return wrong(w, "'%s' is not ADDRESS:PORT or [V6ADDRESS]:PORT", l->address);
	for (unsigned i = 0; i < index; i++) {
		if (l->addr.port && memcmp(&c->listeners[i].addr, &l->addr,
					   sizeof(l->addr)) == 0)
			return wrong(w, "%s is the address of listener '%s' already",
				     l->address, c->listeners[i].name);
	}
	leave(w, 1);
	enter_key(w, "name");
	for (unsigned i = 0; i < index; i++) {
		if (strcmp(c->listeners[i].name, l->name) == 0)
			return wrong(w, "a second listener '%s'", l->name);
	}
	leave(w, 1);
	err = check_trusted(w, l);
	if (!err)
		err = check_routes(w, l);
	return err ? err : check_unique_sni(w, l);
}

static int check_timeouts(struct where *w, struct timeouts *t)
{
	struct {
		const char *key, *text;
		int64_t *ret;
		int64_t def;
	} all[] = {
		{ "connect", t->connect, &t->connect_ms, 5000 },
		{ "hello", t->hello, &t->hello_ms, 10000 },
		{ "idle", t->idle, &t->idle_ms, 4 * 3600000 },
		{ "drain", t->drain, &t->drain_ms, 30000 },
	};

	enter_key(w, "timeouts");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		*all[i].ret = all[i].def;
		enter_key(w, all[i].key);
		if (all[i].text && (util_parse_duration_ms(all[i].text, all[i].ret) < 0 ||
				    *all[i].ret == 0))
			return wrong(w, "'%s' is not a duration such as 500ms, 10s, 5m or 4h",
				     all[i].text);
		leave(w, 1);
	}
	leave(w, 1);
	return 0;
}

static int check_all(struct where *w, struct config *c)
{
	int err;

	if (!c->user && !(c->user = strdup("nobody")))
		return -ENOMEM;
	if (!c->hello_bytes)
		c->hello_bytes = 65536;
	enter_key(w, "hello_bytes");
	if (c->hello_bytes < 512 || c->hello_bytes > CONFIG_HELLO_MAX)
		return wrong(w, "%u is outside 512 to %u", c->hello_bytes, CONFIG_HELLO_MAX);
	leave(w, 1);
	enter_key(w, "workers");
	if (c->workers > 256)
		return wrong(w, "%u is more than 256", c->workers);
	leave(w, 1);
	err = check_timeouts(w, &c->timeouts);
	enter_key(w, "listeners");
	for (unsigned i = 0; !err && i < c->listeners_count; i++) {
		enter_index(w, i);
		err = check_listener(w, c, i);
		if (!err)
			leave(w, 1);
	}
	return err;
}

/* --- life --- */

static void config_free(struct config *c)
{
	struct cyaml_said said = { 0 };

	if (!c)
		return;
	for (unsigned i = 0; i < c->listeners_count; i++) {
		free(c->listeners[i].trusted);
		for (unsigned k = 0; k < c->listeners[i].routes_count; k++)
			free(c->listeners[i].routes[k].backends);
	}
	(void)cyaml_free(cyaml_config(&said), &config_schema, c, 0);
}

struct config *config_get(struct config *c)
{
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void config_put(struct config *c)
{
	if (c && __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) == 0)
		config_free(c);
}

int config_parse(const char *path, const char *text, size_t len, struct config **ret,
		 char err[CONFIG_ERROR_MAX])
{
	struct where w = { .path = path, .text = text, .len = len, .err = err };
	struct cyaml_said said = { 0 };
	struct config *c = NULL;
	cyaml_err_t r;
	int res;

	err[0] = '\0';
	r = cyaml_load_data((const uint8_t *)text, len, cyaml_config(&said), &config_schema,
			    (cyaml_data_t **)&c, NULL);
	if (r != CYAML_OK) {
		if (strncmp(said.what, "Unexpected key: ", 16) == 0)
			locate_key(text, len, said.what + 16, &said);
		(void)snprintf(err, CONFIG_ERROR_MAX, "%.300s:%u:%u: %.200s%s%.100s", path,
			       said.line, said.column,
			       said.what[0] ? said.what : cyaml_strerror(r),
			       said.in[0] ? ", " : "", said.in);
		return -EINVAL;
	}
	if (!c) {
		(void)snprintf(err, CONFIG_ERROR_MAX, "%.300s:1:1: the file is empty; "
			       "'listeners' is needed", path);
		return -EINVAL;
	}
	c->refs = 1;
	res = check_all(&w, c);
	if (res) {
		if (!err[0])
			(void)snprintf(err, CONFIG_ERROR_MAX, "%.300s: %s", path,
				       strerror(-res));
		config_put(c);
		return res;
	}
	*ret = c;
	return 0;
}

int config_load(const char *path, struct config **ret, char err[CONFIG_ERROR_MAX])
{
	size_t len;
	char *text;
	int res;

	res = util_read_file(path, CONFIG_FILE_MAX, &text, &len);
	if (res) {
		(void)snprintf(err, CONFIG_ERROR_MAX, "%.300s: cannot be read: %s", path,
			       strerror(-res));
		return res;
	}
	res = config_parse(path, text, len, ret, err);
	free(text);
	return res;
}

static int backend_resolve(struct backend *b, char err[CONFIG_ERROR_MAX])
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
					.ai_flags = AI_NUMERICSERV };
	const char *colon = strrchr(b->name, ':');
	struct addrinfo *list;
	char host[64];
	int r;

	if (addr_parse(b->name, &b->addrs[0]) == 0) {
		b->addrs_n = 1;
		return 0;
	}
	(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - b->name), b->name);
	r = getaddrinfo(host, colon + 1, &hints, &list);
	if (r != 0) {
		(void)snprintf(err, CONFIG_ERROR_MAX, "backend '%s': cannot resolve '%s': %s",
			       b->name, host, gai_strerror(r));
		return -EHOSTUNREACH;
	}
	for (struct addrinfo *a = list; a && b->addrs_n < CONFIG_BACKEND_ADDRS_MAX;
	     a = a->ai_next)
		addr_from_sockaddr(a->ai_addr, &b->addrs[b->addrs_n++]);
	freeaddrinfo(list);
	return 0;
}

int config_resolve(struct config *c, char err[CONFIG_ERROR_MAX])
{
	int res = 0;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		struct listener *l = &c->listeners[i];

		for (unsigned k = 0; k < l->routes_count; k++) {
			struct route *r = &l->routes[k];

			for (unsigned n = 0; !res && n < r->backend_names_count; n++)
				res = backend_resolve(&r->backends[n], err);
		}
	}
	return res;
}
