/* SPDX-License-Identifier: Apache-2.0 */
/* Which certificate is for whom, and what is wrong with a file. */
#include <errno.h>
#include <stdbool.h>

#include "config/faults.h"
#include "tests/unit/t.h"
#include "tests/unit/tls/make.h"
#include "tls/certs.h"

static struct config *c;
static char why[CONFIG_ERROR_MAX];

static char yaml[4096];

/* A listener with these, "NAME[=OPTION]" each. */
static void write_yaml(const char *const *names, unsigned n)
{
	size_t at = (size_t)snprintf(yaml, sizeof(yaml),
				     "listeners:\n"
				     "  - name: web\n"
				     "    address: \"127.0.0.1:1\"\n"
				     "    certificates:\n");

	for (unsigned i = 0; i < n; i++) {
		char name[64];
		bool is_default = strchr(names[i], '=') != NULL;

		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(names[i], "="),
			       names[i]);
		at += (size_t)snprintf(yaml + at, sizeof(yaml) - at,
				       "      - { certificate: %s, key: %s%s }\n",
				       make_path(name, "pem"), make_path(name, "key"),
				       is_default ? ", default: true" : "");
	}
	(void)snprintf(
		yaml + at, sizeof(yaml) - at,
		"    routes: [{ name: app, sni: [\"*\"], tls: terminate, backends: "
		"[\"127.0.0.1:2\"] }]\n");
}

static int load(const char *const *names, unsigned n)
{
	write_yaml(names, n);
	if (config_parse("test.yaml", yaml, strlen(yaml), &c, why) < 0) {
		printf("# %s\n", why);
		exit(1);
	}
	return certs_load(c, why);
}

static const char *found(const char *name, bool rsa)
{
	static char file[64];
	const struct cert *cert;
	struct cert_pair pair;

	if (!certs_find(c->listeners[0].certs, name, &pair))
		return "nobody";
	cert = rsa ? pair.rsa : pair.other;
	if (!cert)
		return "none";
	(void)snprintf(file, sizeof(file), "%s", strrchr(cert->file, '/') + 1);
	file[strcspn(file, ".")] = '\0';
	return file;
}
#define CHECK_FOUND(want, name, rsa) CHECK(strcmp(want, found(name, rsa)) == 0)

static void a_name_finds_its_own_before_a_wildcard_before_the_default(void)
{
	static const char *const names[] = { "wild", "exact", "other=default" };

	CHECK_INT(0, load(names, 3));
	CHECK_FOUND("exact", "a.example.org", false);
	CHECK_FOUND("wild", "b.example.org", false);
	CHECK_FOUND("other", "a.b.example.org", false); /* a wildcard is one label */
	CHECK_FOUND("other", "example.org", false);
	CHECK_FOUND("other", ".example.org", false);
	CHECK_FOUND("other", "", false);
	CHECK_FOUND("other", "*.example.com", false);
	config_put(c);
}

static void without_a_default_a_stranger_finds_nobody(void)
{
	static const char *const names[] = { "exact" };

	CHECK_INT(0, load(names, 1));
	CHECK_FOUND("nobody", "b.example.org", false);
	CHECK_FOUND("nobody", "", false);
	CHECK_FOUND("none", "a.example.org", true);
	config_put(c);
}

static void of_two_keys_for_one_name_both_are_found(void)
{
	static const char *const names[] = { "exact", "rsa", "wild" };

	CHECK_INT(0, load(names, 3));
	CHECK_FOUND("exact", "a.example.org", false);
	CHECK_FOUND("rsa", "a.example.org", true);
	CHECK_FOUND("none", "b.example.org", true);
	config_put(c);
}

static void a_common_name_counts_only_without_others(void)
{
	static const char *const names[] = { "common.example.org", "exact" };

	CHECK_INT(0, load(names, 2));
	CHECK_FOUND("common", "common.example.org", false);
	CHECK_FOUND("nobody", "exact", false);
	config_put(c);
}

static void what_is_wrong_is_said_with_its_file(void)
{
	static const char *const mixed[] = { "mixed" }, *const missing[] = { "missing" },
				 *const late[] = { "late" };

	make_copy(make_path("exact", "pem"), make_path("mixed", "pem"));
	make_copy(make_path("wild", "key"), make_path("mixed", "key"));
	CHECK_INT(-EINVAL, load(mixed, 1));
	CHECK(strstr(why, "mixed.key: is not the key of") != NULL);
	config_put(c);
	CHECK_INT(-EINVAL, load(missing, 1));
	CHECK(strstr(why, "missing.pem: cannot be read") != NULL);
	config_put(c);
	CHECK_INT(0, load(late, 1)); /* it is served: another may not be there */
	CHECK(c->warnings && strstr(c->warnings, "late.pem: has expired") != NULL);
	config_put(c);
}

/* As a reload reads it, and a renewal, which brings its text along. */
static void what_was_read_before_is_left_alone_if_this_is_wrong(void)
{
	static const char *const missing[] = { "missing" }, *const exact[] = { "exact" };
	struct config *before = NULL, *read = NULL;
	char own[] = "own", *resolved = own;
	struct faults f = { .n = 0 };

	write_yaml(missing, 1);
	CHECK_INT(-EINVAL,
		  certs_read_config("test.yaml", yaml, &read, &resolved, NULL, &f));
	CHECK(!read && resolved == own && strcmp(own, "own") == 0);
	CHECK_INT(1, f.n);
	CHECK(strstr(f.list[0].what, "missing.pem: cannot be read") != NULL);
	faults_free(&f);
	write_yaml(exact, 1);
	CHECK_INT(0, certs_read_config("test.yaml", yaml, &read, &resolved, NULL, &f));
	CHECK(read && resolved != own && strstr(resolved, "exact.pem") != NULL);
	before = read;
	CHECK_INT(-EINVAL,
		  certs_read_config("test.yaml", "no: 1\n", &read, &resolved, NULL, &f));
	CHECK(read == before);
	faults_free(&f);
	config_put(read);
	free(resolved);
}

int main(void)
{
	make_begin();
	make_cert("exact", "DNS:a.example.org", false, 90);
	make_cert("rsa", "DNS:A.example.org", true, 90);
	make_cert("wild", "DNS:*.example.org", false, 90);
	make_cert("other", "DNS:other.example.com", false, 90);
	make_cert("common.example.org", NULL, false, 90);
	make_cert("late", "DNS:late.example.org", false, -3);
	RUN(a_name_finds_its_own_before_a_wildcard_before_the_default);
	RUN(without_a_default_a_stranger_finds_nobody);
	RUN(of_two_keys_for_one_name_both_are_found);
	RUN(a_common_name_counts_only_without_others);
	RUN(what_is_wrong_is_said_with_its_file);
	RUN(what_was_read_before_is_left_alone_if_this_is_wrong);
	make_end();
	DONE();
}
