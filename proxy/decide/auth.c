/* SPDX-License-Identifier: Apache-2.0 */
#include <crypt.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/kept.h"
#include "base/util.h"
#include "config/passwords.h"
#include "decide/auth.h"

#define BYTES_MAX   512 /* of name and password */
#define THREADS_MAX 4
#define NICE	    10

struct auth_check {
	struct worker_post post; /* first: this is what it is to the worker */
	struct auth_check *next;
	struct worker *worker;
	struct auth *auth;
	void (*done)(void *arg, bool right);
	void *arg; /* NULL: forgotten; atomic, for the threads look, too */
	struct kept_mark mark;
	bool known; /* there is such a name */
	bool right;
	char hash[PASSWORD_HASH_MAX + 1];
	char password[BYTES_MAX + 1];
};

struct auth {
	struct proxy *proxy;
	struct kept *kept; /* what was right */
	cpu_set_t cpus; /* all of ours: a worker, who makes the threads, stays on one */
	pthread_t threads[THREADS_MAX];
	unsigned threads_n;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	bool stop;
	struct auth_check *queue, **tail;
	unsigned queued;
	struct auth_check *left; /* that no worker takes any more */
};

/* Of the file, and of name and password. */
static struct kept_mark mark_of(const struct auth *a, const struct passwords *p,
				const char *text, size_t n)
{
	const struct kept_part parts[] = { { &p->mark, sizeof(p->mark) }, { text, n } };

	return kept_mark(a->kept, parts, ARRAY_SIZE(parts));
}

/* --- the threads --- */

static bool same(const char *a, const char *b)
{
	size_t n = strlen(a);
	unsigned char diff = 0;

	if (n != strlen(b))
		return false;
	for (size_t i = 0; i < n; i++)
		diff |= (unsigned char)(a[i] ^ b[i]);
	return diff == 0;
}

static void compute(struct auth_check *c, struct crypt_data *data)
{
	const char *out = NULL;

	if (__atomic_load_n(&c->arg, __ATOMIC_RELAXED)) /* somebody waits for it */
		out = crypt_rn(c->password, c->hash, data, sizeof(*data));
	c->right = out && out[0] != '*' && same(out, c->hash) && c->known;
	explicit_bzero(c->password, sizeof(c->password));
}

static struct auth_check *take(struct auth *a)
{
	struct auth_check *c = a->queue;

	a->queue = c->next;
	if (!a->queue)
		a->tail = &a->queue;
	a->queued--;
	return c;
}

/* No worker has it: away with it at the end, when nobody can know it any more. */
static void leave(struct auth *a, struct auth_check *c)
{
	c->next = a->left;
	a->left = c;
}

static void *run(void *arg)
{
	struct auth *a = arg;
	struct crypt_data *data = calloc(1, sizeof(*data));

	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(a->cpus), &a->cpus);
	pthread_mutex_lock(&a->lock);
	while (!a->stop && data) {
		struct auth_check *c;

		if (!a->queue) {
			pthread_cond_wait(&a->wake, &a->lock);
			continue;
		}
		c = take(a);
		pthread_mutex_unlock(&a->lock);
		compute(c, data);
		pthread_mutex_lock(&a->lock);
		if (c->right)
			kept_add(a->kept, c->mark);
		if (!worker_post(c->worker, &c->post))
			leave(a, c);
	}
	pthread_mutex_unlock(&a->lock);
	free(data);
	return NULL;
}

static void on_post(struct worker *w, struct worker_post *post)
{
	struct auth_check *c = (struct auth_check *)post;

	(void)w;
	if (c->arg)
		c->done(c->arg, c->right);
	free(c);
}

static void on_drop(struct worker_post *post)
{
	struct auth_check *c = (struct auth_check *)post;

	pthread_mutex_lock(&c->auth->lock);
	leave(c->auth, c);
	pthread_mutex_unlock(&c->auth->lock);
}

/* Half as many as there are workers; under the lock. */
static bool begin(struct auth *a)
{
	unsigned n = (a->proxy->workers_n + 1) / 2;

	n = n < THREADS_MAX ? n : THREADS_MAX;
	while (a->threads_n < n &&
	       pthread_create(&a->threads[a->threads_n], NULL, run, a) == 0)
		a->threads_n++;
	return a->threads_n > 0;
}

struct auth *auth_new(struct proxy *p)
{
	struct auth *a = calloc(1, sizeof(*a));

	if (!a || !(a->kept = kept_new())) {
		free(a);
		return NULL;
	}
	(void)sched_getaffinity(0, sizeof(a->cpus), &a->cpus);
	a->proxy = p;
	a->tail = &a->queue;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->wake, NULL);
	return a;
}

void auth_stop(struct auth *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_broadcast(&a->wake);
	pthread_mutex_unlock(&a->lock);
	for (unsigned i = 0; i < a->threads_n; i++)
		pthread_join(a->threads[i], NULL);
	while (a->queue)
		leave(a, take(a));
}

void auth_free(struct auth *a)
{
	while (a && a->left) {
		struct auth_check *c = a->left;

		a->left = c->next;
		explicit_bzero(c, sizeof(*c));
		free(c);
	}
	if (a)
		kept_free(a->kept);
	free(a);
}

/* --- who asks --- */

/* "NAME:PASSWORD", terminated; its length, or 0. */
static size_t read_credentials(const struct http_head *h, char ret[BYTES_MAX + 1])
{
	struct text t = http_credentials(h, TEXT("basic"));
	ssize_t n = base64_decode(t.p, t.n, BASE64, (uint8_t *)ret, BYTES_MAX);

	if (n <= 0)
		return 0;
	ret[n] = '\0';
	return (size_t)n;
}

/* Into the queue.  False if it is full. */
static bool put(struct auth *a, struct auth_check *c)
{
	bool can;

	pthread_mutex_lock(&a->lock);
	can = a->queued < AUTH_QUEUE_MAX && (a->threads_n || begin(a));
	if (can) {
		*a->tail = c;
		a->tail = &c->next;
		a->queued++;
		pthread_cond_signal(&a->wake);
	}
	pthread_mutex_unlock(&a->lock);
	return can;
}

/* Of a name that nobody has it takes the time of one that somebody has. */
static struct auth_check *make(struct auth *a, struct worker *w,
			       const struct passwords *p, const struct password *who,
			       const char *password)
{
	struct text hash = who ? who->hash : p->all[0].hash;
	struct auth_check *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->post.run = on_post;
	c->post.drop = on_drop;
	c->worker = w;
	c->auth = a;
	c->known = who != NULL;
	memcpy(c->hash, hash.p, hash.n);
	memcpy(c->password, password, strlen(password));
	return c;
}

enum auth_result auth_basic(struct auth *a, struct worker *w,
			    const struct http_basic_auth *b, const struct http_head *h,
			    char name[PASSWORD_NAME_MAX + 1],
			    void (*done)(void *arg, bool right), void *arg,
			    struct auth_check **ret)
{
	enum auth_result result = AUTH_LATER;
	char text[BYTES_MAX + 1];
	size_t n = read_credentials(h, text);
	char *colon = n ? memchr(text, ':', n) : NULL;
	const struct password *who;
	struct auth_check *c;
	struct kept_mark mark;

	if (!n)
		return AUTH_MISSING;
	if (!colon || colon == text || colon - text > PASSWORD_NAME_MAX ||
	    strlen(text) != n)
		return AUTH_WRONG;
	memcpy(name, text, (size_t)(colon - text));
	name[colon - text] = '\0';
	who = passwords_find(b->passwords, text_of(text, (size_t)(colon - text)));
	mark = mark_of(a, b->passwords, text, n);
	if (who && kept_has(a->kept, mark)) {
		explicit_bzero(text, sizeof(text));
		return AUTH_FINE;
	}
	c = make(a, w, b->passwords, who, colon + 1);
	explicit_bzero(text, sizeof(text));
	if (c) {
		c->done = done;
		c->arg = arg;
		c->mark = mark;
	}
	if (!c || !put(a, c)) {
		free(c);
		result = AUTH_BUSY;
	}
	*ret = result == AUTH_LATER ? c : NULL;
	return result;
}

void auth_forget(struct auth_check *c)
{
	__atomic_store_n(&c->arg, NULL, __ATOMIC_RELAXED);
}
