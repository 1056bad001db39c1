/* SPDX-License-Identifier: Apache-2.0 */
/* The command: one function a subcommand. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/host.h"
#include "base/log.h"
#include "base/rundir.h"
#include "base/util.h"
#include "book/audit.h"
#include "book/book.h"
#include "book/explain.h"
#include "book/pin.h"
#include "book/hooks.h"
#include "command/acme.h"
#include "command/check.h"
#include "command/explain.h"
#include "command/follow.h"
#include "command/manage.h"
#include "command/options.h"
#include "command/settings.h"
#include "command/sizes.h"
#include "command/state.h"
#include "command/why.h"
#include "config/config.h"
#include "load/totals.h"
#include "show/flows.h"
#include "show/status.h"
#include "tls/certs.h"

#define AUDIT_TRIES 20

/*
 * Where the books are: in the network namespace of the load, whose sockets and nft
 * counters they are.  If it cannot be entered the answer is incomplete, and says so.
 */
static int open_book(const struct options *o, struct book **ret)
{
	int err = book_open(o->pins, ret);

	if (err)
		book_explain(err, o->pins);
	else
		(void)host_enter_netns(book_meta(*ret)->netns_cookie);
	return err ? EXIT_NOT_LOADED : EXIT_OK;
}

/* As root we can see for ourselves; else what somebody saw last is in the map. */
static void look_at_hooks(const struct options *o)
{
	static struct hook hooks[TG_HOOKS_MAX];
	size_t n;

	(void)hooks_measure(o->pins, hooks, TG_HOOKS_MAX, &n);
}

static int print_json(json_t *json, bool a_line)
{
	if (!json) {
		(void)log_errno(-ENOMEM, "cannot print");
		return EXIT_BAD;
	}
	(void)json_dumpf(json, stdout, a_line ? JSON_COMPACT : JSON_INDENT(2));
	putchar('\n');
	json_decref(json);
	return EXIT_OK;
}

/* What XDP counts is compared with the wire book, so the device is watched, too. */
static void watch_xdp_devices(struct load_opts *load)
{
	for (size_t i = 0; i < load->xdp_n; i++) {
		bool watched = false;

		for (size_t k = 0; k < load->devices_n; k++)
			watched |= strcmp(load->devices[k], load->xdp[i]) == 0;
		if (!watched && load->devices_n < LOAD_DEVICES_MAX)
			load->devices[load->devices_n++] = load->xdp[i];
	}
}

static int cmd_load(struct options *o)
{
	int err;

	if (o->upgrade && o->load_only) {
		log_error("--upgrade keeps a load as it is: --%s goes with 'load' alone "
			  "('tollgate unload' first)",
			  o->load_only);
		return EXIT_USAGE;
	}
	watch_xdp_devices(&o->load);
	o->load.pins = o->pins;
	o->load.nft = !o->no_nft;
	err = o->config ? sizes_from_config(o->config, &o->load) : 0;
	if (!err)
		err = o->upgrade ? upgrade_run(o->pins) : load_run(&o->load);
	if (o->upgrade && err == -ENOENT)
		return EXIT_NOT_LOADED;
	if (err == -EPERM || err == -EACCES)
		return EXIT_NOT_LOADED;
	return err ? EXIT_BAD : EXIT_OK;
}

static int cmd_unload(struct options *o)
{
	int err = unload_run(o->pins);

	return err == 0						   ? EXIT_OK
	       : err == -ENOENT || err == -EPERM || err == -EACCES ? EXIT_NOT_LOADED
								   : EXIT_BAD;
}

static int with_snapshot(struct options *o, unsigned want,
			 int (*show)(struct options *o, struct snapshot *s))
{
	struct snapshot *s;
	struct book *b;
	int err;

	err = open_book(o, &b);
	if (err)
		return err;
	look_at_hooks(o);
	err = snapshot_take(b, want, &s);
	if (err) {
		(void)log_errno(err, "cannot read the books in %s", o->pins);
		err = EXIT_BAD;
	} else {
		err = show(o, s);
		snapshot_free(s);
	}
	book_close(b);
	return err;
}

static void print_xdp(const char *device, const char *mode, void *arg)
{
	(void)arg;
	printf("xdp        %s %s\n", device, mode);
}

static void add_xdp(const char *device, const char *mode, void *arg)
{
	json_object_set_new(arg, device, json_string(mode));
}

/* Who may not look into its folder cannot know. */
static bool is_none(const char *socket)
{
	return access(socket, F_OK) < 0 && errno == ENOENT;
}

static int cmd_status(struct options *o)
{
	struct snapshot *s;
	char control[RUNDIR_PATH];
	struct audit a;
	json_t *json, *xdp;
	struct book *b;
	int err;

	err = open_book(o, &b);
	if (err)
		return err;
	look_at_hooks(o);
	err = audit_run(b, AUDIT_TRIES, &s, &a);
	book_close(b);
	if (err) {
		(void)log_errno(err, "cannot read the books in %s", o->pins);
		return EXIT_BAD;
	}
	rundir_control(pin_map_id(o->pins, "meta"), (pid_t)s->proxy.pid, control);
	if (o->json) {
		json = status_json(s, &a);
		if (snapshot_proxy_up(s))
			json_object_set_new(json, "control",
					    is_none(control) ? json_null()
							     : json_string(control));
		xdp = json_object();
		attach_each_xdp(o->pins, add_xdp, xdp);
		json_object_set_new(json, "xdp", xdp);
		err = print_json(json, o->watch);
	} else {
		status_print(stdout, s, &a, o->pins);
		if (snapshot_proxy_up(s))
			printf("control    %s\n",
			       is_none(control)
				       ? "nobody answers; the proxy's log says why"
				       : control);
		attach_each_xdp(o->pins, print_xdp, NULL);
	}
	audit_free(&a);
	snapshot_free(s);
	return err;
}

static int show_flows(struct options *o, struct snapshot *s)
{
	if (o->json)
		return print_json(flows_json(s, &o->flows), o->watch);
	if (flows_print(stdout, s, &o->flows) == 0)
		puts("(no live connection)");
	return EXIT_OK;
}

static int cmd_flows(struct options *o)
{
	static const struct timespec second = { .tv_sec = 1 };
	int err;

	switch (flows_check(&o->flows)) {
	case FLOWS_BAD_SORT:
		log_error("--sort %s: not one of %s", o->flows.sort, flows_sorts);
		return EXIT_USAGE;
	case FLOWS_BAD_STATE:
		log_error(
			"--state %s: not a state of TCP such as ESTABLISHED or TIME_WAIT",
			o->flows.state);
		return EXIT_USAGE;
	case FLOWS_BAD_PROTOCOL:
		log_error(
			"--protocol %s: not tcp, udp, icmp, icmpv6, sctp, a number or all",
			o->flows.protocol);
		return EXIT_USAGE;
	default:
		break;
	}
	for (;;) {
		if (o->watch && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		err = with_snapshot(o, BOOK_FLOWS, show_flows);
		if (err || !o->watch)
			return err;
		fflush(stdout);
		(void)nanosleep(&second, NULL);
	}
}

static int audit_exit(enum audit_verdict verdict)
{
	return verdict == AUDIT_AGREES	  ? EXIT_OK
	       : verdict == AUDIT_DIFFERS ? EXIT_BAD
					  : EXIT_INCOMPLETE;
}

static int audit_once(struct options *o, struct book *b)
{
	struct snapshot *s;
	struct audit a;
	int err;

	look_at_hooks(o);
	err = audit_run(b, AUDIT_TRIES, &s, &a);
	if (!err && o->accept) {
		err = audit_accept(o->pins, s, o->accept);
		audit_free(&a);
		snapshot_free(s);
		if (!err) /* what is left */
			err = audit_run(b, AUDIT_TRIES, &s, &a);
	}
	if (err) {
		(void)log_errno(err, "cannot %s the books in %s",
				o->accept ? "accept what is in" : "read", o->pins);
		return EXIT_BAD;
	}
	if (o->json)
		(void)print_json(audit_json(&a), o->watch);
	else
		audit_print(stdout, &a, o->rows);
	err = audit_exit(a.verdict);
	audit_free(&a);
	snapshot_free(s);
	return err;
}

/* With --watch: again every second, one JSON object a line or the text anew. */
static int cmd_audit(struct options *o)
{
	static const struct timespec second = { .tv_sec = 1 };
	struct book *b;
	int err;

	err = open_book(o, &b);
	if (err)
		return err;
	for (;;) {
		if (o->watch && !o->json && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		err = audit_once(o, b);
		if (!o->watch || fflush(stdout) != 0)
			break;
		(void)nanosleep(&second, NULL);
	}
	book_close(b);
	return err;
}

static int cmd_events(struct options *o)
{
	int err;

	o->events.json = o->json;
	o->events.listener = o->flows.listener;
	o->events.address = o->address;
	o->events.port = ntohs(o->flows.port);
	err = follow_run(&o->events);
	return err == -ENOENT ? EXIT_NOT_LOADED : err ? EXIT_BAD : EXIT_OK;
}

static int cmd_why(struct options *o)
{
	const struct why_opts opts = { .exporter = o->events.exporter,
				       .address = o->args[0],
				       .last = o->events.last,
				       .json = o->json };
	int err;

	if (o->args_n != 1) {
		log_error("why: name one address");
		return EXIT_USAGE;
	}
	err = why_run(&opts);
	return err == -ENOENT	? EXIT_NOT_LOADED
	       : err == -EINVAL ? EXIT_USAGE
	       : err		? EXIT_BAD
				: EXIT_OK;
}

static int cmd_export_totals(struct options *o)
{
	struct book *b;
	int err = open_book(o, &b);

	if (err)
		return err;
	err = totals_export(b, o->args_n ? o->args[0] : NULL);
	book_close(b);
	return err ? EXIT_BAD : EXIT_OK;
}

static int cmd_check(struct options *o)
{
	struct config *c;

	if (o->args_n != 1) {
		log_error("check: name one file");
		return EXIT_USAGE;
	}
	if (o->json)
		return settings_check(o->args[0]);
	c = settings_read(o->args[0]);
	if (!c)
		return EXIT_BAD;
	check_show(o->args[0], c);
	config_put(c);
	return EXIT_OK;
}

static int cmd_export(struct options *o)
{
	if (o->args_n != 1) {
		log_error("export: name one file");
		return EXIT_USAGE;
	}
	return settings_export(o->args[0], o->json);
}

static int cmd_diff(struct options *o)
{
	if (o->args_n == 1)
		return state_diff(o, o->args[0]);
	if (o->args_n != 2) {
		log_error("diff: name a file, or two, the one before and the one after");
		return EXIT_USAGE;
	}
	return settings_diff(o->args[0], o->args[1], o->json);
}

static int cmd_schema(struct options *o)
{
	(void)o;
	return settings_schema();
}

static int cmd_explain(struct options *o)
{
	struct config *c;
	int err;

	if (o->args_n != 2) {
		log_error("explain: name a file and a URL, such as "
			  "https://www.example.org/path");
		return EXIT_USAGE;
	}
	c = settings_read(o->args[0]);
	if (!c)
		return EXIT_BAD;
	err = explain_show(c, o->args[1], o);
	config_put(c);
	return err;
}

#define ACME_ARGS 16 /* of the hook, which dehydrated(1) calls */

static int cmd_acme(struct options *o)
{
	int err;

	if (o->args_n > 0 && strcmp(o->args[0], "hook") == 0)
		return acme_hook(o->args + 1, o->args_n - 1) < 0 ? EXIT_BAD : EXIT_OK;
	if (o->args_n != 1) {
		log_error("acme: name one proxy configuration");
		return EXIT_USAGE;
	}
	err = acme_run(o->pins, o->args[0]);
	return err == -EACCES || err == -EPERM ? EXIT_NOT_LOADED
	       : err			       ? EXIT_BAD
					       : EXIT_OK;
}

#define PART_ARGS 64

static const struct {
	const char *name;
	int (*fn)(struct options *o);
	int args; /* words after the command */
} commands[] = {
	{ "load", cmd_load, 0 },	   { "unload", cmd_unload, 0 },
	{ "status", cmd_status, 0 },	   { "flows", cmd_flows, 0 },
	{ "audit", cmd_audit, 0 },	   { "check", cmd_check, 1 },
	{ "acme", cmd_acme, ACME_ARGS },   { "export-totals", cmd_export_totals, 1 },
	{ "events", cmd_events, 0 },	   { "why", cmd_why, 1 },
	{ "explain", cmd_explain, 2 },	   { "export", cmd_export, 1 },
	{ "diff", cmd_diff, 2 },	   { "schema", cmd_schema, 0 },
	{ "reload", cmd_reload, 0 },	   { "connections", cmd_connections, 0 },
	{ "kill", cmd_kill, 1 },	   { "backends", cmd_backends, 0 },
	{ "drain", cmd_drain, 1 },	   { "undrain", cmd_undrain, 1 },
	{ "changes", cmd_changes, 0 },	   { "log-level", cmd_log_level, 1 },
	{ "apply", cmd_apply, 1 },	   { "restore", cmd_restore, 1 },
	{ "snapshot", cmd_snapshot, 1 },   { "listener", cmd_listener, PART_ARGS },
	{ "route", cmd_route, PART_ARGS }, { "backend", cmd_backend, PART_ARGS },
};

int main(int argc, char **argv)
{
	struct options o = { .pins = TG_PINS,
			     .events = { .exporter = FOLLOW_EXPORTER, .last = 10 } };
	const char *command;
	int err;

	log_init("tollgate");
	err = options_parse(argc, argv, &o);
	if (err >= 0)
		return err;
	command = *o.args++;
	o.args_n--;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(command, commands[i].name) != 0)
			continue;
		if (o.args_n > commands[i].args) {
			log_error("%s: '%s' is one word too many", command,
				  o.args[commands[i].args]);
			return EXIT_USAGE;
		}
		return commands[i].fn(&o);
	}
	log_error("no command '%s'; 'tollgate --help' lists them", command);
	return EXIT_USAGE;
}
