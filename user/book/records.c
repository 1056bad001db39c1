/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "book/pin.h"
#include "book/records.h"

struct records {
	struct ring_buffer *ring;
	records_fn fn;
	void *arg;
};

static int on_sample(void *ctx, void *data, size_t size)
{
	struct records *r = ctx;

	/* a negative number ends the round; the sample counts as read (libbpf ringbuf.c)
	 */
	return size >= sizeof(struct record) && r->fn(data, r->arg) ? -EAGAIN : 0;
}

int records_open(const char *pins, records_fn fn, void *arg, struct records **ret)
{
	struct records *r = calloc(1, sizeof(*r));
	int fd, err;

	if (!r)
		return -ENOMEM;
	r->fn = fn;
	r->arg = arg;
	err = pin_open(pins, "records", &fd);
	if (!err) {
		r->ring = ring_buffer__new(fd, on_sample, r, NULL);
		if (!r->ring)
			err = -errno;
		close(fd);
	}
	if (!err)
		err = pin_open(pins, "wire_records", &fd);
	if (!err) {
		err = ring_buffer__add(r->ring, fd, on_sample, r);
		close(fd);
	}
	if (err) {
		records_close(r);
		return err;
	}
	*ret = r;
	return 0;
}

void records_close(struct records *r)
{
	if (!r)
		return;
	ring_buffer__free(r->ring);
	free(r);
}

int records_poll(struct records *r, int ms)
{
	int n = ring_buffer__poll(r->ring, ms);

	return n > 0 || n == -EINTR || n == -EAGAIN ? 0 : n;
}
