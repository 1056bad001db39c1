/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for unit tests: made here, signed by themselves or by one made before. */
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
#include <openssl/x509v3.h>

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

#endif
