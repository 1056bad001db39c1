/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "config/identity.h"
#include "tls/peer.h"

int peer_must_be(SSL *ssl, const char *name, const struct addr *addr)
{
	char ip[INET6_ADDRSTRLEN];

	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (name[0])
		return SSL_set1_host(ssl, name) ? 0 : -EACCES;
	if (!addr)
		return -EACCES;
	if (addr_is_v4(addr->ip))
		(void)inet_ntop(AF_INET, addr->ip + 12, ip, sizeof(ip));
	else
		(void)inet_ntop(AF_INET6, addr->ip, ip, sizeof(ip));
	return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), ip) ? 0 : -EACCES;
}

/* Of the subject's last common name; "" if there is none, or it is longer (RFC 5280 A.1).
 */
static void common_name(const X509 *x, char *ret, size_t cap)
{
	const X509_NAME *subject = X509_get_subject_name(x);
	unsigned char *utf8 = NULL;
	int at, last = -1, n;

	while ((at = X509_NAME_get_index_by_NID(subject, NID_commonName, last)) >= 0)
		last = at;
	n = last < 0 ? -1
		     : ASN1_STRING_to_UTF8(&utf8,
					   X509_NAME_ENTRY_get_data(
						   X509_NAME_get_entry(subject, last)));
	if (n > 0 && (size_t)n < cap && !memchr(utf8, 0, (size_t)n)) {
		memcpy(ret, utf8, (size_t)n);
		ret[n] = '\0';
	}
	OPENSSL_free(utf8);
	ERR_clear_error();
}

bool peer_name(const struct ssl_st *ssl, char *ret, size_t cap)
{
	const X509 *x = SSL_get0_peer_certificate(ssl);

	ret[0] = '\0';
	if (!x || SSL_get_verify_result(ssl) != X509_V_OK)
		return false;
	common_name(x, ret, cap);
	return true;
}

/* --- all that names it --- */

#define NAMES_MAX   64
#define NAMES_BYTES 8192

struct names {
	unsigned n;
	size_t used;
	struct identity_name all[NAMES_MAX]; /* in bytes */
	char bytes[NAMES_BYTES];
};

/* What could be read in two ways, and what does not fit, is no name. */
static void add_name(struct names *to, const void *p, size_t n, bool is_host)
{
	if (!n || memchr(p, 0, n) || to->n == NAMES_MAX || n > NAMES_BYTES - to->used)
		return;
	memcpy(to->bytes + to->used, p, n);
	to->all[to->n++] =
		(struct identity_name){ .text = text_of(to->bytes + to->used, n),
					.is_host = is_host };
	to->used += n;
}

static void add_alternatives(struct names *to, const X509 *x)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		int type;
		const ASN1_STRING *s =
			GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &type);

		if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI)
			add_name(to, ASN1_STRING_get0_data(s),
				 (size_t)ASN1_STRING_length(s), type == GEN_DNS);
	}
	GENERAL_NAMES_free(all);
	ERR_clear_error();
}

/* The texts move with it. */
static struct identity *identity_of(const struct names *from)
{
	size_t head = sizeof(struct identity) + from->n * sizeof(struct identity_name);
	struct identity *ret = malloc(head + from->used);
	char *bytes = (char *)ret + head;

	if (!ret)
		return NULL;
	memcpy(bytes, from->bytes, from->used);
	ret->n = from->n;
	for (unsigned i = 0; i < from->n; i++)
		ret->names[i] = (struct identity_name){
			.text = text_of(bytes + (from->all[i].text.p - from->bytes),
					from->all[i].text.n),
			.is_host = from->all[i].is_host
		};
	return ret;
}

int peer_identity(const struct ssl_st *ssl, struct identity **ret)
{
	const X509 *x = SSL_get0_peer_certificate(ssl);
	unsigned char digest[EVP_MAX_MD_SIZE];
	struct names names;
	char common[256];
	unsigned n;

	*ret = NULL;
	if (!peer_name(ssl, common, sizeof(common)))
		return 0;
	if (!X509_digest(x, EVP_sha256(), digest, &n))
		return -ENOMEM;
	names.n = 0;
	names.used = 0;
	add_name(&names, common, strlen(common), !strpbrk(common, "@/:"));
	add_alternatives(&names, x);
	*ret = identity_of(&names);
	for (unsigned i = 0; *ret && i < n; i++)
		(void)snprintf((*ret)->sha256 + 2 * i, 3, "%02x", digest[i]);
	return *ret ? 0 : -ENOMEM;
}

size_t peer_der(const struct ssl_st *ssl, uint8_t **ret)
{
	const X509 *x = SSL_get0_peer_certificate(ssl);
	int n = x && SSL_get_verify_result(ssl) == X509_V_OK ? i2d_X509(x, NULL) : 0;
	uint8_t *to = *ret = n > 0 ? malloc((size_t)n) : NULL;

	return to && i2d_X509(x, &to) == n ? (size_t)n : 0;
}

uint16_t peer_group(struct ssl_st *ssl)
{
	/* OpenSSL's numbers of those that it knows */
	int nid = (int)SSL_get_negotiated_group(ssl);

	/* of 1.2 it is that of the session's first handshake */
	if (SSL_session_reused(ssl) && SSL_version(ssl) == TLS1_2_VERSION)
		return 0;

	switch (nid) {
	case NID_undef:
		return 0;
	case NID_X9_62_prime256v1:
		return 23;
	case NID_secp384r1:
		return 24;
	case NID_secp521r1:
		return 25;
	case NID_X25519:
		return 29;
	case NID_X448:
		return 30;
	default: /* 3.5 has the hybrid ones by this */
		return nid & TLSEXT_nid_unknown ? (uint16_t)(nid & 0xffff) : 0xffff;
	}
}

int peer_offer(struct ssl_st *ssl, struct text protocol)
{
	unsigned char list[256];

	if (protocol.n >= sizeof(list))
		return -ENOMEM;
	list[0] = (unsigned char)protocol.n;
	memcpy(list + 1, protocol.p, protocol.n);
	return SSL_set_alpn_protos(ssl, list, (unsigned)protocol.n + 1) == 0 ? 0
									     : -ENOMEM;
}
