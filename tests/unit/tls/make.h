/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for unit tests and fuzzing, made here and signed by themselves; and a
 * client of what is served by them.
 */
#ifndef TESTS_UNIT_TLS_MAKE_H
#define TESTS_UNIT_TLS_MAKE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "bpf/abi.h"
#include "config/config.h"
#include "tls/certs.h"

static char make_dir[] = "/tmp/tollgate-unit-XXXXXX";

static __attribute__((unused)) const char *make_path(const char *name, const char *ext)
{
	static char paths[8][128];
	static unsigned next;
	char *p = paths[next++ % 8];

	(void)snprintf(p, sizeof(paths[0]), "%s/%s.%s", make_dir, name, ext);
	return p;
}

static __attribute__((unused)) void make_begin(void)
{
	if (!mkdtemp(make_dir))
		exit(1);
}

/* What was made, to be removed. */
static char make_files[64][128];
static unsigned make_files_n;

static __attribute__((unused)) const char *make_note(const char *path)
{
	if (make_files_n == 64)
		exit(1);
	(void)snprintf(make_files[make_files_n++], sizeof(make_files[0]), "%s", path);
	return path;
}

static __attribute__((unused)) void make_end(void)
{
	while (make_files_n > 0)
		(void)unlink(make_files[--make_files_n]);
	if (rmdir(make_dir) < 0)
		exit(1);
}

static __attribute__((unused)) void make_copy(const char *from, const char *to)
{
	FILE *in = fopen(from, "r"), *out = fopen(make_note(to), "w");
	int byte;

	while (in && out && (byte = fgetc(in)) != EOF)
		(void)fputc(byte, out);
	if (!in || !out || fclose(in) != 0 || fclose(out) != 0)
		exit(1);
}

/* NAME.pem and NAME.key; names: as subjectAltName takes them, NULL: none; valid so many
 * days from now, or since. */
static __attribute__((unused)) void make_cert(const char *name, const char *names,
					      bool rsa, int days)
{
	EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	X509_EXTENSION *ext;
	FILE *f;

	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), days < 0 ? days * 86400L * 2 : -60);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), days * 86400L);
	(void)X509_set_pubkey(x, key);
	(void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
					 (const unsigned char *)name, -1, -1, 0);
	(void)X509_set_issuer_name(x, subject);
	if (names) {
		ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
		(void)X509_add_ext(x, ext, -1);
		X509_EXTENSION_free(ext);
	}
	(void)X509_sign(x, key, EVP_sha256());
	f = fopen(make_note(make_path(name, "pem")), "w");
	(void)PEM_write_X509(f, x);
	(void)fclose(f);
	f = fopen(make_note(make_path(name, "key")), "w");
	(void)PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	(void)fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

/*
 * A listener that ends TLS of a.example.org, by the certificate that was made as exact,
 * and a route to a backend that speaks TLS and may be anybody.
 */
static __attribute__((unused)) struct config *make_config(void)
{
	char yaml[1024], why[CONFIG_ERROR_MAX];
	struct config *c;

	(void)snprintf(
		yaml, sizeof(yaml),
		"listeners:\n"
		"  - name: web\n"
		"    address: \"127.0.0.1:1\"\n"
		"    certificates: [{ certificate: %s, key: %s }]\n"
		"    routes: [{ name: app, sni: [a.example.org], tls: terminate, backends: "
		"[\"127.0.0.1:2\"] }, { name: onward, sni: [b.example.org], tls: reencrypt, "
		"backend_tls: { insecure: true }, backends: [\"127.0.0.1:2\"] }]\n",
		make_path("exact", "pem"), make_path("exact", "key"));
	if (config_parse("made.yaml", yaml, strlen(yaml), &c, why) < 0 ||
	    certs_load(c, why) < 0) {
		printf("# %s\n", why);
		exit(1);
	}
	return c;
}

/* It reads from fd, and what it has to say is in *sent. */
static __attribute__((unused)) SSL *make_client(SSL_CTX *ctx, const char *name,
						int version, int fd, BIO **sent)
{
	SSL *client = SSL_new(ctx);

	(void)SSL_set_max_proto_version(client, version);
	(void)SSL_set_tlsext_host_name(client, name);
	*sent = BIO_new(BIO_s_mem());
	SSL_set_bio(client, BIO_new_socket(fd, BIO_NOCLOSE), *sent);
	return client;
}

/* Each byte of the socket is in one column. */
static __attribute__((unused)) bool make_adds_up(const struct proxy_slot *s)
{
	return !s->tls_residual_bytes &&
	       s->tls_rx_bytes == s->app_rx_bytes + s->tls_rx_handshake_bytes +
					  s->tls_rx_record_bytes + s->tls_partial_bytes &&
	       s->tls_tx_bytes + s->tls_unsent_bytes ==
		       s->app_tx_bytes + s->tls_tx_handshake_bytes +
			       s->tls_tx_record_bytes;
}

#endif
