/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "base/log.h"
#include "base/util.h"
#include "tls/context.h"
#include "tls/staple.h"
#include "tls/tickets.h"

#define BUCKETS 256

/* Forward secrecy and authenticated encryption only (RFC 9325 4.2). */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

/* How long a session may be resumed, whatever becomes of the keys (RFC 8446 4.6.1). */
#define SESSION_S 7200

struct entry {
	struct entry *next;
	struct context_key key;
	SSL_CTX *ctx;
};

/* Towards backends. */
struct client {
	struct client *next;
	uint64_t generation; /* of trust */
	SSL_CTX *ctx;
};

struct known {
	struct known *next;
	uint64_t generation; /* of trust: a backend's memory may be another's by now */
	const struct backend *backend;
	char *name; /* that it was asked for */
	SSL_SESSION *session;
};

struct tls_worker {
	OSSL_LIB_CTX *lib;
	EVP_CIPHER *cipher; /* of tickets; fetched once */
	struct entry *buckets[BUCKETS];
	struct client *clients;
	struct known *known[BUCKETS];
	struct gather gather;
};

struct gather *context_gather(struct worker *w)
{
	return &w->tls->gather;
}

int context_open(struct worker *w)
{
	struct tls_worker *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	w->tls = t;
	t->lib = OSSL_LIB_CTX_new();
	t->cipher = t->lib ? EVP_CIPHER_fetch(t->lib, "AES-256-CBC", NULL) : NULL;
	return t->cipher ? 0 : -ENOMEM;
}

static void forget_clients(struct tls_worker *t)
{
	struct client *c;

	while ((c = t->clients)) {
		t->clients = c->next;
		SSL_CTX_free(c->ctx);
		free(c);
	}
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct known *k;

		while ((k = t->known[i])) {
			t->known[i] = k->next;
			SSL_SESSION_free(k->session);
			free(k->name);
			free(k);
		}
	}
}

void context_forget(struct worker *w)
{
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct entry *e;

		while ((e = w->tls->buckets[i])) {
			w->tls->buckets[i] = e->next;
			SSL_CTX_free(e->ctx); /* connections have their own reference */
			free(e);
		}
	}
	forget_clients(w->tls);
}

void context_close(struct worker *w)
{
	if (!w->tls)
		return;
	context_forget(w);
	EVP_CIPHER_free(w->tls->cipher);
	OSSL_LIB_CTX_free(w->tls->lib);
	free(w->tls);
	w->tls = NULL;
}

/* --- tickets --- */

static int set_ticket_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac,
						  sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params);
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 fine, 2 fine and renew, 0 no such key. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
		     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int enc)
{
	struct tls_worker *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct ticket_key key;
	bool old = false;
	int ok;

	if (enc) {
		if (tickets_current(&key) < 0 || RAND_bytes(iv, 16) != 1)
			return -1;
		memcpy(name, key.name, sizeof(key.name));
		ok = EVP_EncryptInit_ex2(cipher, t->cipher, key.cipher, iv, NULL);
	} else {
		if (!tickets_find(name, &key, &old))
			return 0;
		ok = EVP_DecryptInit_ex2(cipher, t->cipher, key.cipher, iv, NULL);
	}
	if (!ok || !set_ticket_mac(mac, &key))
		ok = -1;
	OPENSSL_cleanse(&key, sizeof(key));
	if (ok < 0)
		return -1;
	/* a ticket of 1.3 is used once (RFC 8446 C.4), so another is given */
	return old || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
}

/* --- a context --- */

/* OpenSSL's word, if it was OpenSSL. */
static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	return text ? text : "no memory";
}

static int add_cert(struct tls_worker *t, SSL_CTX *ctx, const struct cert *c)
{
	BIO *chain = BIO_new_mem_buf(c->chain, -1), *bio = BIO_new_mem_buf(c->key, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, (void *)"",
							 t->lib, NULL)
			    : NULL;
	bool first = true;
	int ok = key != NULL;

	while (ok && chain) {
		X509 *x = X509_new_ex(t->lib, NULL);

		if (!x || !PEM_read_bio_X509(chain, &x, NULL, NULL)) {
			X509_free(x);
			break; /* its end; certs.c has read it before */
		}
		ok = first ? SSL_CTX_use_certificate(ctx, x)
			   : SSL_CTX_add1_chain_cert(ctx, x);
		X509_free(x);
		first = false;
	}
	if (ok && !first)
		ok = SSL_CTX_use_PrivateKey(ctx, key);
	BIO_free(chain);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return ok && !first ? 0 : -EINVAL;
}

static void set_defaults(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_read_ahead(ctx, 1);
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	(void)SSL_CTX_set_cipher_list(ctx, CIPHERS);
	(void)SSL_CTX_set1_groups_list(ctx, certs_groups());
	/* tickets only: nothing is kept of a connection that is over */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(ctx, 1);
	(void)SSL_CTX_set_timeout(ctx, SESSION_S);
	(void)SSL_CTX_set_max_early_data(ctx, 0); /* it may be replayed (RFC 8446 8) */
	(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	ERR_clear_error();
}

/* Whoever is in the file vouches, though it be no root (RFC 5280 6.1.1 d). */
static int add_ca(struct tls_worker *t, SSL_CTX *ctx, const char *pem, bool names)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *bio = BIO_new_mem_buf(pem, -1);
	int ok = bio && X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1;

	while (bio && ok) {
		X509 *x = X509_new_ex(t->lib, NULL);

		if (!x || !PEM_read_bio_X509(bio, &x, NULL, NULL)) {
			X509_free(x);
			break;
		}
		ok = X509_STORE_add_cert(store, x) &&
		     (!names || SSL_CTX_add_client_CA(ctx, x));
		X509_free(x);
	}
	BIO_free(bio);
	ERR_clear_error();
	return ok ? 0 : -EINVAL;
}

static uint64_t hash_of(const char *text)
{
	return text ? util_hash(text, strlen(text)) : 0;
}

/*
 * A ticket is for where it was given, and whom they trusted there: by their names, as all
 * of a fleet call them.
 */
static int set_place(SSL_CTX *ctx, const struct context_key *key)
{
	const struct route *r = key->route;
	const struct {
		uint64_t ca, crl, depth, must;
	} trust = {
		.ca = r->clients ? hash_of(r->clients->ca) : 0,
		.crl = r->clients ? hash_of(r->clients->crl) : 0,
		.depth = r->clients ? r->clients->depth : 0,
		.must = !r->clients			   ? 0
			: r->client_certificates->optional ? 1
							   : 2,
	};
	const uint64_t place[] = { hash_of(key->listener), hash_of(r->name),
				   util_hash(&trust, sizeof(trust)) };

	return SSL_CTX_set_session_id_context(ctx, (const unsigned char *)place,
					      sizeof(place))
		       ? 0
		       : -EINVAL;
}

static int set_route(SSL_CTX *ctx, const struct route *r)
{
	if (r->min_tls == 13 && !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION))
		return -EINVAL;
	if (r->ciphers && !SSL_CTX_set_cipher_list(ctx, r->ciphers))
		return -EINVAL;
	return r->groups && !SSL_CTX_set1_groups_list(ctx, r->groups) ? -EINVAL : 0;
}

/* Each issuer of a chain has a list, or its client is not trusted (RFC 5280 6.3). */
static int add_crl(struct tls_worker *t, SSL_CTX *ctx, const char *pem)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *bio = BIO_new_mem_buf(pem, -1);
	int ok = bio && X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK |
							    X509_V_FLAG_CRL_CHECK_ALL);

	while (bio && ok) {
		X509_CRL *x = X509_CRL_new_ex(t->lib, NULL);

		if (!x || !PEM_read_bio_X509_CRL(bio, &x, NULL, NULL)) {
			X509_CRL_free(x);
			break;
		}
		ok = X509_STORE_add_crl(store, x);
		X509_CRL_free(x);
	}
	BIO_free(bio);
	ERR_clear_error();
	return ok ? 0 : -EINVAL;
}

/*
 * SSL_CTX_set_verify(3).  Who is in `ca` is trusted whoever has made them, so nobody
 * else's list is asked about them.
 */
static int on_verify(int ok, X509_STORE_CTX *ctx)
{
	int err = X509_STORE_CTX_get_error(ctx);
	bool is_crl = err == X509_V_ERR_UNABLE_TO_GET_CRL ||
		      err == X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER ||
		      err == X509_V_ERR_CRL_SIGNATURE_FAILURE;

	if (ok || !is_crl ||
	    X509_STORE_CTX_get_error_depth(ctx) < X509_STORE_CTX_get_num_untrusted(ctx))
		return ok;
	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	return 1;
}

/* The names of ca are sent, and a client chooses by them what to show (RFC 8446 4.2.4).
 */
static int ask_clients(struct tls_worker *t, SSL_CTX *ctx, const struct route *r)
{
	int must = SSL_VERIFY_PEER;

	if (!r->clients)
		return 0;
	if (!r->client_certificates->optional)
		must |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, must, r->clients->crl ? on_verify : NULL);
	SSL_CTX_set_verify_depth(ctx, (int)r->clients->depth);
	if (r->clients->crl && add_crl(t, ctx, r->clients->crl) < 0)
		return -EINVAL;
	return add_ca(t, ctx, r->clients->ca, true);
}

static int set_up(struct tls_worker *t, SSL_CTX *ctx, const struct context_key *key)
{
	int err = key->pair.rsa ? add_cert(t, ctx, key->pair.rsa) : 0;

	if (!err && key->pair.other)
		err = add_cert(t, ctx, key->pair.other);
	if (!err)
		err = staple_set(ctx, &key->pair);
	if (!err)
		err = set_place(ctx, key);
	if (!err)
		err = set_route(ctx, key->route);
	return err ? err : ask_clients(t, ctx, key->route);
}

static SSL_CTX *make(struct tls_worker *t, const struct context_key *key,
		     context_choose_fn choose)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(t->lib, NULL, TLS_server_method());

	if (ctx) {
		set_defaults(ctx);
		SSL_CTX_set_app_data(ctx, t);
		SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
		if (set_up(t, ctx, key) == 0)
			return ctx;
	}
	log_limited(LOG_ERROR, "route '%s', %s: cannot be served: %s", key->route->name,
		    key->pair.rsa ? key->pair.rsa->file : key->pair.other->file,
		    reason());
	ERR_clear_error();
	SSL_CTX_free(ctx);
	return NULL;
}

static bool is_same(const struct context_key *a, const struct context_key *b)
{
	return a->generation == b->generation && a->pair.rsa == b->pair.rsa &&
	       a->pair.other == b->pair.other && a->route == b->route;
}

struct ssl_ctx_st *context_get(struct worker *w, const struct context_key *key,
			       context_choose_fn choose)
{
	struct tls_worker *t = w->tls;
	const void *const parts[] = { key->pair.rsa, key->pair.other, key->route };
	struct entry **head = &t->buckets[util_hash(parts, sizeof(parts)) % BUCKETS], *e;

	for (e = *head; e; e = e->next) {
		if (is_same(&e->key, key))
			return e->ctx;
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	*e = (struct entry){ .next = *head, .key = *key, .ctx = make(t, key, choose) };
	if (!e->ctx) {
		free(e);
		return NULL;
	}
	*head = e;
	return e->ctx;
}

/* --- towards backends --- */

static SSL_CTX *make_client(struct tls_worker *t, const struct trust *trust,
			    context_session_fn made)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(t->lib, NULL, TLS_client_method());
	int err = ctx ? 0 : -ENOMEM;

	if (!err) {
		set_defaults(ctx);
		/* sessions are kept here, one a backend */
		(void)SSL_CTX_set_session_cache_mode(
			ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_set_verify(
			ctx, trust->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
		SSL_CTX_sess_set_new_cb(ctx, made);
		if (trust->ca)
			err = add_ca(t, ctx, trust->ca, false);
		else if (!SSL_CTX_set_default_verify_paths(ctx))
			err = -EINVAL;
	}
	if (!err && trust->has_own)
		err = add_cert(t, ctx, &trust->own);
	if (!err)
		return ctx;
	log_limited(LOG_ERROR, "TLS to backends cannot be made: %s", reason());
	ERR_clear_error();
	SSL_CTX_free(ctx);
	return NULL;
}

struct ssl_ctx_st *context_to(struct worker *w, const struct trust *trust,
			      context_session_fn made)
{
	struct tls_worker *t = w->tls;
	struct client *c = t->clients;

	while (c && c->generation != trust->generation)
		c = c->next;
	if (c)
		return c->ctx;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	*c = (struct client){ .next = t->clients,
			      .generation = trust->generation,
			      .ctx = make_client(t, trust, made) };
	if (!c->ctx) {
		free(c);
		return NULL;
	}
	t->clients = c;
	return c->ctx;
}

static struct known **known_of(struct tls_worker *t, const struct trust *trust,
			       const struct backend *b)
{
	struct known **k = &t->known[util_hash(&b, sizeof(b)) % BUCKETS];

	while (*k && ((*k)->backend != b || (*k)->generation != trust->generation))
		k = &(*k)->next;
	return k;
}

struct ssl_session_st *context_session(struct worker *w, const struct trust *trust,
				       const struct backend *b, const char *name)
{
	struct known *k = *known_of(w->tls, trust, b);
	SSL_SESSION *s = k ? k->session : NULL;

	if (!s || strcmp(k->name, name) != 0)
		return NULL;
	/* a ticket of 1.3 is used once: the backend gives another */
	if (SSL_SESSION_get_protocol_version(s) == TLS1_3_VERSION)
		k->session = NULL;
	else if (!SSL_SESSION_up_ref(s))
		return NULL;
	return s;
}

/* Without memory nothing is resumed. */
static void know(struct known *k, const char *name, SSL_SESSION *session)
{
	char *copy = strdup(name);

	SSL_SESSION_free(k->session);
	k->session = copy && SSL_SESSION_up_ref(session) ? session : NULL;
	free(k->name);
	k->name = copy;
}

void context_keep(struct worker *w, const struct trust *trust, const struct backend *b,
		  const char *name, struct ssl_session_st *session)
{
	struct known **k = known_of(w->tls, trust, b);

	if (!*k) {
		*k = calloc(1, sizeof(**k));
		if (!*k)
			return;
		(*k)->generation = trust->generation;
		(*k)->backend = b;
	}
	know(*k, name, session);
}
