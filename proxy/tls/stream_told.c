/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to tell of a connection's TLS. */
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tls/peer.h"
#include "tls/stream_own.h"

bool stream_is_distrusted(const struct conn *c, const char **why)
{
	long result = SSL_get_verify_result(stream_of(c)->ssl);

	*why = X509_verify_cert_error_string(result);
	return result != X509_V_OK;
}

bool stream_is_resumed(const struct conn *c)
{
	return SSL_session_reused(stream_of(c)->ssl);
}

uint16_t stream_version(const struct conn *c)
{
	const SSL *ssl = c->layer ? stream_of(c)->ssl : NULL;

	return ssl && SSL_is_init_finished(ssl) ? (uint16_t)SSL_version(ssl) : 0;
}

bool stream_client(const struct conn *c, struct stream_client *ret)
{
	const struct stream *s = c->layer ? stream_of(c) : NULL;

	if (!s)
		return false;
	*ret = (struct stream_client){ .version = SSL_get_version(s->ssl),
				       .cipher = SSL_get_cipher_name(s->ssl),
				       .group = peer_group(s->ssl),
				       .resumed = SSL_session_reused(s->ssl) };
	if (SSL_get_current_cipher(s->ssl))
		ret->suite = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(s->ssl));
	SSL_get0_alpn_selected(s->ssl, &ret->alpn, &ret->alpn_n);
	ret->showed =
		s->route->clients && peer_name(s->ssl, ret->common, sizeof(ret->common));
	return true;
}

int stream_identity(const struct conn *c, struct identity **ret)
{
	const struct stream *s = c->layer ? stream_of(c) : NULL;

	*ret = NULL;
	return s && s->route->clients ? peer_identity(s->ssl, ret) : 0;
}

size_t stream_certificate(const struct conn *c, uint8_t **ret)
{
	const struct stream *s = c->layer ? stream_of(c) : NULL;

	*ret = NULL;
	return s && s->route->clients ? peer_der(s->ssl, ret) : 0;
}
