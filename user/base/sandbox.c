/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up privilege; the only file that includes libcap. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"

/* Of `keep` only what this process has: which of them it needs, the operation tells. */
static int caps_set(const cap_value_t *keep, int n)
{
	cap_t caps = cap_init(), now = cap_get_proc();
	int err = caps && now ? 0 : -ENOMEM;
	cap_flag_value_t has;

	for (int i = 0; !err && i < n; i++) {
		if (cap_get_flag(now, keep[i], CAP_PERMITTED, &has) < 0 ||
		    (has == CAP_SET &&
		     cap_set_flag(caps, CAP_PERMITTED, 1, &keep[i], CAP_SET) < 0))
			err = -errno;
	}
	if (!err && cap_set_proc(caps) < 0)
		err = -errno;
	cap_free(caps);
	cap_free(now);
	return err;
}

int sandbox_enter(const char *user, const cap_value_t *keep, int n)
{
	const struct rlimit none = { 0, 0 };
	const struct passwd *pw;
	int err;

	if (geteuid() == 0) {
		pw = getpwnam(user);
		if (!pw) {
			log_error(
				"user '%s' does not exist; name another with 'user:' in "
				"the configuration",
				user);
			return -ENOENT;
		}
		if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setgroups(0, NULL) < 0 ||
		    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
		    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
			return log_errno(-errno, "cannot become user '%s'", user);
	}
	err = caps_set(keep, n);
	if (err < 0)
		return log_errno(err, "cannot drop capabilities");
	/* keys are in memory: no core, nor a debugger of the user's */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return log_errno(-errno, "cannot switch core dumps off");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return log_errno(-errno, "cannot set no_new_privs");
	return 0;
}

int sandbox_drop(void)
{
	return caps_set(NULL, 0);
}

static int cap_flip(cap_value_t cap, cap_flag_value_t value)
{
	cap_t caps = cap_get_proc();
	int err = 0;

	if (!caps)
		return -errno;
	if (cap_set_flag(caps, CAP_EFFECTIVE, 1, &cap, value) < 0 ||
	    cap_set_proc(caps) < 0)
		err = -errno;
	cap_free(caps);
	return err;
}

int sandbox_raise(cap_value_t cap)
{
	return cap_flip(cap, CAP_SET);
}

int sandbox_lower(cap_value_t cap)
{
	return cap_flip(cap, CAP_CLEAR);
}

const char *sandbox_missing(const cap_value_t *need, const char *const *names, int n)
{
	const char *missing = NULL;
	cap_flag_value_t has;
	cap_t caps;

	caps = cap_get_proc();
	if (!caps)
		return names[0];
	for (int i = 0; i < n && !missing; i++) {
		if (cap_get_flag(caps, need[i], CAP_EFFECTIVE, &has) < 0 ||
		    has != CAP_SET)
			missing = names[i];
	}
	cap_free(caps);
	return missing;
}
