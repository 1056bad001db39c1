/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "session/pack.h"

/* --- version 2 --- */

struct packed_leg {
	uint64_t rx, tx, rx_header, tx_header;
	uint8_t ended, urgent, shut_out, pad[5];
};

struct packed_dir {
	uint32_t pipe;
	uint32_t buffer;
	uint8_t has_pipe, bulk, eof, pad[5];
};

/* Followed by the bytes of both buffers, request first, of the opening, of what was
 * heard.
 */
struct packed {
	uint16_t listener, route, backend;
	uint8_t sniff, first, retries, trusted, pad0[2];
	uint32_t sniff_since_ms, opening, heard;
	struct addr peer, client, up_addr;
	uint8_t pad[2];
	int64_t began_ms, active_ms, half_ms;
	struct packed_leg down, up;
	struct packed_dir request, response;
};

static struct packed_leg pack_leg(const struct image_leg *l)
{
	return (struct packed_leg){ .rx = l->rx,
				    .tx = l->tx,
				    .rx_header = l->rx_header,
				    .tx_header = l->tx_header,
				    .ended = l->ended,
				    .urgent = l->urgent,
				    .shut_out = l->shut_out };
}

static struct packed_dir pack_dir(const struct image_dir *d)
{
	return (struct packed_dir){ .pipe = d->pipe,
				    .buffer = d->buffer.n,
				    .has_pipe = d->has_pipe,
				    .bulk = d->bulk,
				    .eof = d->eof };
}

static uint8_t *append(uint8_t *at, const void *data, size_t n)
{
	if (n)
		memcpy(at, data, n);
	return at + n;
}

static uint8_t *write_v2(const struct image *im, size_t *len)
{
	const struct packed p = { .listener = im->listener,
				  .route = im->route,
				  .backend = im->backend,
				  .sniff = im->sniff,
				  .first = im->first,
				  .retries = im->retries,
				  .trusted = im->trusted,
				  .sniff_since_ms = im->sniff_since_ms,
				  .opening = im->opening.n,
				  .heard = im->heard.n,
				  .peer = im->peer,
				  .client = im->client,
				  .up_addr = im->up_addr,
				  .began_ms = im->began_ms,
				  .active_ms = im->active_ms,
				  .half_ms = im->half_ms,
				  .down = pack_leg(&im->down),
				  .up = pack_leg(&im->up),
				  .request = pack_dir(&im->request),
				  .response = pack_dir(&im->response) };
	uint8_t *data, *at;

	*len = sizeof(p) + im->request.buffer.n + im->response.buffer.n + im->opening.n +
	       im->heard.n;
	data = malloc(*len);
	if (!data)
		return NULL;
	at = append(data, &p, sizeof(p));
	at = append(at, im->request.buffer.data, im->request.buffer.n);
	at = append(at, im->response.buffer.data, im->response.buffer.n);
	at = append(at, im->opening.data, im->opening.n);
	(void)append(at, im->heard.data, im->heard.n);
	return data;
}

static struct image_leg unpack_leg(const struct packed_leg *l)
{
	return (struct image_leg){ .rx = l->rx,
				   .tx = l->tx,
				   .rx_header = l->rx_header,
				   .tx_header = l->tx_header,
				   .ended = l->ended,
				   .urgent = l->urgent,
				   .shut_out = l->shut_out };
}

static struct image_dir unpack_dir(const struct packed_dir *d, const uint8_t **at)
{
	struct image_dir ret = { .pipe = d->pipe,
				 .has_pipe = d->has_pipe,
				 .bulk = d->bulk,
				 .eof = d->eof,
				 .buffer = { *at, d->buffer } };

	*at += d->buffer;
	return ret;
}

static int read_v2(const uint8_t *data, size_t len, struct image *ret)
{
	const uint8_t *at = data + sizeof(struct packed);
	struct packed p;

	if (len < sizeof(p))
		return -EPROTO;
	memcpy(&p, data, sizeof(p));
	if (len - sizeof(p) !=
	    (uint64_t)p.request.buffer + p.response.buffer + p.opening + p.heard)
		return -EPROTO;
	*ret = (struct image){ .listener = p.listener,
			       .route = p.route,
			       .backend = p.backend,
			       .sniff = p.sniff,
			       .first = p.first,
			       .retries = p.retries,
			       .trusted = p.trusted,
			       .sniff_since_ms = p.sniff_since_ms,
			       .peer = p.peer,
			       .client = p.client,
			       .up_addr = p.up_addr,
			       .began_ms = p.began_ms,
			       .active_ms = p.active_ms,
			       .half_ms = p.half_ms,
			       .down = unpack_leg(&p.down),
			       .up = unpack_leg(&p.up) };
	ret->request = unpack_dir(&p.request, &at);
	ret->response = unpack_dir(&p.response, &at);
	ret->opening = (struct image_bytes){ at, p.opening };
	ret->heard = (struct image_bytes){ at + p.opening, p.heard };
	return 0;
}

/* --- tag, length, value --- */

/* No listener and no route has this id, with which version 2 begins. */
#define MAGIC	 0xffffffffu
#define OPTIONAL 1

enum tag {
	TAG_NAMES = 1,
	TAG_STATE,
	TAG_ADDRS,
	TAG_DOWN,
	TAG_UP,
	TAG_REQUEST,
	TAG_RESPONSE,
	TAG_REQUEST_BYTES,
	TAG_RESPONSE_BYTES,
	TAG_OPENING,
	TAG_HEARD,
	TAG_MAX
};
#define TAGS_NEEDED                                                             \
	(1u << TAG_NAMES | 1u << TAG_STATE | 1u << TAG_ADDRS | 1u << TAG_DOWN | \
	 1u << TAG_UP | 1u << TAG_REQUEST | 1u << TAG_RESPONSE)

struct field {
	uint16_t tag, flags;
	uint32_t len;
};

/* Values; what is new goes to their ends. */
struct names {
	uint16_t listener, route, backend;
};
struct state {
	uint8_t sniff, first, retries, trusted;
	uint32_t sniff_since_ms;
	int64_t began_ms, active_ms, half_ms;
};
struct addrs {
	struct addr peer, client, up;
};
struct dir {
	uint32_t pipe;
	uint8_t has_pipe, bulk, eof, pad;
};

/* The values of an image, in the order of their tags. */
struct values {
	struct names names;
	struct state state;
	struct addrs addrs;
	struct packed_leg down, up;
	struct dir request, response;
};

/* Where a tag's value is, if it is a struct; and its bytes in the image, if it has none.
 */
static const struct {
	size_t at, size; /* of struct values; size 0: none */
	size_t bytes_at; /* of struct image */
} places[TAG_MAX] = {
#define VALUE(member)                                        \
	{                                                    \
		.at = offsetof(struct values, member),       \
		.size = sizeof(((struct values *)0)->member) \
	}
#define BYTES(member)                                      \
	{                                                  \
		.bytes_at = offsetof(struct image, member) \
	}
	[TAG_NAMES] = VALUE(names),
	[TAG_STATE] = VALUE(state),
	[TAG_ADDRS] = VALUE(addrs),
	[TAG_DOWN] = VALUE(down),
	[TAG_UP] = VALUE(up),
	[TAG_REQUEST] = VALUE(request),
	[TAG_RESPONSE] = VALUE(response),
	[TAG_REQUEST_BYTES] = BYTES(request.buffer),
	[TAG_RESPONSE_BYTES] = BYTES(response.buffer),
	[TAG_OPENING] = BYTES(opening),
	[TAG_HEARD] = BYTES(heard),
#undef VALUE
#undef BYTES
};

static struct dir value_dir(const struct image_dir *d)
{
	return (struct dir){
		.pipe = d->pipe, .has_pipe = d->has_pipe, .bulk = d->bulk, .eof = d->eof
	};
}

static uint8_t *write_field(uint8_t *at, unsigned tag, const void *data, size_t n)
{
	/* an event without what was heard is better than no session */
	const struct field f = { (uint16_t)tag, tag == TAG_HEARD ? OPTIONAL : 0,
				 (uint32_t)n };

	return append(append(at, &f, sizeof(f)), data, n);
}

static uint8_t *write_fields(const struct image *im, size_t *len)
{
	struct values v = { .names = { im->listener, im->route, im->backend },
			    .state = { im->sniff, im->first, im->retries, im->trusted,
				       im->sniff_since_ms, im->began_ms, im->active_ms,
				       im->half_ms },
			    .addrs = { im->peer, im->client, im->up_addr },
			    .down = pack_leg(&im->down),
			    .up = pack_leg(&im->up),
			    .request = value_dir(&im->request),
			    .response = value_dir(&im->response) };
	const uint32_t magic = MAGIC;
	uint8_t *data = malloc(sizeof(magic) + TAG_MAX * sizeof(struct field) +
			       sizeof(v) + im->request.buffer.n + im->response.buffer.n +
			       im->opening.n + im->heard.n);
	uint8_t *at;

	if (!data)
		return NULL;
	at = append(data, &magic, sizeof(magic));
	for (unsigned tag = 1; tag < TAG_MAX; tag++) {
		const struct image_bytes *b =
			(const void *)((const char *)im + places[tag].bytes_at);

		if (places[tag].size)
			at = write_field(at, tag, (const char *)&v + places[tag].at,
					 places[tag].size);
		else if (b->n)
			at = write_field(at, tag, b->data, b->n);
	}
	*len = (size_t)(at - data);
	return data;
}

/* One field into its place.  0 or -EPROTO. */
static int read_field(const struct field *f, const uint8_t *data, struct values *v,
		      struct image *im)
{
	size_t size;

	if (f->tag == 0 || f->tag >= TAG_MAX)
		return f->flags & OPTIONAL ? 0 : -EPROTO;
	size = places[f->tag].size;
	if (size)
		memcpy((char *)v + places[f->tag].at, data,
		       f->len < size ? f->len : size);
	else
		*(struct image_bytes *)((char *)im + places[f->tag].bytes_at) =
			(struct image_bytes){ data, f->len };
	return 0;
}

static int read_fields(const uint8_t *data, size_t len, struct values *v,
		       struct image *im)
{
	uint32_t seen = 0;
	struct field f;

	while (len >= sizeof(f)) {
		memcpy(&f, data, sizeof(f));
		data += sizeof(f);
		len -= sizeof(f);
		if (f.len > len || (f.tag < TAG_MAX && seen & 1u << f.tag) ||
		    read_field(&f, data, v, im) < 0)
			return -EPROTO;
		if (f.tag < TAG_MAX)
			seen |= 1u << f.tag;
		data += f.len;
		len -= f.len;
	}
	return len == 0 && (seen & TAGS_NEEDED) == TAGS_NEEDED ? 0 : -EPROTO;
}

static void image_dir(struct image_dir *ret, const struct dir *d)
{
	ret->pipe = d->pipe;
	ret->has_pipe = d->has_pipe;
	ret->bulk = d->bulk;
	ret->eof = d->eof;
}

static void image_of(const struct values *v, struct image *ret)
{
	ret->listener = v->names.listener;
	ret->route = v->names.route;
	ret->backend = v->names.backend;
	ret->sniff = v->state.sniff;
	ret->first = v->state.first;
	ret->retries = v->state.retries;
	ret->trusted = v->state.trusted;
	ret->sniff_since_ms = v->state.sniff_since_ms;
	ret->began_ms = v->state.began_ms;
	ret->active_ms = v->state.active_ms;
	ret->half_ms = v->state.half_ms;
	ret->peer = v->addrs.peer;
	ret->client = v->addrs.client;
	ret->up_addr = v->addrs.up;
	ret->down = unpack_leg(&v->down);
	ret->up = unpack_leg(&v->up);
	image_dir(&ret->request, &v->request);
	image_dir(&ret->response, &v->response);
}

/* --- both --- */

uint8_t *pack_write(const struct image *im, uint32_t version, size_t *len)
{
	return version < 3 ? write_v2(im, len) : write_fields(im, len);
}

int pack_read(const uint8_t *data, size_t len, struct image *ret)
{
	struct values v = { .names = { .listener = 0 } };
	uint32_t magic;
	int err;

	*ret = (struct image){ .listener = 0 };
	if (len < sizeof(magic))
		return -EPROTO;
	memcpy(&magic, data, sizeof(magic));
	if (magic != MAGIC)
		return read_v2(data, len, ret);
	err = read_fields(data + sizeof(magic), len - sizeof(magic), &v, ret);
	if (!err)
		image_of(&v, ret);
	return err;
}
