/* SPDX-License-Identifier: Apache-2.0 */
/* Small strict parsers and formatters; the only place that may call strtol's family. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

int util_parse_u64(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (*text < '0' || *text > '9' || n > (max - digit) / 10)
			return -EINVAL;
		n = n * 10 + digit;
	}
	if (n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

int util_parse_size(const char *text, uint64_t max, uint64_t *ret)
{
	static const char units[] = "KMG";
	size_t len = strlen(text);
	const char *unit = len ? strchr(units, text[len - 1]) : NULL;
	char digits[32];
	uint64_t n;

	if (!unit)
		return util_parse_u64(text, max, ret);
	if (len > sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len - 1);
	digits[len - 1] = '\0';
	unsigned shift = 10 * ((unsigned)(unit - units) + 1);
	if (util_parse_u64(digits, max >> shift, &n) < 0)
		return -EINVAL;
	*ret = n << shift;
	return 0;
}

/* A number and its unit, which is smaller than `last`; how long that is, or 0. */
static size_t read_part(const char *text, int64_t *ret, int64_t *last)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "d", 86400000 },
		      { "h", 3600000 },
		      { "m", 60000 },
		      { "s", 1000 },
		      { "ms", 1 } };
	size_t digits = strspn(text, "0123456789");
	size_t letters = strcspn(text + digits, "0123456789");
	char number[20];
	uint64_t n;

	if (digits == 0 || digits >= sizeof(number))
		return 0;
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (util_parse_u64(number, 1000000000, &n) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (letters != strlen(units[i].unit) || units[i].ms >= *last ||
		    memcmp(text + digits, units[i].unit, letters) != 0)
			continue;
		*last = units[i].ms;
		*ret = (int64_t)n * units[i].ms;
		return digits + letters;
	}
	return 0;
}

int util_parse_duration_ms(const char *text, int64_t *ret)
{
	int64_t all = 0, last = INT64_MAX, ms;

	do {
		size_t n = read_part(text, &ms, &last);

		if (!n)
			return -EINVAL;
		all += ms;
		text += n;
	} while (*text);
	*ret = all;
	return 0;
}

uint64_t util_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

char *util_format_bytes(uint64_t n, char buf[UTIL_BYTES_STR_MAX])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)n;
	size_t u = 0;

	if (n < 1024) {
		snprintf(buf, UTIL_BYTES_STR_MAX, "%" PRIu64 " B", n);
		return buf;
	}
	for (value /= 1024; value >= 1024 && u + 1 < ARRAY_SIZE(units); u++)
		value /= 1024;
	snprintf(buf, UTIL_BYTES_STR_MAX, "%.1f %s", value, units[u]);
	return buf;
}

int util_read_file(const char *path, size_t max, char **ret, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err = fd < 0 ? -errno : util_read_fd(fd, max, ret, ret_len);

	if (fd >= 0)
		close(fd);
	return err;
}

int util_read_fd(int fd, size_t max, char **ret, size_t *ret_len)
{
	char *buf = malloc(max + 1);
	int err = buf ? 0 : -ENOMEM;
	size_t len = 0;
	ssize_t n;

	while (!err) {
		n = read(fd, buf + len, max + 1 - len);
		if (n < 0)
			err = -errno;
		else if (n == 0)
			break;
		else if ((len += (size_t)n) > max)
			err = -EFBIG;
	}
	if (err) {
		free(buf);
		return err;
	}
	buf[len] = '\0';
	*ret = buf;
	*ret_len = len;
	return 0;
}

uint64_t util_hash(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h ^ h >> 32;
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

uint64_t util_hash_keyed(const uint64_t key[2], const void *bytes, size_t n)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
			  key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u };
	const uint8_t *p = bytes;
	uint64_t m, last = (uint64_t)n << 56;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&m, p, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
