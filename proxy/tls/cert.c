/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls/cert.h"

#define CHAIN_MAX CONFIG_DEPTH
#define WARN_DAYS 14

static void erase(char *text)
{
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

void cert_done(struct cert *c)
{
	for (unsigned i = 0; i < c->names_n; i++)
		free(c->names[i]);
	free(c->names);
	erase(c->chain); /* the key may be in the same file */
	erase(c->key);
	free(c->staple);
	free(c->file);
}

static int add_name(struct cert *c, const ASN1_STRING *s)
{
	int n = ASN1_STRING_length(s);
	const unsigned char *data = ASN1_STRING_get0_data(s);
	char **names = realloc(c->names, (c->names_n + 1) * sizeof(*names));
	char *name;

	if (!names)
		return -ENOMEM;
	c->names = names;
	name = strndup((const char *)data, (size_t)n);
	if (!name)
		return -ENOMEM;
	for (char *p = name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	c->names[c->names_n++] = name;
	return 0;
}

/* Its DNS names (RFC 6125 6.4.4: the common name only if there is none). */
static int read_names(struct cert *c, X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	X509_NAME *subject = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1), err = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !err; i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type == GEN_DNS)
			err = add_name(c, n->d.dNSName);
	}
	if (!err && !c->names_n && !names && at >= 0)
		err = add_name(
			c, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	GENERAL_NAMES_free(names);
	return err;
}

static time_t time_of(const ASN1_TIME *t)
{
	struct tm tm = { 0 };

	return ASN1_TIME_to_tm(t, &tm) ? timegm(&tm) : 0;
}

static void check_times(const struct loading *l, const struct cert *c)
{
	time_t now = time(NULL);
	long days = (long)((c->not_after - now) / 86400);

	if (c->not_before > now)
		loading_warn(l, c->file, "is not valid yet: in %ld days",
			     (long)((c->not_before - now) / 86400) + 1);
	else if (c->not_after <= now)
		loading_warn(l, c->file, "has expired %ld days ago", -days);
	else if (days < WARN_DAYS)
		loading_warn(l, c->file, "expires in %ld days", days);
}

/* Each signed by the next (RFC 8446 4.4.2). */
static int check_order(const struct loading *l, const struct cert *c, X509 *const *chain,
		       unsigned n)
{
	for (unsigned i = 0; i + 1 < n; i++) {
		if (X509_check_issued(chain[i + 1], chain[i]) != X509_V_OK)
			return loading_wrong(
				l, c->file,
				"certificate %u is not of the issuer of number %u: "
				"the chain is in the wrong order, or lacks one",
				i + 2, i + 1);
	}
	return 0;
}

static int check_key(const struct loading *l, const char *file, struct cert *c,
		     X509 *leaf)
{
	BIO *bio = BIO_new_mem_buf(c->key, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
	int err = 0;

	BIO_free(bio);
	if (!key)
		return loading_wrong(l, file, "no private key without a passphrase: %s",
				     loading_said());
	if (X509_check_private_key(leaf, key) != 1)
		err = loading_wrong(l, file, "is not the key of %s", c->file);
	c->is_rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
	EVP_PKEY_free(key);
	return err;
}

static int read_chain(const struct loading *l, struct cert *c, const char *key_file)
{
	X509 *chain[CHAIN_MAX + 1];
	BIO *bio = BIO_new_mem_buf(c->chain, -1);
	unsigned n = 0;
	int err = 0;

	while (bio && n <= CHAIN_MAX &&
	       (chain[n] = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		n++;
	BIO_free(bio);
	if (!n)
		return loading_wrong(l, c->file, "no certificate is in it: %s",
				     loading_said());
	if (n > CHAIN_MAX)
		err = loading_wrong(l, c->file, "a chain of more than %d", CHAIN_MAX);
	else if (!loading_is_end())
		err = loading_wrong(l, c->file, "certificate %u is damaged: %s", n + 1,
				    loading_said());
	ERR_clear_error();
	c->not_before = time_of(X509_get0_notBefore(chain[0]));
	c->not_after = time_of(X509_get0_notAfter(chain[0]));
	if (!err)
		err = read_names(c, chain[0]);
	if (!err && !c->names_n && !l->route) /* who we are to a backend may be anybody */
		err = loading_wrong(l, c->file, "has no DNS name");
	if (!err)
		err = check_key(l, key_file, c, chain[0]);
	if (!err)
		err = check_order(l, c, chain, n);
	if (!err)
		check_times(l, c);
	while (n > 0)
		X509_free(chain[--n]);
	return err;
}

/*
 * Is it about this certificate?  By the number that its issuer gave it, and by the
 * issuer, which is not in the file if it is nobody's business (NULL).
 */
static bool is_about(OCSP_SINGLERESP *single, X509 *leaf, X509 *issuer)
{
	OCSP_CERTID *id = (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single), *ours;
	ASN1_INTEGER *serial = NULL;
	ASN1_OBJECT *digest = NULL;
	bool is;

	if (!OCSP_id_get0_info(NULL, &digest, NULL, &serial, id) ||
	    ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) != 0)
		return false;
	if (!issuer)
		return true;
	ours = OCSP_cert_to_id(EVP_get_digestbyobj(digest), leaf, issuer);
	is = ours && OCSP_id_cmp(ours, id) == 0;
	OCSP_CERTID_free(ours);
	return is;
}

static OCSP_SINGLERESP *find_single(OCSP_BASICRESP *basic, X509 *leaf, X509 *issuer)
{
	for (int i = 0; i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);

		if (is_about(single, leaf, issuer))
			return single;
	}
	return NULL;
}

/* By the issuer, or who is in the response; whether that one may is the client's to see.
 */
static bool is_signed(OCSP_BASICRESP *basic, X509 *issuer)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	bool is = certs && (!issuer || sk_X509_push(certs, issuer)) &&
		  OCSP_basic_verify(basic, certs, NULL, OCSP_NOVERIFY) > 0;

	sk_X509_free(certs);
	ERR_clear_error();
	return is;
}

static int check_single(const struct loading *l, const char *file, struct cert *c,
			OCSP_SINGLERESP *single)
{
	ASN1_GENERALIZEDTIME *from = NULL, *until = NULL;
	int reason, status;

	if (!single)
		return loading_wrong(l, file, "says nothing of %s", c->file);
	status = OCSP_single_get0_status(single, &reason, NULL, &from, &until);
	if (status != V_OCSP_CERTSTATUS_GOOD)
		loading_warn(l, file, "says that %s is %s", c->file,
			     OCSP_cert_status_str(status));
	c->staple_until = until ? time_of(until) : 0;
	if (until && c->staple_until <= time(NULL))
		loading_warn(l, file, "is out of date, and will not be sent");
	return 0;
}

static int check_staple(const struct loading *l, const char *file, struct cert *c,
			X509 *leaf, X509 *issuer)
{
	const unsigned char *data = c->staple;
	OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &data, (long)c->staple_n);
	OCSP_BASICRESP *basic = NULL;
	int err;

	if (!r)
		err = loading_wrong(l, file, "is no OCSP response in DER");
	else if (OCSP_response_status(r) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		err = loading_wrong(l, file, "is an OCSP response that says: %s",
				    OCSP_response_status_str(OCSP_response_status(r)));
	else if (!(basic = OCSP_response_get1_basic(r)))
		err = loading_wrong(l, file, "is no basic OCSP response");
	else
		err = check_single(l, file, c, find_single(basic, leaf, issuer));
	if (!err && issuer && !is_signed(basic, issuer))
		err = loading_wrong(l, file, "its signature does not hold");
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(r);
	return err;
}

static int read_staple(const struct loading *l, const char *file, struct cert *c)
{
	BIO *bio = BIO_new_mem_buf(c->chain, -1);
	X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	X509 *issuer = leaf ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	char *data = NULL;
	int err = leaf ? loading_read(l, file, &data, &c->staple_n) : -ENOMEM;

	c->staple = (uint8_t *)data;
	if (!err)
		err = check_staple(l, file, c, leaf, issuer);
	BIO_free(bio);
	X509_free(leaf);
	X509_free(issuer);
	ERR_clear_error();
	return err;
}

int cert_load(const struct loading *l, const struct cert_path *from, struct cert *ret)
{
	const char *key_file = from->key ? from->key : from->chain;
	struct stat st;
	size_t len;
	int err;

	*ret = (struct cert){ .file = strdup(from->chain),
			      .is_default = from->is_default };
	if (!ret->file)
		return -ENOMEM;
	err = loading_read(l, from->chain, &ret->chain, &len);
	if (!err)
		err = loading_read(l, key_file, &ret->key, &len);
	if (!err && stat(key_file, &st) == 0 && st.st_mode & 077)
		loading_warn(l, key_file, "others may read this key (mode %o)",
			     st.st_mode & 0777);
	if (!err)
		err = read_chain(l, ret, key_file);
	return !err && from->staple ? read_staple(l, from->staple, ret) : err;
}
