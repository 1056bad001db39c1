/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS client that, once it is connected, writes each record itself: of any kind, size
 * and number, in keys that OpenSSL told (SSL_CTX_set_keylog_callback(3)).
 *
 *   records CASE ADDR:PORT --name NAME --ca FILE
 *   records --list
 *
 * Prints one line of JSON: how many records and application bytes it sent, how many bytes
 * came back, and how it ended: "close_notify", "fin", "reset", or the alert that came.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/ssl.h>

#include "base/addr.h"
#include "base/util.h"

#define KEY	  16
#define IV	  12
#define TAG	  16
#define SECRET	  32
#define PLAIN_MAX 16384
#define TIMEOUT_S 20
#define MANY	  10000

enum { CCS = 20, ALERT = 21, HANDSHAKE = 22, DATA = 23 };

struct client {
	SSL *ssl;
	BIO *said; /* what OpenSSL has to say */
	int fd;
	bool is_12;
	uint8_t secret[SECRET], key[KEY], iv[IV];
	uint64_t seq;
	uint64_t records, app;
	bool broken; /* a write failed: the other end has had enough */
};

static uint8_t logged[48]; /* the secret of the client's data, or the master secret */

static void die(const char *what)
{
	fprintf(stderr, "records: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(2);
}

/* --- keys --- */

static void on_key(const SSL *ssl, const char *line)
{
	static const char *const wanted[] = { "CLIENT_TRAFFIC_SECRET_0 ",
					      "CLIENT_RANDOM " };
	const char *at;

	(void)ssl;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (strncmp(line, wanted[i], strlen(wanted[i])) != 0)
			continue;
		at = strrchr(line, ' ') + 1;
		for (size_t k = 0; k < sizeof(logged) && at[2 * k]; k++)
			(void)sscanf(at + 2 * k, "%2hhx", &logged[k]);
	}
}

static void derive(const char *kdf_name, OSSL_PARAM *params, uint8_t *ret, size_t n)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, kdf_name, NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

	if (!ctx || EVP_KDF_derive(ctx, ret, n, params) != 1)
		die(kdf_name);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

/* HKDF-Expand-Label (RFC 8446 7.1) of no context. */
static void expand(const uint8_t *secret, const char *label, uint8_t *ret, size_t n)
{
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	size_t len = strlen(label);
	char digest[] = "SHA256";
	uint8_t info[64] = { 0, (uint8_t)n, (uint8_t)(6 + len) };
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret,
						  SECRET),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, 10 + len),
		OSSL_PARAM_construct_end(),
	};

	memcpy(info + 3, "tls13 ", 6);
	memcpy(info + 9, label, len);
	derive("HKDF", params, ret, n);
}

static void set_secret(struct client *c, const uint8_t *secret)
{
	memmove(c->secret, secret, SECRET);
	expand(c->secret, "key", c->key, KEY);
	expand(c->secret, "iv", c->iv, IV);
	c->seq = 0;
}

/* RFC 5246 6.3: of AES-128-GCM two keys, and then the fixed parts of two nonces. */
static void set_master(struct client *c)
{
	uint8_t seed[13 + 64] = "key expansion", block[2 * KEY + 8];
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, logged,
						  sizeof(logged)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed,
						  sizeof(seed)),
		OSSL_PARAM_construct_end(),
	};

	(void)SSL_get_server_random(c->ssl, seed + 13, 32);
	(void)SSL_get_client_random(c->ssl, seed + 45, 32);
	derive("TLS1-PRF", params, block, sizeof(block));
	memcpy(c->key, block, KEY);
	memcpy(c->iv, block + 2 * KEY, 4);
	c->seq = 1; /* Finished was the first */
}

/* --- records --- */

static void put_raw(struct client *c, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n > 0 && !c->broken) {
		ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);

		if (sent <= 0) {
			c->broken = true;
			break;
		}
		p += sent;
		n -= (size_t)sent;
	}
}

static void seal(const struct client *c, const uint8_t nonce[IV], const uint8_t *aad,
		 size_t aad_n, const uint8_t *in, size_t n, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int len;

	if (!ctx ||
	    EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, c->key, nonce) != 1 ||
	    EVP_EncryptUpdate(ctx, NULL, &len, aad, (int)aad_n) != 1 ||
	    EVP_EncryptUpdate(ctx, out, &len, in, (int)n) != 1 ||
	    EVP_EncryptFinal_ex(ctx, out + n, &len) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, out + n) != 1)
		die("seal");
	EVP_CIPHER_CTX_free(ctx);
}

static void put_u64(uint8_t *at, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		at[i] = (uint8_t)v;
}

/* One record of that kind into out; its length. */
static size_t make(struct client *c, uint8_t type, const void *data, size_t n, size_t pad,
		   uint8_t *out)
{
	static uint8_t plain[PLAIN_MAX * 2];
	uint8_t nonce[IV], aad[13], seq[8];
	size_t size = c->is_12 ? 8 + n + TAG : n + 1 + pad + TAG;

	put_u64(seq, c->seq++);
	out[0] = c->is_12 ? type : DATA;
	out[1] = out[2] = 3;
	out[3] = (uint8_t)(size >> 8);
	out[4] = (uint8_t)size;
	memcpy(nonce, c->iv, IV);
	if (c->is_12) {
		memcpy(nonce + 4, seq, 8);
		memcpy(out + 5, seq, 8);
		memcpy(aad, seq, 8);
		memcpy(aad + 8, out, 3);
		aad[11] = (uint8_t)(n >> 8);
		aad[12] = (uint8_t)n;
		seal(c, nonce, aad, sizeof(aad), data, n, out + 13);
		return 5 + size;
	}
	for (int i = 0; i < 8; i++)
		nonce[4 + i] ^= seq[i];
	memcpy(plain, data, n);
	plain[n] = type;
	memset(plain + n + 1, 0, pad);
	seal(c, nonce, out, 5, plain, n + 1 + pad, out + 5);
	return 5 + size;
}

static void put(struct client *c, uint8_t type, const void *data, size_t n, size_t pad)
{
	static uint8_t record[PLAIN_MAX * 2 + 64];

	put_raw(c, record, make(c, type, data, n, pad, record));
	c->records++;
	c->app += type == DATA ? n : 0;
}

static void put_alert(struct client *c, uint8_t level, uint8_t what)
{
	const uint8_t alert[] = { level, what };

	put(c, ALERT, alert, sizeof(alert), 0);
}

static void key_update(struct client *c, bool requested)
{
	const uint8_t message[] = { 24, 0, 0, 1, requested };
	uint8_t next[SECRET];

	put(c, HANDSHAKE, message, sizeof(message), 0);
	expand(c->secret, "traffic upd", next, SECRET);
	set_secret(c, next);
}

/* --- cases --- */

static const uint8_t text[PLAIN_MAX * 2] = "what is said";

static void one_byte(struct client *c)
{
	for (int i = 0; i < 2000; i++)
		put(c, DATA, text, 1, 0);
	put_alert(c, 1, 0);
}

static void full(struct client *c)
{
	for (int i = 0; i < 20; i++)
		put(c, DATA, text, PLAIN_MAX, 0);
	put_alert(c, 1, 0);
}

static void padded(struct client *c)
{
	for (int i = 0; i < 100; i++)
		put(c, DATA, text, 10, 255);
	put(c, DATA, text, 10, PLAIN_MAX - 10);
	put_alert(c, 1, 0);
}

static void too_large(struct client *c)
{
	put(c, DATA, text, PLAIN_MAX + 1, 0);
}

static void too_padded(struct client *c)
{
	put(c, DATA, text, 10, PLAIN_MAX + 256);
}

static void few_empty(struct client *c)
{
	for (int i = 0; i < 30; i++)
		put(c, DATA, text, 0, 0);
	put(c, DATA, text, 100, 0);
	put_alert(c, 1, 0);
}

static void many_empty(struct client *c)
{
	for (int i = 0; i < MANY && !c->broken; i++)
		put(c, DATA, text, 0, 0);
}

static void key_updates(struct client *c)
{
	for (int i = 0; i < MANY && !c->broken; i++)
		key_update(c, false);
}

static void key_updates_asked(struct client *c)
{
	for (int i = 0; i < MANY && !c->broken; i++)
		key_update(c, true);
}

/* Between data they are legal, and each is answered. */
static void key_updates_apart(struct client *c)
{
	for (int i = 0; i < 50; i++) {
		key_update(c, i & 1);
		put(c, DATA, text, 100, 0);
	}
	put_alert(c, 1, 0);
}

static void warnings(struct client *c)
{
	for (int i = 0; i < MANY && !c->broken; i++)
		put_alert(c, 1, 90); /* user_canceled */
}

static void fatal(struct client *c)
{
	put(c, DATA, text, 100, 0);
	put_alert(c, 2, 80); /* internal_error */
}

static void data_behind_end(struct client *c)
{
	put(c, DATA, text, 100, 0);
	put_alert(c, 1, 0);
	put(c, DATA, text, 100, 0);
	c->app -= 100; /* nobody is to hear it */
}

static void cut(struct client *c)
{
	put(c, DATA, text, 100, 0);
	(void)shutdown(c->fd, SHUT_WR);
}

static void cut_record(struct client *c)
{
	static uint8_t record[200];

	put(c, DATA, text, 100, 0);
	put_raw(c, record, make(c, DATA, text, 100, 0, record) / 2);
	(void)shutdown(c->fd, SHUT_WR);
}

static void cut_header(struct client *c)
{
	put(c, DATA, text, 100, 0);
	put_raw(c, "\x17\x03", 2);
	(void)shutdown(c->fd, SHUT_WR);
}

static void bad_tag(struct client *c)
{
	static uint8_t record[200];
	size_t n = make(c, DATA, text, 100, 0, record);

	record[n - 1] ^= 1;
	put_raw(c, record, n);
}

static void again(struct client *c)
{
	static uint8_t record[200];
	size_t n = make(c, DATA, text, 100, 0, record);

	put_raw(c, record, n);
	put_raw(c, record, n); /* of a number that was */
	c->app += 100;
}

static void unknown_type(struct client *c)
{
	put(c, 99, text, 10, 0);
}

static void no_type(struct client *c)
{
	put(c, 0, text, 0, 100); /* padding and nothing else */
}

static void late_ccs(struct client *c)
{
	put_raw(c, "\x14\x03\x03\x00\x01\x01", 6);
}

static void in_the_clear(struct client *c)
{
	put_raw(c, "\x17\x03\x03\x00\x05hello", 10);
}

static void other_version(struct client *c)
{
	put_raw(c, "\x17\x09\x09\x00\x40", 5);
	put_raw(c, text, 64);
}

/* A second hello, which OpenSSL would make of SSL_renegotiate(3). */
static void hello_again(struct client *c)
{
	uint8_t hello[41] = { 1, 0, 0, 37, 3, 3, [38] = 0x13, 0x01, 1 };

	put(c, HANDSHAKE, hello, sizeof(hello), 0);
}

static void hellos_again(struct client *c)
{
	for (int i = 0; i < MANY && !c->broken; i++)
		hello_again(c);
}

/* Of a message that never ends. */
static void long_message(struct client *c)
{
	static uint8_t message[PLAIN_MAX] = { 4, 0xff, 0xff, 0xff };

	put(c, HANDSHAKE, message, sizeof(message), 0);
	for (int i = 0; i < 100 && !c->broken; i++)
		put(c, HANDSHAKE, message + 4, sizeof(message) - 4, 0);
}

static const struct test {
	const char *name;
	void (*fn)(struct client *c);
	bool is_12;	/* else 1.3 */
	unsigned piece; /* of the hello in each of its records; 0: as OpenSSL has it */
	size_t hello;	/* bytes of an extension that nobody knows */
} tests[] = {
	{ "one-byte", one_byte, false, 0, 0 },
	{ "full", full, false, 0, 0 },
	{ "padded", padded, false, 0, 0 },
	{ "too-large", too_large, false, 0, 0 },
	{ "too-padded", too_padded, false, 0, 0 },
	{ "few-empty", few_empty, false, 0, 0 },
	{ "many-empty", many_empty, false, 0, 0 },
	{ "key-updates", key_updates, false, 0, 0 },
	{ "key-updates-asked", key_updates_asked, false, 0, 0 },
	{ "key-updates-apart", key_updates_apart, false, 0, 0 },
	{ "warnings", warnings, false, 0, 0 },
	{ "fatal", fatal, false, 0, 0 },
	{ "data-behind-end", data_behind_end, false, 0, 0 },
	{ "cut", cut, false, 0, 0 },
	{ "cut-record", cut_record, false, 0, 0 },
	{ "cut-header", cut_header, false, 0, 0 },
	{ "bad-tag", bad_tag, false, 0, 0 },
	{ "again", again, false, 0, 0 },
	{ "unknown-type", unknown_type, false, 0, 0 },
	{ "no-type", no_type, false, 0, 0 },
	{ "late-ccs", late_ccs, false, 0, 0 },
	{ "in-the-clear", in_the_clear, false, 0, 0 },
	{ "other-version", other_version, false, 0, 0 },
	{ "hello-again", hello_again, false, 0, 0 },
	{ "long-message", long_message, false, 0, 0 },
	{ "hello-of-1-byte-records", full, false, 1, 0 },
	{ "hello-of-60000", full, false, 0, 60000 },
	{ "hello-of-60000-in-pieces", full, false, 999, 60000 },
	{ "one-byte-1.2", one_byte, true, 0, 0 },
	{ "full-1.2", full, true, 0, 0 },
	{ "too-large-1.2", too_large, true, 0, 0 },
	{ "few-empty-1.2", few_empty, true, 0, 0 },
	{ "many-empty-1.2", many_empty, true, 0, 0 },
	{ "warnings-1.2", warnings, true, 0, 0 },
	{ "fatal-1.2", fatal, true, 0, 0 },
	{ "cut-1.2", cut, true, 0, 0 },
	{ "cut-record-1.2", cut_record, true, 0, 0 },
	{ "bad-tag-1.2", bad_tag, true, 0, 0 },
	{ "again-1.2", again, true, 0, 0 },
	{ "unknown-type-1.2", unknown_type, true, 0, 0 },
	{ "late-ccs-1.2", late_ccs, true, 0, 0 },
	{ "renegotiations-1.2", hellos_again, true, 0, 0 },
	{ "hello-of-1-byte-records-1.2", full, true, 1, 0 },
};

/* --- a connection --- */

static int add_extension(SSL *ssl, unsigned type, unsigned context,
			 const unsigned char **out, size_t *n, X509 *x, size_t chain,
			 int *alert, void *arg)
{
	static const unsigned char zeros[65000];

	(void)ssl;
	(void)type;
	(void)context;
	(void)x;
	(void)chain;
	(void)alert;
	*out = zeros;
	*n = *(const size_t *)arg;
	return *n > 0;
}

static SSL *make_ssl(const struct test *t, const char *name, const char *ca)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int version = t->is_12 ? TLS1_2_VERSION : TLS1_3_VERSION;
	SSL *ssl;

	if (!ctx || SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1)
		die(ca);
	SSL_CTX_set_keylog_callback(ctx, on_key);
	(void)SSL_CTX_set_min_proto_version(ctx, version);
	(void)SSL_CTX_set_max_proto_version(ctx, version);
	(void)SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
	(void)SSL_CTX_set_cipher_list(ctx, "ECDHE+AES128+AESGCM");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (t->hello)
		(void)SSL_CTX_add_custom_ext(ctx, 0xff77, SSL_EXT_CLIENT_HELLO,
					     add_extension, NULL, (void *)&t->hello, NULL,
					     NULL);
	ssl = SSL_new(ctx);
	if (!ssl || !SSL_set_tlsext_host_name(ssl, name) || !SSL_set1_host(ssl, name))
		die("SSL_new");
	return ssl;
}

/* The bytes of its messages in records of that size (RFC 8446 5.1). */
static void put_pieces(struct client *c, const uint8_t *data, size_t n, unsigned piece)
{
	static uint8_t messages[128 * 1024];
	size_t len = 0, size;

	for (size_t at = 0; at + 5 <= n; at += 5 + size) {
		size = (size_t)(data[at + 3] << 8 | data[at + 4]);
		memcpy(messages + len, data + at + 5, size);
		len += size;
	}
	for (size_t at = 0; at < len; at += size) {
		size = len - at < piece ? len - at : piece;
		put_raw(c,
			(const uint8_t[]){ HANDSHAKE, 3, 1, (uint8_t)(size >> 8),
					   (uint8_t)size },
			5);
		put_raw(c, messages + at, size);
	}
}

/* What OpenSSL has to say, the hello of it in pieces. */
static void flush(struct client *c, unsigned piece)
{
	static uint8_t data[128 * 1024];
	int n = BIO_read(c->said, data, sizeof(data));

	if (n > 0 && piece)
		put_pieces(c, data, (size_t)n, piece);
	else if (n > 0)
		put_raw(c, data, (size_t)n);
}

static void connect_client(struct client *c, const struct addr *to, const struct test *t)
{
	const struct timeval wait = { .tv_sec = TIMEOUT_S };
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(to, &ss);
	unsigned piece = t->piece;
	int ret = 0;

	c->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&ss, len) < 0)
		die("connect");
	c->said = BIO_new(BIO_s_mem());
	SSL_set_bio(c->ssl, BIO_new_socket(c->fd, BIO_NOCLOSE), c->said);
	(void)fcntl(c->fd, F_SETFL, O_NONBLOCK); /* or it waits before it has spoken */
	for (int i = 0; i < 20 && ret != 1; i++) {
		struct pollfd there = { .fd = c->fd, .events = POLLIN };

		ret = SSL_connect(c->ssl);
		if (ret != 1 && SSL_get_error(c->ssl, ret) != SSL_ERROR_WANT_READ)
			break;
		flush(c, piece);
		piece = 0;
		if (ret != 1 && poll(&there, 1, TIMEOUT_S * 1000) != 1)
			break;
	}
	if (ret != 1)
		die("handshake");
	flush(c, 0);
	(void)fcntl(c->fd, F_SETFL, 0);
	c->is_12 = t->is_12;
	if (c->is_12)
		set_master(c);
	else
		set_secret(c, logged);
}

static char last_alert[64];

/* As the RFCs write it, and metrics do. */
static void on_info(const SSL *ssl, int where, int ret)
{
	(void)ssl;
	if (!(where & SSL_CB_READ) || !(where & SSL_CB_ALERT))
		return;
	(void)snprintf(last_alert, sizeof(last_alert), "%s",
		       SSL_alert_desc_string_long(ret));
	for (char *p = last_alert; *p; p++)
		*p = *p == ' ' ? '_' : *p;
}

/* Everything that comes, and how it ends. */
static const char *hear(struct client *c, uint64_t *heard)
{
	static char buf[PLAIN_MAX];
	int n, err;

	while ((n = SSL_read(c->ssl, buf, sizeof(buf))) > 0)
		*heard += (uint64_t)n;
	err = SSL_get_error(c->ssl, n);
	if (err == SSL_ERROR_ZERO_RETURN)
		return "close_notify";
	if (last_alert[0])
		return last_alert;
	if (err == SSL_ERROR_SYSCALL && errno == EAGAIN)
		return "nothing";
	return err == SSL_ERROR_SYSCALL && errno ? "reset" : "fin";
}

/* Another process writes, or both ends would wait for each other; what it did comes in
 * c->fd when it is done. */
static void run(struct client *c, const struct test *t)
{
	pid_t pid;
	int ends[2];

	if (pipe(ends) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		t->fn(c);
		if (write(ends[1], c, sizeof(*c)) != sizeof(*c))
			_exit(2);
		_exit(0);
	}
	close(ends[1]);
	c->fd = ends[0];
}

int main(int argc, char **argv)
{
	struct client c = { .fd = -1 }, told;
	const struct test *t = NULL;
	uint64_t heard = 0;
	struct addr to;
	const char *end;

	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		if (argc == 2 && strcmp(argv[1], "--list") == 0)
			printf("%s\n", tests[i].name);
		else if (argc == 7 && strcmp(argv[1], tests[i].name) == 0)
			t = &tests[i];
	}
	if (argc == 2)
		return 0;
	if (!t || addr_parse(argv[2], &to) < 0) {
		fprintf(stderr, "usage: records CASE ADDR:PORT --name NAME --ca FILE\n"
				"       records --list\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	c.ssl = make_ssl(t, argv[4], argv[6]);
	SSL_set_info_callback(c.ssl, on_info);
	connect_client(&c, &to, t);
	run(&c, t);
	end = hear(&c, &heard);
	if (read(c.fd, &told, sizeof(told)) != sizeof(told))
		die("the writer");
	/* an error of a socket is told once, to whoever asks first */
	if (told.broken && strcmp(end, "fin") == 0)
		end = "reset";
	printf("{\"records\":%llu,\"app\":%llu,\"heard\":%llu,\"end\":\"%s\"}\n",
	       (unsigned long long)told.records, (unsigned long long)told.app,
	       (unsigned long long)heard, end);
	return 0;
}
