/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporter knows the last ends; here is what each of their reasons means.  The table
 * is the manual's, too: lint compares it with the reasons in bpf/abi_proxy.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/addr.h"
#include "base/log.h"
#include "base/util.h"
#include "book/book.h"
#include "command/follow.h"
#include "command/why.h"

static const struct {
	enum tg_end reason;
	const char *means, *remedy;
} reasons[] = {
	{ TG_END_DONE, "both ends closed, and all was delivered", "" },
	{ TG_END_CLIENT_RESET, "the client reset it",
	  "look at the client; what it had sent before was delivered" },
	{ TG_END_BACKEND_RESET, "the backend reset it",
	  "look at the backend's log for that time" },
	{ TG_END_IDLE_TIMEOUT, "no byte either way for timeouts.idle",
	  "keep_alive: extended or immortal on the route, or a longer idle" },
	{ TG_END_HALF_CLOSE_TIMEOUT,
	  "one end had closed, the other said nothing for "
	  "timeouts.half_close",
	  "a longer half_close, if that is how the protocol works" },
	{ TG_END_LIFE_MAX, "it was older than timeouts.life", "a longer life, or none" },
	{ TG_END_STUCK, "bytes were not acknowledged or taken for timeouts.stuck",
	  "that end, or the network to it, is stuck" },
	{ TG_END_SILENT, "that end did not answer the kernel's probes",
	  "that end is gone without a word: power, network, a NAT that forgot" },
	{ TG_END_ZOMBIE, "its socket had gone in the kernel without a word",
	  "tell us: this should not happen" },
	{ TG_END_DRAINED, "the proxy stopped, and timeouts.drain was over",
	  "a longer drain, or an upgrade instead of a restart" },
	{ TG_END_PROXY_DIED, "the proxy was killed", "see the log of the system" },
	{ TG_END_TRUNCATED, "an end went before it had taken everything",
	  "look at the end named as the side" },
	{ TG_END_PROCESS_CONNECTIONS, "the process had limits.connections at once",
	  "raise limits.connections" },
	{ TG_END_PROCESS_RATE, "more new connections than limits.rate allows",
	  "raise limits.rate" },
	{ TG_END_LISTENER_CONNECTIONS, "the listener had limits.connections at once",
	  "raise the listener's limits.connections" },
	{ TG_END_LISTENER_RATE, "more new ones than the listener's limits.rate allows",
	  "raise the listener's limits.rate" },
	{ TG_END_ROUTE_CONNECTIONS, "the route had limits.connections at once",
	  "raise the route's limits.connections" },
	{ TG_END_ROUTE_RATE, "more new ones than the route's limits.rate allows",
	  "raise the route's limits.rate" },
	{ TG_END_SOURCE_CONNECTIONS, "this address had limits.per_source at once",
	  "raise per_source; 'tollgate status' lists who is refused most" },
	{ TG_END_SOURCE_RATE,
	  "this address made more new ones than limits.source_rate "
	  "allows",
	  "raise source_rate" },
	{ TG_END_PREFIX_CONNECTIONS, "its prefix had limits.per_prefix at once",
	  "raise per_prefix" },
	{ TG_END_PREFIX_RATE,
	  "its prefix made more new ones than limits.prefix_rate "
	  "allows",
	  "raise prefix_rate" },
	{ TG_END_PROXY_V1_LINE, "its PROXY header, version 1, is malformed",
	  "mend the balancer before us" },
	{ TG_END_PROXY_V1_LENGTH, "its PROXY header, version 1, is longer than 107 bytes",
	  "mend the balancer before us" },
	{ TG_END_PROXY_V2_VERSION, "its PROXY header has an unknown version",
	  "mend the balancer before us" },
	{ TG_END_PROXY_V2_COMMAND, "its PROXY header has an unknown command",
	  "mend the balancer before us" },
	{ TG_END_PROXY_V2_FAMILY, "its PROXY header has an unknown family",
	  "mend the balancer before us" },
	{ TG_END_PROXY_V2_ADDRESS, "its PROXY header has no room for its addresses",
	  "mend the balancer before us" },
	{ TG_END_PROXY_V2_TLV, "a TLV of its PROXY header is malformed",
	  "mend the balancer before us" },
	{ TG_END_PROXY_V2_CHECKSUM, "the checksum of its PROXY header is wrong",
	  "mend the balancer before us" },
	{ TG_END_PROXY_V2_LENGTH, "its PROXY header is larger than we take",
	  "mend the balancer before us" },
	{ TG_END_PROXY_HEADER_MISSING, "its address must send a PROXY header and did not",
	  "send_proxy on the balancer, or take the address out of proxy_protocol.from" },
	{ TG_END_PROXY_HEADER_UNTRUSTED, "it sent a PROXY header and may not",
	  "add its address to proxy_protocol.from, if it is a balancer of yours" },
	{ TG_END_HELLO_NOT_TLS, "the listener takes TLS, and this is none",
	  "the client speaks plain text to a TLS port" },
	{ TG_END_HELLO_INVALID, "its ClientHello is malformed", "look at the client" },
	{ TG_END_HELLO_TOO_LARGE, "its ClientHello is larger than hello_bytes",
	  "raise hello_bytes" },
	{ TG_END_HELLO_TIMEOUT, "it did not say what it wants within timeouts.hello",
	  "a port scanner or a health check that only connects; else a longer hello" },
	{ TG_END_HELLO_CLOSED, "it closed before its ClientHello was complete",
	  "mostly a health check that only connects" },
	{ TG_END_HELLO_RESET, "it reset before its ClientHello was complete",
	  "mostly a health check or a port scanner" },
	{ TG_END_NO_SNI, "its ClientHello names no server, and no route is for that",
	  "sni: [\"*\"] on a route, or fallback: on the listener" },
	{ TG_END_NO_ROUTE, "no route is for what it asked for",
	  "add the name to a route's sni, or fallback: on the listener" },
	{ TG_END_BACKEND_REFUSED, "nobody listens at the backend",
	  "start the backend, or mend its address" },
	{ TG_END_BACKEND_TIMEOUT, "the backend did not answer within timeouts.connect",
	  "a firewall that drops, or a host that is down" },
	{ TG_END_BACKEND_UNREACHABLE,
	  "the backend cannot be reached, or its name is "
	  "not known",
	  "'tollgate status' and the proxy's log say which" },
	{ TG_END_NO_BACKEND, "all backends of the route are down or draining",
	  "look at their health: tollgate_backend_up" },
	{ TG_END_QUEUE_FULL, "all backends were at their limit, and so was the queue",
	  "raise the backends' limit=, or the route's queue" },
	{ TG_END_QUEUE_TIMEOUT, "no backend had a place within queue.timeout",
	  "raise the backends' limit=, or the queue's timeout" },
	{ TG_END_CLIENT_GONE, "the client was gone before a backend answered",
	  "a client without patience, or a backend that is slow to accept" },
	{ TG_END_RESOURCES, "the proxy had no descriptor or memory left",
	  "raise its limit of descriptors (LimitNOFILE=)" },
	{ TG_END_LOOP, "it came back to a listener it had passed already",
	  "a backend of a route is this proxy itself: mend the configuration" },
	{ TG_END_EXPRESSION, "an expression in sni took more steps than are allowed",
	  "write a simpler expression; 'tollgate check' names it" },
	{ TG_END_EVICTED, "it had not said what it wants, and its place was needed",
	  "more descriptors, limits.per_source, a shorter timeouts.hello" },
	{ TG_END_LOCAL_PORTS, "no local port was left for the backend",
	  "more backend addresses, source: of the route, or a wider "
	  "net.ipv4.ip_local_port_range" },
	{ TG_END_TLS_HANDSHAKE, "its TLS handshake was not understood, or broke a rule",
	  "look at the client" },
	{ TG_END_ACME, "it asked for the answer to a challenge of ACME, and got it",
	  "nothing: this is how the gate's certificates are had" },
	{ TG_END_TLS_NAME, "no certificate of the listener has the name it asked for",
	  "a certificate for that name, or one with default: true" },
	{ TG_END_TLS_NOT_SHARED, "it offered no version, cipher or group that we take",
	  "min_version, ciphers or groups of the route, or a newer client" },
	{ TG_END_CLIENT_CERTIFICATE,
	  "it showed no certificate, and its route asks for one",
	  "a certificate for it, or client_certificates: { optional: true }" },
	{ TG_END_CLIENT_TRUST, "its certificate was not trusted",
	  "the proxy's log says why; client_certificates: ca of the route" },
	{ TG_END_TLS_ALERT, "it refused our handshake by an alert",
	  "often it does not trust the certificate: look at its chain" },
	{ TG_END_TLS_TIMEOUT, "its handshake took longer than timeouts.handshake",
	  "a longer handshake, if its network is that slow" },
	{ TG_END_TLS_CLOSED, "it closed in the middle of its TLS handshake", "" },
	{ TG_END_TLS_RESET, "it reset in the middle of its TLS handshake", "" },
	{ TG_END_TLS_TRUNCATED, "it ended without TLS' word that this is its end",
	  "what came before was delivered; an attacker could have cut it off" },
	{ TG_END_BACKEND_TLS, "the backend's TLS handshake failed",
	  "does it speak TLS on that port, and one of our versions?" },
	{ TG_END_BACKEND_TRUST, "the backend's certificate was not trusted",
	  "backend_tls: ca and name of the route, or a new certificate of the backend" },
	{ TG_END_TLS_ERROR, "a record of it could not be decrypted, or broke a rule",
	  "look at the client and the network to it" },
	{ TG_END_HTTP_INVALID,
	  "what it sent is no HTTP, or could be read in two ways; it was answered 400 or "
	  "the like",
	  "tollgate_http_requests_total says which rule was broken" },
	{ TG_END_HTTP_CLOSED, "the client closed in the middle of a request's head", "" },
	{ TG_END_HTTP_HEAD_TIMEOUT,
	  "no request, or not all of its head, came within http.head_timeout",
	  "a longer head_timeout, if clients are slow" },
	{ TG_END_HTTP_BODY_TIMEOUT,
	  "no more of a request's body came for http.body_timeout",
	  "a longer body_timeout, if clients are slow" },
	{ TG_END_HTTP_KEEP_ALIVE,
	  "no other request came for http.keep_alive_timeout; all before were answered",
	  "" },
	{ TG_END_HTTP_FLOOD,
	  "too many frames of HTTP/2 that cost the gate more than the client: resets, "
	  "pings, settings, empty ones",
	  "look at the client; an attack, or a library with a fault" },
	{ TG_END_HTTP_EVICTED,
	  "it was between two requests, or in a head that did not come, and its descriptor "
	  "was needed for another client",
	  "more descriptors (ulimit -n), or a shorter http.keep_alive_timeout" },
	{ TG_END_KILLED, "who runs the gate ended it (tollgate kill)",
	  "'tollgate changes' says who, and when" },
};

/* The place in the table; -1 if it is no reason of ours. */
static int find(const char *reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (strcmp(tg_end_names[reasons[i].reason], reason) == 0)
			return (int)i;
	}
	return -1;
}

struct telling {
	bool json;
	unsigned n;
	bool met[ARRAY_SIZE(reasons)];
};

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void print_json(const json_t *o, int i)
{
	json_t *copy = json_copy((json_t *)o);

	if (copy && i >= 0) {
		json_object_set_new(copy, "means", json_string(reasons[i].means));
		json_object_set_new(copy, "remedy", json_string(reasons[i].remedy));
	}
	(void)json_dumpf(copy, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(copy);
}

static void on_record(const json_t *o, void *arg)
{
	time_t closed = (time_t)json_number_value(json_object_get(o, "closed"));
	const char *reason = text(o, "reason"), *name = text(o, "server_name");
	const char *backend = text(o, "backend");
	struct telling *t = arg;
	int i = find(reason);
	char when[32] = "";
	struct tm tm;

	t->n++;
	if (i >= 0)
		t->met[i] = true;
	if (t->json) {
		print_json(o, i);
		return;
	}
	if (localtime_r(&closed, &tm))
		(void)strftime(when, sizeof(when), "%F %T", &tm);
	printf("%s  %s  %s%s%s: %s by %s%s%s%s%s\n", when, text(o, "client"),
	       text(o, "listener"), text(o, "route")[0] ? "/" : "", text(o, "route"),
	       reason, text(o, "side"), name[0] ? ", for " : "", name,
	       backend[0] ? ", at " : "", backend);
}

int why_run(const struct why_opts *opts)
{
	const struct follow_opts ask = { .exporter = opts->exporter,
					 .address = opts->address,
					 .book = "proxy",
					 .last = opts->last };
	struct telling t = { .json = opts->json };
	uint8_t ip[16];
	int err;

	if (addr_parse_ip(opts->address, ip) < 0) {
		log_error("why %s: not an address such as 203.0.113.9 or 2001:db8::9",
			  opts->address);
		return -EINVAL;
	}
	err = follow_each(&ask, on_record, &t);
	if (err)
		return err;
	if (opts->json)
		return 0;
	if (!t.n) {
		printf("no connection of %s has ended among those the exporter keeps: it may "
		       "never have come here (a firewall, another address), or it lives "
		       "('tollgate flows')\n",
		       opts->address);
		return 0;
	}
	putchar('\n');
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (t.met[i])
			printf("%s: %s%s%s\n", tg_end_names[reasons[i].reason],
			       reasons[i].means, reasons[i].remedy[0] ? "; to do: " : "",
			       reasons[i].remedy);
	}
	return 0;
}
