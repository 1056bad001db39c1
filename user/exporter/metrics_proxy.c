/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's own book and state as metrics. */
#include <netinet/in.h>
#include <inttypes.h>
#include <stddef.h>

#include "base/util.h"
#include "book/ends.h"
#include "exporter/metrics_page.h"

static void proxy_direction(const struct page *p, const char *name, const char *help,
			    size_t rx_offset, size_t tx_offset)
{
	const size_t offsets[] = { rx_offset, tx_offset };
	char extra[32];

	page_family(p, name, true, help);
	for (size_t i = 0; i < p->s->slots_n; i++) {
		for (int d = 0; d < TG_DIR_MAX; d++) {
			(void)snprintf(extra, sizeof(extra), "direction=\"%s\"",
				       page_directions[d]);
			page_row_sample(p, name, true, &p->s->slots[i].row, extra);
			fprintf(p->out, "%" PRIu64 "\n",
				*(const uint64_t *)((const char *)&p->s->slots[i] +
						    offsets[d]));
		}
	}
}

/* Of every slot, or with `upstream` of those of backends. */
static void slot_value(const struct page *p, const char *name, bool counter,
		       const char *help, bool upstream, size_t offset)
{
	page_family(p, name, counter, help);
	for (size_t i = 0; i < p->s->slots_n; i++) {
		if (upstream && p->s->slots[i].row.leg != TG_LEG_UPSTREAM)
			continue;
		if (!counter && !slot_in_force(p->s, &p->s->slots[i]))
			continue; /* a gauge says how it is, and it is no more */
		page_row_sample(p, name, counter, &p->s->slots[i].row, "");
		fprintf(p->out, "%" PRIu64 "\n",
			*(const uint64_t *)((const char *)&p->s->slots[i] + offset));
	}
}

static void proxy_value(const struct page *p, const char *name, const char *help,
			size_t offset)
{
	slot_value(p, name, true, help, false, offset);
}

static void upstream_value(const struct page *p, const char *name, bool counter,
			   const char *help, size_t offset)
{
	slot_value(p, name, counter, help, true, offset);
}

static void proxy_ends(const struct page *p, const char *name, const char *help,
		       bool relayed)
{
	char extra[96];

	page_family(p, name, true, help);
	for (size_t i = 0; i < p->s->slots_n * TG_SIDE_MAX; i++) {
		const struct proxy_slot *slot = &p->s->slots[i / TG_SIDE_MAX];
		size_t side = i % TG_SIDE_MAX;

		for (int r = 0; r < TG_END_MAX; r++) {
			uint64_t n =
				slot_end(p->s, slot, (enum tg_end)r, (enum tg_side)side);

			if (tg_end_is_relayed((unsigned)r) != relayed || !n)
				continue;
			(void)snprintf(extra, sizeof(extra), "reason=\"%s\",side=\"%s\"",
				       tg_end_names[r], tg_side_names[side]);
			page_row_sample(p, name, true, &slot->row, extra);
			fprintf(p->out, "%" PRIu64 "\n", n);
		}
	}
}

static void tls_book(const struct page *p)
{
	proxy_value(
		p, "tls_connections",
		"Connections whose TLS began or ended here, when they have closed; so are "
		"the bytes below.",
		offsetof(struct proxy_slot, tls_connections));
	proxy_direction(p, "tls_payload_bytes",
			"Payload of these: app, handshake, record and partial together.",
			offsetof(struct proxy_slot, tls_rx_bytes),
			offsetof(struct proxy_slot, tls_tx_bytes));
	proxy_direction(p, "app_bytes", "What the application said within TLS.",
			offsetof(struct proxy_slot, app_rx_bytes),
			offsetof(struct proxy_slot, app_tx_bytes));
	proxy_direction(p, "tls_handshake_bytes",
			"Records of handshakes, session tickets and key updates.",
			offsetof(struct proxy_slot, tls_rx_handshake_bytes),
			offsetof(struct proxy_slot, tls_tx_handshake_bytes));
	proxy_direction(p, "tls_record_bytes",
			"Headers, tags and padding of records, and alerts.",
			offsetof(struct proxy_slot, tls_rx_record_bytes),
			offsetof(struct proxy_slot, tls_tx_record_bytes));
	proxy_value(
		p, "tls_partial_bytes",
		"Received, and no whole record that was read: of connections that broke.",
		offsetof(struct proxy_slot, tls_partial_bytes));
	proxy_value(p, "tls_unsent_bytes",
		    "Of records that did not leave, as the connection broke.",
		    offsetof(struct proxy_slot, tls_unsent_bytes));
}

static void proxy_book(const struct page *p)
{
	proxy_value(p, "proxy_connections_opened",
		    "Connections by the proxy's own count.",
		    offsetof(struct proxy_slot, opened));
	proxy_value(p, "proxy_connections_closed",
		    "Connections ended, by the proxy's own count.",
		    offsetof(struct proxy_slot, closed));
	proxy_direction(p, "proxy_payload_bytes",
			"Bytes the proxy read and wrote, PROXY headers not included.",
			offsetof(struct proxy_slot, rx_payload_bytes),
			offsetof(struct proxy_slot, tx_payload_bytes));
	proxy_direction(p, "proxy_header_bytes", "Bytes of PROXY protocol headers.",
			offsetof(struct proxy_slot, rx_header_bytes),
			offsetof(struct proxy_slot, tx_header_bytes));
	proxy_value(p, "proxy_undelivered_bytes",
		    "Bytes read on this leg that could not be written to the other.",
		    offsetof(struct proxy_slot, undelivered_bytes));
	tls_book(p);
	upstream_value(p, "backend_up", false,
		       "1 if the backend passes its checks, or has none.",
		       offsetof(struct proxy_slot, backend_up));
	upstream_value(p, "backend_drained", false,
		       "1 if nobody new goes to the backend, by the file or by 'tollgate "
		       "drain'; it may be up all the same.",
		       offsetof(struct proxy_slot, backend_drained));
	upstream_value(p, "backend_checks_passed", true, "Health checks passed.",
		       offsetof(struct proxy_slot, checks_passed));
	upstream_value(p, "backend_checks_failed", true, "Health checks failed.",
		       offsetof(struct proxy_slot, checks_failed));
	upstream_value(p, "backend_ejections", true,
		       "Times the backend was left out because connections failed.",
		       offsetof(struct proxy_slot, ejections));
	upstream_value(p, "backend_retries", true,
		       "Connections that failed here and were tried elsewhere.",
		       offsetof(struct proxy_slot, retries));
	upstream_value(p, "backend_lookups_failed", true,
		       "Times its name could not be looked up; the last addresses serve.",
		       offsetof(struct proxy_slot, lookups_failed));
	proxy_ends(p, "ended", "Relayed connections by how they ended.", true);
	proxy_ends(p, "refused", "Connections that were never relayed, by reason.",
		   false);
}

/* Where what is counted by listener is shown: its own row, of TCP or of Unix sockets. */
static struct row_key listener_row(const struct page *p, unsigned id)
{
	const struct row_key tcp = { .listener = (uint16_t)id,
				     .leg = TG_LEG_DOWNSTREAM,
				     .proto = IPPROTO_TCP };
	struct row_key path = tcp;

	path.proto = 0;
	if (row_in_force(p->s, &path))
		return path;
	return slot_find(p->s, &tcp) || !slot_find(p->s, &path) ? tcp : path;
}

static void hellos(const struct page *p)
{
	static const struct {
		const char *name, *help;
		size_t offset;
		unsigned shift;
		double unit;
	} all[] = {
		{ "hello_bytes", "Sizes of ClientHellos, TLS record headers included.",
		  offsetof(struct hello_book, bytes), TG_HELLO_BYTES_SHIFT, 1 },
		{ "hello_records", "TLS records in a ClientHello.",
		  offsetof(struct hello_book, records), 0, 1 },
		{ "hello_segments", "TCP segments until a ClientHello was complete.",
		  offsetof(struct hello_book, segments), 0, 1 },
		{ "tls_handshake_seconds", "From accept to the end of the handshake.",
		  offsetof(struct hello_book, handshake_us), TG_HANDSHAKE_SHIFT, 1e-6 },
	};
	struct row_key key;

	for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
		page_histogram(p, all[k].name, all[k].help);
		for (unsigned id = 0; id < TG_LISTENERS_MAX; id++) {
			const struct tcp_hist *h =
				(const void *)((const char *)&p->s->hellos[id] +
					       all[k].offset);

			key = listener_row(p, id);
			if (h->sum)
				page_histogram_row(p, all[k].name, &key, h, all[k].shift,
						   all[k].unit);
		}
	}
}

/* One sample of a family whose rows are listeners. */
static void listener_value(const struct page *p, const char *name, bool counter,
			   unsigned id, const char *extra, uint64_t value)
{
	const struct row_key key = listener_row(p, id);

	page_row_sample(p, name, counter, &key, extra);
	fprintf(p->out, "%" PRIu64 "\n", value);
}

static void hello_names(const struct page *p)
{
	static const char name[] = "hello_names";

	page_family(p, name, true,
		    "ClientHellos whose server name is no more than the public one of an "
		    "encrypted hello, or that have none.");
	for (unsigned id = 0; id < TG_LISTENERS_MAX; id++) {
		const struct hello_book *h = &p->s->hellos[id];

		if (!h->bytes.sum)
			continue;
		listener_value(p, name, true, id, "name=\"outer\"", h->ech_outer);
		listener_value(p, name, true, id, "name=\"none\"", h->unnamed);
	}
}

static const char *const versions[TG_TLS_MAX] = {
#define X(name, label) [TG_TLS_##name] = label,
	TG_TLS_VERSIONS(X)
#undef X
};

static uint64_t handshakes_of(const struct hello_book *h)
{
	uint64_t n = 0;

	for (int v = 0; v < TG_TLS_MAX; v++)
		n += h->handshakes[v];
	return n;
}

/* Counts of a listener by a label; of those that are 0 nothing is said. */
struct tally {
	const char *name, *help, *label;
	const char *const *values;
	unsigned n;
	size_t offset;	   /* of n counts in hello_book */
	const char *extra; /* before the label */
};

static const char *const ciphers[TG_CIPHER_MAX] = {
#define X(name, label) [TG_CIPHER_##name] = label,
	TG_TLS_CIPHERS(X)
#undef X
};

static const char *const groups[TG_GROUP_MAX] = {
#define X(name, number, label) [TG_GROUP_##name] = label,
	TG_TLS_GROUPS(X)
#undef X
};

static const char *const alerts[TG_ALERT_MAX] = {
#define X(number, label) [TG_ALERT_##number] = label,
	TG_TLS_ALERTS(X)
#undef X
};

static const struct tally tallies[] = {
	{ "tls_ciphers", "Handshakes of TLS that ends here, by family of the cipher.",
	  "cipher", ciphers, TG_CIPHER_MAX, offsetof(struct hello_book, ciphers), "" },
	{ "tls_groups",
	  "The same by group of the key exchange; none where a session "
	  "of 1.2 is resumed.",
	  "group", groups, TG_GROUP_MAX, offsetof(struct hello_book, groups), "" },
	{ "tls_alerts", "Alerts of clients whose TLS ends here, and to them, by name.",
	  "alert", alerts, TG_ALERT_MAX, offsetof(struct hello_book, alerts[TG_RX]),
	  "direction=\"rx\"," },
	{ NULL, NULL, "alert", alerts, TG_ALERT_MAX,
	  offsetof(struct hello_book, alerts[TG_TX]), "direction=\"tx\"," },
};

static void tally(const struct page *p, const struct tally *t)
{
	const char *name = t->name ? t->name : t[-1].name; /* more of the same family */
	char extra[96];

	if (t->name)
		page_family(p, name, true, t->help);
	for (unsigned i = 0; i < TG_LISTENERS_MAX * t->n; i++) {
		unsigned id = i / t->n;
		uint64_t value = ((const uint64_t *)((const char *)&p->s->hellos[id] +
						     t->offset))[i % t->n];

		(void)snprintf(extra, sizeof(extra), "%s%s=\"%s\"", t->extra, t->label,
			       t->values[i % t->n]);
		if (value)
			listener_value(p, name, true, id, extra, value);
	}
}

static void handshakes(const struct page *p)
{
	char extra[32];

	page_family(p, "tls_handshakes", true,
		    "Handshakes of TLS that ends here, by version; those that failed are "
		    "in refused_total.");
	for (unsigned i = 0; i < TG_LISTENERS_MAX * TG_TLS_MAX; i++) {
		unsigned id = i / TG_TLS_MAX, version = i % TG_TLS_MAX;

		if (!handshakes_of(&p->s->hellos[id]))
			continue;
		(void)snprintf(extra, sizeof(extra), "version=\"%s\"", versions[version]);
		listener_value(p, "tls_handshakes", true, id, extra,
			       p->s->hellos[id].handshakes[version]);
	}
	for (size_t k = 0; k < ARRAY_SIZE(tallies); k++)
		tally(p, &tallies[k]);
	page_family(p, "tls_handshakes_resumed", true,
		    "Of these, those that resumed a session by its ticket.");
	for (unsigned id = 0; id < TG_LISTENERS_MAX; id++) {
		if (handshakes_of(&p->s->hellos[id]))
			listener_value(p, "tls_handshakes_resumed", true, id, "",
				       p->s->hellos[id].handshakes_resumed);
	}
}

/* A gauge of the certificates of listeners that have some, or are to. */
static void certificate_gauge(const struct page *p, const char *name, const char *help,
			      size_t offset, bool if_zero)
{
	page_family(p, name, false, help);
	for (unsigned id = 1; id < TG_LISTENERS_MAX; id++) {
		const struct hello_book *h = &p->s->hellos[id];
		const struct row_key key = listener_row(p, id);
		uint64_t value = *(const uint64_t *)((const char *)h + offset);

		if ((h->expires_unix || h->missing) && row_in_force(p->s, &key) &&
		    (value || if_zero))
			listener_value(p, name, false, id, "", value);
	}
}

static void certificates(const struct page *p)
{
	certificate_gauge(p, "tls_certificate_expiry_timestamp_seconds",
			  "When the first certificate of a listener expires, since 1970.",
			  offsetof(struct hello_book, expires_unix), false);
	certificate_gauge(p, "tls_certificates_missing",
			  "Certificates that ACME is to bring, and has not yet.",
			  offsetof(struct hello_book, missing), true);
}

/* Of a proxy that has one, and lives: else nothing is known of it. */
static void store(const struct page *p)
{
	const struct row_key process = { .listener = 0 };
	const struct proxy_slot *s = slot_find(p->s, &process);
	bool known = s && s->store != TG_STORE_NONE && snapshot_proxy_up(p->s);

	page_family(
		p, "state_store_ok", false,
		"1 if the store of the configuration (state: database) is this "
		"proxy's and could be written at the last try, at most a minute ago.");
	if (known)
		fprintf(p->out, "tollgate_state_store_ok %d\n",
			s->store == TG_STORE_FINE);
	page_family(p, "config_file_differs", false,
		    "1 if the file of the proxy is not what was taken of it last (state: "
		    "database), or cannot be read.");
	if (known)
		fprintf(p->out, "tollgate_config_file_differs %d\n",
			s->file_differs != 0);
}

static void proxy_state(const struct page *p)
{
	const struct proxy_state *st = &p->s->proxy;
	bool up = snapshot_proxy_up(p->s);

	page_simple(p, "proxy_up", false,
		    "1 if the proxy wrote its heartbeat in the last 5 s.", up);
	page_simple(p, "proxy_starts", true, "Times a proxy has started on these books.",
		    st->starts);
	page_simple(p, "http_log_lost", true,
		    "Lines of the access log that were not written: too many at once, or "
		    "the disk.",
		    st->access_lost);
	page_simple(
		p, "proxy_log_suppressed", true,
		"Lines of the log that were kept back because there were too many alike.",
		st->log_suppressed);
	page_simple(p, "proxy_workers", false, "Worker threads.", up ? st->workers : 0);
	page_simple(p, "proxy_accept_paused", false,
		    "Workers that do not accept now because descriptors ran out.",
		    st->accept_paused);
	page_simple(p, "proxy_accept_pauses", true, "Times a worker stopped accepting.",
		    st->accept_pauses);
	page_simple(p, "proxy_pipes", false, "Pipes held for relaying.", st->pipes);
	page_simple(p, "proxy_buffers", false, "Buffers held for relaying, 16 KiB each.",
		    st->buffers);
	page_simple(
		p, "proxy_limits_full", true,
		"Connections of sources that were counted as one source because the table of "
		"them was full.",
		st->limits_full);
	page_simple(p, "proxy_draining", false,
		    "1 while the proxy waits for its last connections.", st->draining);
	page_simple(p, "proxy_zombie_checks", true,
		    "Times the proxy's sessions were compared with the kernel's sockets.",
		    st->zombie_checks);
	page_simple(p, "proxy_stray_sockets", false,
		    "Sockets of the proxy that belong to no session.",
		    up ? st->stray_sockets : 0);
	page_simple(p, "proxy_label_errors", true, "Sockets that could not be labelled.",
		    st->label_errors);
	page_simple(
		p, "proxy_labels_by_call", true,
		"Labels and claims written by a system call, as there was no place in "
		"memory.",
		st->labels_called);
	page_simple(p, "proxy_labels_swept", true,
		    "Labels in memory that the kernel programs never gave back.",
		    st->labels_swept);
	page_simple(
		p, "proxy_slot_errors", true,
		"Rows that found no slot in the proxy's book, or that nobody uses and "
		"could not be added to the past.",
		st->slot_errors);
	page_simple(p, "proxy_upgrades", true,
		    "Times a successor took the connections over.", st->upgrades);
	page_family(p, "proxy_reloads", true, "Configurations read again, by result.");
	fprintf(p->out,
		"tollgate_proxy_reloads_total{result=\"ok\"} %" PRIu64 "\n"
		"tollgate_proxy_reloads_total{result=\"refused\"} %" PRIu64 "\n",
		(uint64_t)st->reloads_ok, (uint64_t)st->reloads_failed);
}

void metrics_proxy(const struct page *p)
{
	proxy_book(p);
	hellos(p);
	hello_names(p);
	handshakes(p);
	certificates(p);
	proxy_state(p);
	store(p);
}
