/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <microhttpd.h>
#include <zlib.h>

#include "base/util.h"
#include "exporter/http.h"

#define CONNECTIONS_MAX 128
#define ROOM_FROM	112 /* from here on who is silent makes room for who comes */
#define HEAD_NS		5000000000u  /* for a request to be complete */
#define ANSWER_NS	60000000000u /* for an answer to be taken, unless it never ends */
#define SILENT_S	30	     /* between two requests of a connection */
#define BLOCK_BYTES	32768
#define GZIP_FROM	1024
#define GZIP_WINDOW	(15 + 16) /* zlib.h: a gzip header */

enum doing { DOING_NOTHING, DOING_HEAD, DOING_ANSWER, DOING_STREAM };

/* A connection; in the table from its start to its end. */
struct place {
	int fd; /* -1: free */
	enum doing doing;
	uint64_t since_ns;
	bool ended; /* we have shut it down */
};

struct http {
	struct MHD_Daemon *mhd;
	http_fn fn;
	void *arg;
	pthread_mutex_t lock; /* of the places */
	struct place places[CONNECTIONS_MAX];
};

/* --- places --- */

static void place_end(struct place *p)
{
	if (!p->ended)
		(void)shutdown(p->fd, SHUT_RDWR); /* libmicrohttpd sees it, and closes */
	p->ended = true;
}

static bool is_silent(const struct place *p)
{
	return p->fd >= 0 && !p->ended &&
	       (p->doing == DOING_NOTHING || p->doing == DOING_HEAD);
}

/* Who has been without a request longest makes room. */
static void make_room(struct http *h)
{
	struct place *oldest = NULL;
	unsigned n = 0;

	for (int i = 0; i < CONNECTIONS_MAX; i++) {
		struct place *p = &h->places[i];

		n += p->fd >= 0 && !p->ended;
		if (is_silent(p) && (!oldest || p->since_ns < oldest->since_ns))
			oldest = p;
	}
	if (n >= ROOM_FROM && oldest)
		place_end(oldest);
}

static void on_connection(void *cls, struct MHD_Connection *c, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct place *p = *context;
	struct http *h = cls;

	pthread_mutex_lock(&h->lock);
	if (code == MHD_CONNECTION_NOTIFY_CLOSED && p) {
		p->fd = -1;
	} else if (code == MHD_CONNECTION_NOTIFY_STARTED && info) {
		make_room(h);
		for (int i = 0; i < CONNECTIONS_MAX && !p; i++)
			p = h->places[i].fd < 0 ? &h->places[i] : NULL;
		if (p)
			*p = (struct place){ .fd = info->connect_fd,
					     .doing = DOING_HEAD,
					     .since_ns = util_now_ns() };
		*context = p;
	}
	pthread_mutex_unlock(&h->lock);
}

static void place_note(struct http *h, struct MHD_Connection *c, enum doing doing)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct place *p = info ? info->socket_context : NULL;

	if (!p)
		return;
	pthread_mutex_lock(&h->lock);
	p->doing = doing;
	p->since_ns = util_now_ns();
	pthread_mutex_unlock(&h->lock);
}

void http_sweep(struct http *h)
{
	uint64_t now;

	pthread_mutex_lock(&h->lock);
	now = util_now_ns(); /* no place is younger */
	for (int i = 0; i < CONNECTIONS_MAX; i++) {
		struct place *p = &h->places[i];

		if (p->fd < 0 || p->ended)
			continue;
		if ((p->doing == DOING_HEAD && now - p->since_ns > HEAD_NS) ||
		    (p->doing == DOING_ANSWER && now - p->since_ns > ANSWER_NS))
			place_end(p);
	}
	pthread_mutex_unlock(&h->lock);
}

/* --- requests --- */

const char *request_argument(const struct request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *request_header(const struct request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

/* "q=0", "q=0.0" ... of the parameters of one element. */
static bool is_refused(const char *params, size_t len)
{
	for (size_t i = 0; i + 3 <= len; i++) {
		if (strncasecmp(params + i, "q=", 2) != 0)
			continue;
		for (i += 2; i < len && strchr("0.", params[i]); i++)
			;
		return i == len || strchr(" \t;", params[i]);
	}
	return false;
}

bool http_accepts(const char *value, const char *what)
{
	size_t want = strlen(what), len;

	for (const char *p = value; p && *p; p += len + (p[len] == ',')) {
		len = strcspn(p, ",");
		while (len && (*p == ' ' || *p == '\t')) {
			p++;
			len--;
		}
		if (len >= want && strncasecmp(p, what, want) == 0 &&
		    (len == want || strchr("; \t", p[want])))
			return !is_refused(p + want, len - want);
	}
	return false;
}

void answer_text(struct answer *ret, unsigned status, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&ret->text, fmt, ap);
	va_end(ap);
	if (n < 0)
		ret->text = NULL;
	ret->len = n < 0 ? 0 : (size_t)n;
	ret->status = status;
	ret->type = "text/plain; charset=utf-8";
}

/* In the place of the text, if that makes it smaller; on any trouble it stays. */
static bool compress_text(struct answer *a)
{
	z_stream z = { .next_in = (Bytef *)a->text, .avail_in = (uInt)a->len };
	char *out;
	bool done;

	if (a->len < GZIP_FROM || a->len > UINT32_MAX / 2 ||
	    deflateInit2(&z, 1, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	out = malloc(a->len);
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)a->len;
	done = out && deflate(&z, Z_FINISH) == Z_STREAM_END;
	if (done) {
		free(a->text);
		a->text = out;
		a->len = z.total_out;
	} else {
		free(out);
	}
	(void)deflateEnd(&z);
	return done;
}

/* --- answers --- */

static ssize_t on_body(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct body *b = cls;
	ssize_t n = b->next(b->arg, buf, max);

	(void)pos;
	return n > 0   ? n
	       : n < 0 ? MHD_CONTENT_READER_END_WITH_ERROR
		       : MHD_CONTENT_READER_END_OF_STREAM;
}

static void on_body_end(void *cls)
{
	struct body *b = cls;

	b->end(b->arg);
	free(b);
}

static struct MHD_Response *make_response(struct answer *a)
{
	struct MHD_Response *response;
	struct body *b;

	if (a->response)
		return a->response;
	if (a->text) {
		response = MHD_create_response_from_buffer(a->len, a->text,
							   MHD_RESPMEM_MUST_FREE);
		if (!response)
			free(a->text);
		return response;
	}
	if (!a->body.next)
		return NULL;
	b = malloc(sizeof(*b));
	if (!b) {
		a->body.end(a->body.arg);
		return NULL;
	}
	*b = a->body;
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES,
						     on_body, b, on_body_end);
	if (!response)
		on_body_end(b);
	return response;
}

static enum MHD_Result respond(struct http *h, struct MHD_Connection *c, struct answer *a)
{
	const struct request r = { .connection = c };
	bool packed = a->gzip && a->text &&
		      http_accepts(request_header(&r, MHD_HTTP_HEADER_ACCEPT_ENCODING),
				   "gzip") &&
		      compress_text(a);
	struct MHD_Response *response = make_response(a);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	if (a->type)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
					      a->type);
	if (a->link[0])
		(void)MHD_add_response_header(response, "Link", a->link);
	if (a->gzip)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_VARY,
					      "Accept, Accept-Encoding");
	if (packed)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING,
					      "gzip");
	if (a->status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
					      "GET, HEAD");
	place_note(h, c, a->response ? DOING_STREAM : DOING_ANSWER);
	result = MHD_queue_response(c, a->status, response);
	MHD_destroy_response(response);
	return result;
}

/*
 * Called when the head is there, and again when the request is complete: an answer at the
 * first call would end the connection.
 */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version,
				  const char *upload_data, size_t *upload_size,
				  void **state)
{
	static int seen;
	struct request r = { .connection = c, .path = url };
	struct answer a = { .status = MHD_HTTP_OK };
	struct http *h = cls;

	(void)version;
	(void)upload_data;
	if (!*state || *upload_size) {
		*state = &seen;
		*upload_size = 0; /* of no use to us */
		return MHD_YES;
	}
	if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
		h->fn(h->arg, &r, &a);
	else
		answer_text(&a, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	return respond(h, c, &a);
}

static void on_completed(void *cls, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode code)
{
	(void)state;
	(void)code;
	place_note(cls, c, DOING_NOTHING);
}

/* The first bytes of the next request on a connection that goes on. */
static void *on_uri(void *cls, const char *uri, struct MHD_Connection *c)
{
	(void)uri;
	place_note(cls, c, DOING_HEAD);
	return NULL;
}

int http_start(int fd, http_fn fn, void *arg, struct http **ret)
{
	const unsigned flags =
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_ALLOW_SUSPEND_RESUME;
	struct http *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->fn = fn;
	h->arg = arg;
	pthread_mutex_init(&h->lock, NULL);
	for (int i = 0; i < CONNECTIONS_MAX; i++)
		h->places[i].fd = -1;
	h->mhd = MHD_start_daemon(
		flags, 0, NULL, NULL, on_request, h, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, SILENT_S, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, h, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, h, MHD_OPTION_END);
	if (!h->mhd) {
		int err = errno ? -errno : -EIO;

		http_stop(h);
		return err;
	}
	*ret = h;
	return 0;
}

void http_stop(struct http *h)
{
	if (!h)
		return;
	if (h->mhd)
		MHD_stop_daemon(h->mhd);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
