/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/util.h"
#include "control/server.h"

#define CONNECTIONS_MAX 32
#define SILENT_S	10
#define LOOK_MS		1000

struct server {
	struct MHD_Daemon *mhd;
	struct ev_loop *loop;
	struct ev_io io; /* libmicrohttpd's own epoll */
	struct ev_timer timer;
	server_fn fn;
	void *arg;
};

/* A request's body, as it comes. */
struct upload {
	char *text;
	size_t n, room;
	bool too_large, no_memory;
};

const char *server_argument(const struct server_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *server_header(const struct server_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

bool server_flag(const struct server_request *r, const char *name)
{
	const char *value = server_argument(r, name);

	return value && strcmp(value, "1") == 0;
}

struct known {
	const char *const *names;
	const char *wrong;
};

static enum MHD_Result look_at(void *cls, enum MHD_ValueKind kind, const char *key,
			       const char *value)
{
	struct known *k = cls;

	(void)kind;
	for (size_t i = 0; k->names[i]; i++) {
		if (strcmp(k->names[i], key) == 0 && value && value[0])
			return MHD_YES;
	}
	k->wrong = key;
	return MHD_NO;
}

const char *server_unknown_argument(const struct server_request *r,
				    const char *const *names)
{
	struct known k = { .names = names };

	(void)MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, look_at,
					&k);
	return k.wrong;
}

/* --- one request --- */

/* What is too large is read and thrown away: an answer before that would be lost. */
static void take(struct upload *u, const char *data, size_t n)
{
	char *more;

	if (u->too_large || u->no_memory)
		return;
	if (n > SERVER_BODY_MAX - u->n) {
		u->too_large = true;
		return;
	}
	if (u->n + n + 1 > u->room) {
		u->room = 2 * (u->n + n + 1);
		more = realloc(u->text, u->room);
		if (!more) {
			u->no_memory = true;
			return;
		}
		u->text = more;
	}
	memcpy(u->text + u->n, data, n);
	u->n += n;
	u->text[u->n] = '\0';
}

static struct ucred who_asks(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred who = { .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t len = sizeof(who);

	if (info)
		(void)getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
	return who;
}

static enum MHD_Result respond(struct MHD_Connection *c, const struct server_answer *a)
{
	size_t n = a->text_n ? a->text_n : a->text ? strlen(a->text) : 0;
	struct MHD_Response *response = MHD_create_response_from_buffer(
		n, a->text, a->text ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;
	char tag[32];

	if (!response) {
		free(a->text);
		return MHD_NO;
	}
	if (a->type)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
					      a->type);
	if (a->allow)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, a->allow);
	if (a->revision) {
		(void)snprintf(tag, sizeof(tag), "\"%" PRIu64 "\"", a->revision);
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, tag);
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
				      "no-store");
	result = MHD_queue_response(c, a->status, response);
	MHD_destroy_response(response);
	return result;
}

static void refuse(struct server_answer *a, unsigned status, const char *title)
{
	a->status = status;
	a->type = "application/problem+json";
	if (asprintf(&a->text,
		     "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u}\n", title,
		     status) < 0)
		a->text = NULL;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version,
				  const char *data, size_t *data_n, void **state)
{
	struct server_answer a = { .status = MHD_HTTP_OK };
	struct upload *u = *state;
	struct server *s = cls;

	(void)version;
	if (!u) {
		*state = calloc(1, sizeof(*u));
		return *state ? MHD_YES : MHD_NO;
	}
	if (*data_n) {
		take(u, data, *data_n);
		*data_n = 0;
		return MHD_YES;
	}
	if (u->too_large) {
		refuse(&a, 413, "the body is larger than 4 MiB");
	} else if (u->no_memory) {
		refuse(&a, 503, "no memory");
	} else {
		const struct server_request r = { .method = method,
						  .path = url,
						  .body = u->text ? u->text : "",
						  .body_n = u->n,
						  .who = who_asks(c),
						  .connection = c };

		s->fn(s->arg, &r, &a);
	}
	return respond(c, &a);
}

static void on_completed(void *cls, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct upload *u = *state;

	(void)cls;
	(void)c;
	(void)code;
	if (u)
		free(u->text);
	free(u);
	*state = NULL;
}

/* --- its place on the loop --- */

/*
 * Until it has nothing to do; then when it next has.  Each second in any case: at its
 * limit of connections libmicrohttpd listens no more, and looks again only when it is
 * run.
 */
static void run(struct server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;

	(void)MHD_run(s->mhd);
	if (MHD_get_timeout(s->mhd, &ms) != MHD_YES || ms > LOOK_MS)
		ms = LOOK_MS;
	ev_timer_set(s->loop, &s->timer, (int64_t)ms);
}

static void on_io(struct ev_io *io, uint32_t events)
{
	(void)events;
	run(container_of(io, struct server, io));
}

static void on_timer(struct ev_timer *timer)
{
	run(container_of(timer, struct server, timer));
}

int server_open(struct ev_loop *loop, int fd, server_fn fn, void *arg,
		struct server **ret)
{
	struct server *s = calloc(1, sizeof(*s));
	const union MHD_DaemonInfo *info;
	int err;

	if (!s)
		return -ENOMEM;
	*s = (struct server){ .loop = loop,
			      .io = { .fd = -1, .fn = on_io },
			      .timer = { .fn = on_timer },
			      .fn = fn,
			      .arg = arg };
	s->mhd = MHD_start_daemon(
		MHD_USE_EPOLL, 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, SILENT_S, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, s, MHD_OPTION_END);
	info = s->mhd ? MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	err = info ? ev_io_add(loop, &s->io, info->epoll_fd, EPOLLIN) : -EIO;
	if (err) {
		if (!s->mhd)
			close(fd);
		server_close(s);
		return err;
	}
	ev_timer_set(loop, &s->timer, LOOK_MS);
	*ret = s;
	return 0;
}

void server_close(struct server *s)
{
	if (!s)
		return;
	ev_timer_del(s->loop, &s->timer);
	if (s->io.fd >= 0)
		ev_io_del(s->loop, &s->io);
	if (s->mhd)
		MHD_stop_daemon(s->mhd);
	free(s);
}
