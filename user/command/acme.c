/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "command/acme.h"
#include "command/ask.h"
#include "config/config.h"
#include "tls/challenge.h"

#define AT	    "TOLLGATE_ACME_AT" /* where the gate listens, for the hook */
#define WAIT_NS	    30000000000ull
#define RUN_NS	    (15 * 60 * 1000000000ull)
#define RUN_NAME_NS (30 * 1000000000ull)
#define ARGS	    (2 * CONFIG_ACME_NAMES + 8)

/* --- what dehydrated reads; check_certificates.c has seen to what is written there ---
 */

/* Nobody but us may put something there, or that in its place: root runs what is in it.
 */
static int is_ours(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) ||
	    (st.st_mode & 022 && !(st.st_mode & S_ISVTX))) {
		log_error("%s: is no directory that root alone can change", path);
		return -EPERM;
	}
	return 0;
}

/* A directory and those above it; others may not look into the last. */
static int make_dir(const char *path)
{
	char part[PATH_MAX];
	int err;

	for (const char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		(void)snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
		err = is_ours(part);
		if (err)
			return err;
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	err = is_ours(path);
	return err ? err : chmod(path, 0700) < 0 ? -errno : 0;
}

/* In the place of what was there, whole. */
static int put_file(const char *path, mode_t mode, const char *text)
{
	char fresh[PATH_MAX];
	size_t len = strlen(text);
	int fd, err = 0;

	(void)snprintf(fresh, sizeof(fresh), "%s.new", path);
	(void)unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len)
		err = -EIO;
	if (close(fd) < 0 && !err)
		err = -errno;
	return err ? err : rename(fresh, path) < 0 ? -errno : 0;
}

static int put_hook(const char *path)
{
	char program[PATH_MAX], text[PATH_MAX + 128];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n < 0)
		return -errno;
	program[n] = '\0';
	if (strchr(program, '\''))
		return -EINVAL;
	(void)snprintf(
		text, sizeof(text),
		"#!/bin/sh\n# made by tollgate acme\nexec '%s' acme hook -- \"$@\"\n",
		program);
	return put_file(path, 0700, text);
}

/* Challenges that a run before left there are of nobody. */
static int forget(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	}
	(void)closedir(d);
	return 0;
}

/* One at a time; it goes with us, however we end.  A descriptor, or a negative errno. */
static int lock(const char *state)
{
	char path[PATH_MAX];
	int fd, err = make_dir(state);

	if (err)
		return err;
	(void)snprintf(path, sizeof(path), "%s/tollgate.lock", state);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX) < 0) {
		if (errno == EINTR)
			continue;
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int prepare(const struct acme *a, const char *state, char config[PATH_MAX])
{
	char hook[PATH_MAX], challenges[PATH_MAX], text[4 * PATH_MAX];
	const char *ca = a ? a->ca : NULL;
	int err;

	(void)snprintf(config, PATH_MAX, "%s/dehydrated.conf", state);
	(void)snprintf(hook, sizeof(hook), "%s/hook", state);
	(void)snprintf(challenges, sizeof(challenges), "%s/challenges", state);
	(void)snprintf(text, sizeof(text),
		       "# made by tollgate acme\n"
		       "CA='%s'\nCHALLENGETYPE=tls-alpn-01\nKEY_ALGO=prime256v1\n"
		       "CERTDIR='%s/certs'\nALPNCERTDIR='%s'\nHOOK='%s'\n"
		       "CONTACT_EMAIL='%s'\n"
		       "CURL_OPTS='--connect-timeout 30 --max-time 120 %s%s'\n",
		       a && a->server ? a->server : CONFIG_ACME_SERVER, state, challenges,
		       hook, a && a->contact ? a->contact : "", ca ? "--cacert " : "",
		       ca ? ca : "");
	err = make_dir(challenges);
	if (!err)
		err = forget(challenges);
	if (!err)
		err = put_hook(hook);
	return err ? err : put_file(config, 0600, text);
}

/* --- running it --- */

static void become_dehydrated(char **argv)
{
	(void)setpgid(0, 0); /* with all that it starts */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)execvp(argv[0], argv);
	if (errno == ENOENT)
		log_error("dehydrated is not installed: apt-get install dehydrated");
	else
		(void)log_errno(-errno, "cannot start dehydrated");
	_exit(127);
}

/* It has no bound of its own. */
static int run(char **argv, unsigned names)
{
	const struct timespec moment = { .tv_nsec = 100000000 };
	uint64_t until = util_now_ns() + RUN_NS + names * RUN_NAME_NS;
	pid_t pid = fork(), ended;
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0)
		become_dehydrated(argv);
	while ((ended = waitpid(pid, &status, WNOHANG)) == 0 ||
	       (ended < 0 && errno == EINTR)) {
		if (util_now_ns() > until) {
			log_error("dehydrated took too long: it is ended");
			(void)kill(-pid, SIGKILL);
			until = UINT64_MAX;
		}
		(void)nanosleep(&moment, NULL);
	}
	return ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* Where its own challenges are looked at: any address of it is fine. */
static void say_where(const struct listener *l)
{
	struct addr at = l->addr;
	char text[ADDR_STR_MAX];

	if (addr_is_any(at.ip) && addr_is_v4(at.ip))
		(void)addr_parse("127.0.0.1:1", &at);
	else if (addr_is_any(at.ip))
		(void)addr_parse("[::1]:1", &at);
	at.port = l->addr.port;
	addr_format(&at, text);
	(void)setenv(AT, text, 1);
}

static int ask_for(const struct listener *l, const struct certificate *c, char *config)
{
	static char program[] = "dehydrated", cron[] = "--cron",
		    terms[] = "--accept-terms", file[] = "--config",
		    domain[] = "--domain";
	char *argv[ARGS] = { program, cron, terms, file, config };
	unsigned n = 5;
	int err;

	if (l->path) {
		log_error("listener '%s': a Unix socket is asked no challenge", l->name);
		return -EINVAL;
	}
	for (unsigned i = 0; i < c->acme_count; i++) {
		argv[n++] = domain;
		argv[n++] = c->acme[i];
	}
	say_where(l);
	log_info("listener '%s': looking after the certificate of %s", l->name,
		 c->acme[0]);
	err = run(argv, c->acme_count);
	if (err) /* a server may refuse a nonce (RFC 8555 6.5), and dehydrated gives up */
		err = run(argv, c->acme_count);
	if (err)
		log_error("listener '%s': no certificate of %s could be had", l->name,
			  c->acme[0]);
	return err;
}

/* Others are asked for though one could not be had. */
static int ask_for_all(const struct config *c, char *config)
{
	int err = 0;

	for (unsigned i = 0; i < c->listeners_count; i++) {
		const struct listener *l = &c->listeners[i];

		for (unsigned k = 0; k < l->certificates_count; k++) {
			int failed = l->certificates[k].acme
					     ? ask_for(l, &l->certificates[k], config)
					     : 0;

			err = failed ? failed : err;
		}
	}
	return err;
}

/* Of one that is kept in a store: what is in force there, in place of the file. */
static int load_kept(const char *pins, struct config **c)
{
	const struct ask a = { .method = "GET", .path = "/v1/config" };
	char why[CONFIG_ERROR_MAX], *text;
	struct config *kept;
	size_t n;
	int err = ask_text(pins, &a, &text, &n);

	if (err)
		return err;
	err = config_parse("in force", text, n, &kept, why);
	free(text);
	if (err) {
		log_error("%s", why);
		return err;
	}
	config_put(*c);
	*c = kept;
	return 0;
}

static int load(const char *pins, const char *path, struct config **ret)
{
	char why[CONFIG_ERROR_MAX];
	int err = config_load(path, ret, why);

	if (err) {
		log_error("%s", why);
		return err;
	}
	if ((*ret)->state == STATE_DATABASE)
		err = load_kept(pins, ret);
	if (err)
		config_put(*ret);
	return err;
}

static const char *state_of(const struct config *c)
{
	return c->acme && c->acme->state ? c->acme->state : CONFIG_ACME_STATE;
}

int acme_run(const char *pins, const char *config_path)
{
	char config[PATH_MAX];
	struct config *c;
	int err = load(pins, config_path, &c), fd;

	if (err)
		return err;
	fd = lock(state_of(c));
	if (fd < 0) {
		err = log_errno(fd, "cannot take %s", state_of(c));
		config_put(c);
		return err;
	}
	config_put(c); /* it may have changed while another ran */
	err = load(pins, config_path, &c);
	if (!err) {
		err = prepare(c->acme, state_of(c), config);
		err = err ? log_errno(err, "cannot write below %s", state_of(c))
			  : ask_for_all(c, config);
		config_put(c);
	}
	close(fd);
	return err;
}

/* --- the hook --- */

int acme_hook(char **args, int n)
{
	const struct timespec moment = { .tv_nsec = 100000000 };
	const char *where = getenv(AT);
	uint64_t until = util_now_ns() + WAIT_NS;
	struct addr at;

	if (n < 4 || strcmp(args[0], "deploy_challenge") != 0)
		return 0; /* all others are told for nothing */
	if (!where || addr_parse(where, &at) < 0) {
		log_error("acme hook: is called by 'tollgate acme' only");
		return -EINVAL;
	}
	while (!challenge_is_answered(&at, args[1], args[3])) {
		if (util_now_ns() > until) {
			log_error("the gate at %s does not answer the challenge of %s: "
				  "does it run, with this configuration, and serve "
				  "clients of this host without a PROXY header?",
				  where, args[1]);
			return -ETIMEDOUT;
		}
		(void)nanosleep(&moment, NULL);
	}
	return 0;
}
