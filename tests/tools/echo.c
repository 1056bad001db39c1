/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that says again what it hears, plain or by TLS.
 *
 *   echo ADDR:PORT [CERTIFICATE KEY [CA]]   with these by TLS; of clients of CA only
 *
 * Says "resumed" on standard error for each session that was.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/addr.h"

#define CHUNK 16384

static SSL_CTX *echo_ctx;

static void echo_secure(int fd)
{
	SSL *ssl = SSL_new(echo_ctx);
	char buf[CHUNK];
	int n;

	(void)SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1) {
		if (SSL_session_reused(ssl))
			fprintf(stderr, "resumed\n");
		while ((n = SSL_read(ssl, buf, sizeof(buf))) > 0 &&
		       SSL_write(ssl, buf, n) == n)
			;
		(void)SSL_shutdown(ssl);
		(void)shutdown(fd, SHUT_WR);
		while (SSL_read(ssl, buf, sizeof(buf)) > 0)
			;
	}
	SSL_free(ssl);
}

static int make_echo_context(const char *cert, const char *key, const char *ca)
{
	echo_ctx = SSL_CTX_new(TLS_server_method());
	if (!echo_ctx || SSL_CTX_use_certificate_chain_file(echo_ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(echo_ctx, key, SSL_FILETYPE_PEM) != 1)
		return -1;
	if (!ca)
		return 0;
	SSL_CTX_set_verify(echo_ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			   NULL);
	(void)SSL_CTX_set_session_id_context(echo_ctx, (const unsigned char *)"echo", 4);
	return SSL_CTX_load_verify_locations(echo_ctx, ca, NULL) == 1 ? 0 : -1;
}

static void *echo_one(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buf[CHUNK];
	ssize_t n;

	if (echo_ctx) {
		echo_secure(fd);
		close(fd);
		return NULL;
	}
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		for (ssize_t at = 0, k; at < n; at += k) {
			k = send(fd, buf + at, (size_t)(n - at), MSG_NOSIGNAL);
			if (k < 0)
				break;
		}
	}
	close(fd);
	return NULL;
}

static int listen_at(const struct addr *a)
{
	static const int on = 1;
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(a, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd >= 0 &&
	    (bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, 4096) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int serve(int l)
{
	pthread_attr_t attr;
	pthread_t t;
	int fd;

	pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, 128 * 1024);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	while ((fd = accept4(l, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		if (pthread_create(&t, &attr, echo_one, (void *)(intptr_t)fd) != 0)
			close(fd);
	}
	perror("echo: accept");
	return 1;
}

int main(int argc, char **argv)
{
	struct addr at;
	int l;

	if ((argc != 2 && argc != 4 && argc != 5) || addr_parse(argv[1], &at) < 0) {
		fprintf(stderr, "usage: echo ADDR:PORT [CERTIFICATE KEY [CA]]\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc >= 4 &&
	    make_echo_context(argv[2], argv[3], argc == 5 ? argv[4] : NULL) < 0) {
		ERR_print_errors_fp(stderr);
		return 1;
	}
	l = listen_at(&at);
	if (l < 0) {
		perror("echo");
		return 1;
	}
	return serve(l);
}
