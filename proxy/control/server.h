/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket's HTTP, by libmicrohttpd on the loop of the main thread.  Who may
 * speak to it is whoever may enter its folder: root.  A request is taken whole before it
 * is answered.
 */
#ifndef PROXY_CONTROL_SERVER_H
#define PROXY_CONTROL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/ev.h"

#define SERVER_BODY_MAX (4u * 1024 * 1024)

struct MHD_Connection;
struct server;

struct server_request {
	const char *method, *path;
	const char *body; /* NUL-terminated; "" of none */
	size_t body_n;
	struct ucred who; /* who connected (SO_PEERCRED); pid 0: not known */
	struct MHD_Connection *connection;
};

/* An argument of the query, or a header; NULL if there is none.  Lives with the request.
 */
const char *server_argument(const struct server_request *r, const char *name);
const char *server_header(const struct server_request *r, const char *name);

/*
 * The first argument of the query that is none of `names`, whose last is NULL, or that
 * has no value; NULL if all are.
 */
const char *server_unknown_argument(const struct server_request *r,
				    const char *const *names);

/* An argument that is 1; 0 is as if it were not there. */
bool server_flag(const struct server_request *r, const char *name);

struct server_answer {
	unsigned status;
	const char *type;  /* static */
	char *text;	   /* malloc, taken over; NULL: no body */
	size_t text_n;	   /* of what may have zeros in it; 0: as long as it is */
	const char *allow; /* methods, of a 405; NULL: none */
	uint64_t revision; /* as ETag; 0: none */
};

typedef void (*server_fn)(void *arg, const struct server_request *r,
			  struct server_answer *ret);

/*
 * Serve on the listening socket `fd`, which is taken over.  0 and *ret, or a negative
 * errno.
 */
int server_open(struct ev_loop *loop, int fd, server_fn fn, void *arg,
		struct server **ret);

/* NULL is fine. */
void server_close(struct server *s);

#endif
