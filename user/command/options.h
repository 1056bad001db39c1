/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the command. */
#ifndef USER_COMMAND_OPTIONS_H
#define USER_COMMAND_OPTIONS_H

#include <stdbool.h>

#include "command/follow.h"
#include "load/load.h"
#include "show/flows.h"

enum {
	EXIT_OK = 0,
	EXIT_BAD = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_LOADED = 3,
	EXIT_INCOMPLETE = 4
};

#define OPTIONS_HEADERS_MAX 32

/* Everything that may be said; strings are argv's. */
struct options {
	const char *pins;
	bool json;
	bool watch;
	bool no_nft;
	bool upgrade;
	bool rows;
	const char *accept;
	const char *method;	 /* of explain */
	const char *certificate; /* a name or a digest of it; explain */
	const char *headers[OPTIONS_HEADERS_MAX];
	unsigned headers_n;
	const char *config;	   /* of load: what shall fit */
	const char *address;	   /* of flows and events; checked */
	const char *backend;	   /* of connections and kill */
	bool dry_run;		   /* of what changes the configuration */
	bool prune, take;	   /* of apply */
	unsigned long if_revision; /* what is changed must be this; 0: whatever it is */
	const char *message;	   /* why, for the list of changes */
	unsigned long rate_n;	   /* of kill: so many in rate_ms; 0: all at once */
	int64_t rate_ms;
	const char
		*load_only; /* an option that --upgrade cannot follow, if one was given */
	struct follow_opts events;
	struct load_opts load;
	struct flows_opts flows;
	char **args;
	int args_n;
};

/*
 * Read the options of argv into *ret, whose defaults are set, and the words that are none
 * into its `args`.  -1 to go on, or what to exit with; the reason has been said.
 */
int options_parse(int argc, char **argv, struct options *ret);

#endif
