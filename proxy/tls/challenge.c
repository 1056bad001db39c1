/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/challenge.h"

#define WAIT_S 5

static const unsigned char protocol[] = "\x0a"
					"acme-tls/1";

static int connect_to(const struct addr *at)
{
	const struct timeval wait = { .tv_sec = WAIT_S };
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(at, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&ss, len) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool agrees(SSL *ssl, int fd, const char *name)
{
	const unsigned char *chosen;
	unsigned n;

	/* the certificate is what is asked for: nobody vouches for it */
	if (!SSL_set_fd(ssl, fd) || !SSL_set_tlsext_host_name(ssl, name) ||
	    SSL_set_alpn_protos(ssl, protocol, sizeof(protocol) - 1) != 0 ||
	    SSL_connect(ssl) != 1)
		return false;
	SSL_get0_alpn_selected(ssl, &chosen, &n);
	return n == protocol[0] && memcmp(chosen, protocol + 1, n) == 0;
}

bool challenge_is_answered(const struct addr *at, const char *name)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? SSL_new(ctx) : NULL;
	int fd = ssl ? connect_to(at) : -1;
	bool is = fd >= 0 && agrees(ssl, fd, name);

	ERR_clear_error();
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	if (fd >= 0)
		close(fd);
	return is;
}
