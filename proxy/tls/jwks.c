/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/kept.h"
#include "base/util.h"
#include "tls/jwks.h"
#include "tls/loading.h"

#define NUMBER_MAX 1024 /* bytes of a key's number: RSA of 8192 bits */
#define SECRET_MIN 32	/* RFC 7518 3.2 */
#define RSA_MIN	   2048 /* RFC 7518 3.3 */
#define RSA_MAX	   8192 /* as its signatures are read (codec/jwt.h) */
#define KID_MAX	   128	/* as codec/jwt.h reads it of a token */
#define TRIES_MAX  8	/* keys that a token is tried with */

enum alg { RS256, ES256, EDDSA, HS256, ALGS };

static const char *const alg_names[ALGS] = { "RS256", "ES256", "EdDSA", "HS256" };

struct key {
	enum alg alg;
	char *kid;	/* NULL: it has none */
	EVP_PKEY *pkey; /* NULL of HS256 */
	uint8_t *secret;
	size_t secret_n;
};

struct jwks {
	struct key keys[JWKS_MAX];
	unsigned n;
	uint64_t generation; /* no other set has it, in this process */
};

/*
 * Signatures that were right, of every set: a token comes with each request of its
 * bearer, and public keys take up to 0.1 ms.  Made with the first set, for good.
 */
static struct kept *right_before;

/* --- a key of JSON --- */

/* The bytes of a member; 0: it is none. */
static size_t number(const json_t *o, const char *name, uint8_t ret[NUMBER_MAX])
{
	const json_t *v = json_object_get(o, name);
	ssize_t n = json_is_string(v)
			    ? base64_decode(json_string_value(v), json_string_length(v),
					    BASE64_URL, ret, NUMBER_MAX)
			    : -EINVAL;

	return n > 0 ? (size_t)n : 0;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *b)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
	EVP_PKEY *key = NULL;

	if (ctx && params && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static EVP_PKEY *rsa_key(const json_t *o)
{
	uint8_t n[NUMBER_MAX], e[NUMBER_MAX];
	size_t n_n = number(o, "n", n), e_n = number(o, "e", e);
	BIGNUM *bn = BN_bin2bn(n, (int)n_n, NULL), *be = BN_bin2bn(e, (int)e_n, NULL);
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;

	if (n_n && e_n && bn && be && b &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, bn) &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, be))
		key = from_params("RSA", b);
	OSSL_PARAM_BLD_free(b);
	BN_free(bn);
	BN_free(be);
	return key;
}

static EVP_PKEY *ec_key(const json_t *o)
{
	uint8_t x[NUMBER_MAX], y[NUMBER_MAX], point[65] = { 4 };
	OSSL_PARAM_BLD *b;
	EVP_PKEY *key = NULL;

	if (number(o, "x", x) != 32 || number(o, "y", y) != 32)
		return NULL;
	memcpy(point + 1, x, 32);
	memcpy(point + 33, y, 32);
	b = OSSL_PARAM_BLD_new();
	if (b &&
	    OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) &&
	    OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point,
					     sizeof(point)))
		key = from_params("EC", b);
	OSSL_PARAM_BLD_free(b);
	return key;
}

static EVP_PKEY *ed_key(const json_t *o)
{
	uint8_t x[NUMBER_MAX];

	return number(o, "x", x) == 32
		       ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, 32)
		       : NULL;
}

static bool is(const json_t *o, const char *name, const char *value)
{
	const char *text = json_string_value(json_object_get(o, name));

	return text && strcmp(text, value) == 0;
}

/* RFC 7517 4.3 */
static bool may_verify(const json_t *o)
{
	const json_t *ops = json_object_get(o, "key_ops"), *op;
	size_t i;

	json_array_foreach(ops, i, op)
	{
		if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0)
			return true;
	}
	return !ops;
}

static bool alg_of(const json_t *o, enum alg *ret)
{
	if (is(o, "kty", "RSA"))
		*ret = RS256;
	else if (is(o, "kty", "EC") && is(o, "crv", "P-256"))
		*ret = ES256;
	else if (is(o, "kty", "OKP") && is(o, "crv", "Ed25519"))
		*ret = EDDSA;
	else if (is(o, "kty", "oct"))
		*ret = HS256;
	else
		return false;
	return (!json_object_get(o, "alg") || is(o, "alg", alg_names[*ret])) &&
	       (!json_object_get(o, "use") || is(o, "use", "sig")) && may_verify(o);
}

static int make_secret(const json_t *o, struct key *k, char why[160])
{
	uint8_t bytes[NUMBER_MAX];

	k->secret_n = number(o, "k", bytes);
	k->secret = malloc(NUMBER_MAX);
	if (!k->secret)
		return -ENOMEM;
	memcpy(k->secret, bytes, k->secret_n);
	explicit_bzero(bytes, sizeof(bytes));
	if (k->secret_n >= SECRET_MIN)
		return 0;
	(void)snprintf(why, 160, "a secret is shorter than %d bytes, or no base64url",
		       SECRET_MIN);
	return -EINVAL;
}

static int make_public(const json_t *o, struct key *k, char why[160])
{
	k->pkey = k->alg == RS256 ? rsa_key(o) : k->alg == ES256 ? ec_key(o) : ed_key(o);
	if (!k->pkey) {
		(void)snprintf(why, 160, "a key for %s is none", alg_names[k->alg]);
		return -EINVAL;
	}
	if (k->alg != RS256 || EVP_PKEY_get_bits(k->pkey) >= RSA_MIN)
		return 0;
	(void)snprintf(why, 160, "a key of RSA has fewer than %d bits", RSA_MIN);
	return -EINVAL;
}

/* One that is for nothing we do is left out. */
static int add_json(struct jwks *s, const json_t *o, char why[160])
{
	const json_t *kid = json_object_get(o, "kid");
	struct key *k;
	enum alg alg;

	if (!alg_of(o, &alg))
		return 0;
	if (s->n == JWKS_MAX) {
		(void)snprintf(why, 160, "has more than %d keys", JWKS_MAX);
		return -EINVAL;
	}
	if (json_is_string(kid) && json_string_length(kid) >= KID_MAX) {
		(void)snprintf(why, 160, "the id of a key has %d bytes or more", KID_MAX);
		return -EINVAL;
	}
	k = &s->keys[s->n++];
	k->alg = alg;
	if (json_is_string(kid) && !(k->kid = strdup(json_string_value(kid))))
		return -ENOMEM;
	return k->alg == HS256 ? make_secret(o, k, why) : make_public(o, k, why);
}

static int read_json(struct jwks *s, const char *text, size_t len, char why[160])
{
	json_error_t e;
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e), *keys, *key;
	int err = 0;
	size_t i;

	keys = json_object_get(o, "keys");
	if (!o) {
		(void)snprintf(why, 160, "line %d: %.100s", e.line, e.text);
		err = -EINVAL;
	} else if (!json_is_array(keys)) {
		(void)snprintf(why, 160, "has no list \"keys\" (RFC 7517 5)");
		err = -EINVAL;
	}
	for (i = 0; !err && i < json_array_size(keys); i++) {
		key = json_array_get(keys, i);
		err = add_json(s, key, why);
	}
	json_decref(o);
	return err;
}

/* --- keys of PEM --- */

static bool alg_of_pkey(const EVP_PKEY *k, enum alg *ret)
{
	char group[32] = "";

	switch (EVP_PKEY_get_base_id(k)) {
	case EVP_PKEY_RSA:
		*ret = RS256;
		return EVP_PKEY_get_bits(k) >= RSA_MIN && EVP_PKEY_get_bits(k) <= RSA_MAX;
	case EVP_PKEY_ED25519:
		*ret = EDDSA;
		return true;
	case EVP_PKEY_EC:
		*ret = ES256;
		return EVP_PKEY_get_group_name(k, group, sizeof(group), NULL) == 1 &&
		       strcmp(group, "prime256v1") == 0;
	default:
		return false;
	}
}

static int add_pem(struct jwks *s, const uint8_t *der, long n, char why[160])
{
	EVP_PKEY *k = d2i_PUBKEY(NULL, &der, n);
	enum alg alg;

	if (k && s->n < JWKS_MAX && alg_of_pkey(k, &alg)) {
		s->keys[s->n++] = (struct key){ .alg = alg, .pkey = k };
		return 0;
	}
	if (k)
		(void)snprintf(why, 160,
			       "has a key that is not RSA of %d bits or more, P-256 or "
			       "Ed25519, or more than %d",
			       RSA_MIN, JWKS_MAX);
	else
		(void)snprintf(why, 160, "has a PUBLIC KEY that is none");
	EVP_PKEY_free(k);
	return -EINVAL;
}

/* What else is in the file is passed over. */
static int read_pem(struct jwks *s, const char *text, size_t len, char why[160])
{
	BIO *in = BIO_new_mem_buf(text, (int)len);
	char *name, *header;
	uint8_t *data;
	long n;
	int err = in ? 0 : -ENOMEM;

	while (!err && PEM_read_bio(in, &name, &header, &data, &n)) {
		if (strcmp(name, PEM_STRING_PUBLIC) == 0)
			err = add_pem(s, data, n, why);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(data);
	}
	if (!err && !loading_is_end()) {
		(void)snprintf(why, 160, "is PEM that is broken");
		err = -EINVAL;
	}
	BIO_free(in);
	return err;
}

static struct jwks *make(void)
{
	struct jwks *s = calloc(1, sizeof(*s));

	if (s && !right_before && !(right_before = kept_new())) {
		free(s);
		return NULL;
	}
	if (s)
		s->generation = loading_generation();
	return s;
}

int jwks_read(const char *text, size_t len, struct jwks **ret, char why[160])
{
	struct jwks *s = make();
	int err = s ? 0 : -ENOMEM;

	if (!err)
		err = text[strspn(text, " \t\r\n")] == '{' ? read_json(s, text, len, why)
							   : read_pem(s, text, len, why);
	if (!err && !s->n) {
		(void)snprintf(
			why, 160,
			"has no key for RS256, ES256, EdDSA or HS256, neither as a "
			"set of RFC 7517 nor as PUBLIC KEY in PEM");
		err = -EINVAL;
	}
	ERR_clear_error();
	if (err)
		jwks_free(s);
	else
		*ret = s;
	return err;
}

void jwks_free(struct jwks *s)
{
	for (unsigned i = 0; s && i < s->n; i++) {
		free(s->keys[i].kid);
		EVP_PKEY_free(s->keys[i].pkey);
		if (s->keys[i].secret)
			explicit_bzero(s->keys[i].secret, s->keys[i].secret_n);
		free(s->keys[i].secret);
	}
	free(s);
}

/* --- signatures --- */

static bool is_mac(const struct key *k, const void *data, size_t n, const uint8_t *sig,
		   size_t sig_n)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned mac_n;

	return sig_n == 32 &&
	       HMAC(EVP_sha256(), k->secret, (int)k->secret_n, data, n, mac, &mac_n) &&
	       mac_n == 32 && CRYPTO_memcmp(mac, sig, 32) == 0;
}

/* r and s of 32 bytes each (RFC 7518 3.4) as OpenSSL wants them. */
static int to_der(const uint8_t *sig, size_t sig_n, uint8_t **ret)
{
	ECDSA_SIG *e = sig_n == 64 ? ECDSA_SIG_new() : NULL;
	BIGNUM *r = e ? BN_bin2bn(sig, 32, NULL) : NULL;
	BIGNUM *s = e ? BN_bin2bn(sig + 32, 32, NULL) : NULL;
	int n = -1;

	*ret = NULL;
	if (r && s && ECDSA_SIG_set0(e, r, s) == 1) {
		n = i2d_ECDSA_SIG(e, ret);
	} else {
		BN_free(r);
		BN_free(s);
	}
	ECDSA_SIG_free(e);
	return n;
}

static bool is_signature(const struct key *k, const void *data, size_t n,
			 const uint8_t *sig, size_t sig_n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool right;

	right = ctx &&
		EVP_DigestVerifyInit(ctx, NULL, k->alg == EDDSA ? NULL : EVP_sha256(),
				     NULL, k->pkey) == 1 &&
		EVP_DigestVerify(ctx, sig, sig_n, data, n) == 1;
	EVP_MD_CTX_free(ctx);
	return right;
}

static bool is_right(const struct key *k, const void *data, size_t n, const uint8_t *sig,
		     size_t sig_n)
{
	uint8_t *der = NULL;
	bool right;
	int der_n;

	if (k->alg == HS256)
		return is_mac(k, data, n, sig, sig_n);
	if (k->alg != ES256)
		return is_signature(k, data, n, sig, sig_n);
	der_n = to_der(sig, sig_n, &der);
	right = der_n > 0 && is_signature(k, data, n, der, (size_t)der_n);
	OPENSSL_free(der);
	return right;
}

static bool verify(const struct jwks *s, const char *alg, const char *kid,
		   const void *data, size_t n, const uint8_t *signature,
		   size_t signature_n)
{
	unsigned tries = 0;
	bool right = false;

	for (unsigned i = 0; i < s->n && !right && tries < TRIES_MAX; i++) {
		const struct key *k = &s->keys[i];

		if (strcmp(alg_names[k->alg], alg) == 0 &&
		    (!kid[0] || !k->kid || strcmp(k->kid, kid) == 0) && ++tries)
			right = is_right(k, data, n, signature, signature_n);
	}
	ERR_clear_error();
	return right;
}

bool jwks_verify(const struct jwks *s, const char *alg, const char *kid, const void *data,
		 size_t n, const uint8_t *signature, size_t signature_n)
{
	const struct kept_part all[] = { { &s->generation, sizeof(s->generation) },
					 { alg, strlen(alg) },
					 { kid, strlen(kid) },
					 { data, n },
					 { signature, signature_n } };
	struct kept_mark mark = kept_mark(right_before, all, ARRAY_SIZE(all));

	if (kept_has(right_before, mark))
		return true;
	if (!verify(s, alg, kid, data, n, signature, signature_n))
		return false;
	kept_add(right_before, mark);
	return true;
}
