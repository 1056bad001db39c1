/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tls/challenge.h"

#define WAIT_S 5
#define DIGEST 32 /* of SHA-256 */

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

/* The octet string within the extension (RFC 8737 3). */
static bool has_digest(const SSL *ssl, const char *digest)
{
	ASN1_OBJECT *id = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
	const X509 *x = SSL_get0_peer_certificate(ssl);
	int at = x && id ? X509_get_ext_by_OBJ(x, id, -1) : -1;
	const ASN1_OCTET_STRING *data =
		at >= 0 ? X509_EXTENSION_get_data(X509_get_ext(x, at)) : NULL;
	const unsigned char *p = data ? ASN1_STRING_get0_data(data) : NULL;
	unsigned byte, n = 0;

	ASN1_OBJECT_free(id);
	if (!p || ASN1_STRING_length(data) != 2 + DIGEST || p[0] != 4 || p[1] != DIGEST)
		return false;
	while (n < DIGEST && sscanf(digest, "%2x", &byte) == 1 && byte == p[2 + n]) {
		digest += strlen(digest) > 2 && digest[2] == ':' ? 3 : 2;
		n++;
	}
	return n == DIGEST;
}

bool challenge_is_answered(const struct addr *at, const char *name, const char *digest)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? SSL_new(ctx) : NULL;
	int fd = ssl ? connect_to(at) : -1;
	bool is = fd >= 0 && agrees(ssl, fd, name) && has_digest(ssl, digest);

	ERR_clear_error();
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	if (fd >= 0)
		close(fd);
	return is;
}
