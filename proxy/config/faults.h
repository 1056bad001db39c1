/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a configuration: all of it, each with its place. */
#ifndef PROXY_CONFIG_FAULTS_H
#define PROXY_CONFIG_FAULTS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define FAULTS_MAX 100 /* that are told one by one */

struct fault {
	char *file;	       /* as it was named */
	unsigned line, column; /* from 1; 0: not known */
	char *key;	       /* "listeners[0].routes[1].sni[0]"; "": the whole */
	char *what;
};

/* Zeroed before the first; freed by faults_free(). */
struct faults {
	struct fault *list;
	unsigned n;
	unsigned more; /* that are not in the list: too many, or no memory for them */
};

/* A fault of a file as a whole. */
void faults_add_file(struct faults *f, const char *file, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* One more.  Always -EINVAL. */
int faults_add(struct faults *f, const char *file, unsigned line, unsigned column,
	       const char *key, const char *fmt, va_list args)
	__attribute__((format(printf, 6, 0)));

/* Is a text UTF-8 (RFC 3629)?  It is afterwards, with a '?' for each byte that is not. */
bool faults_is_utf8(const char *text);
void faults_make_utf8(char *text);

/* In the order of the text; those of the file `first` before those of others. */
void faults_sort(struct faults *f, const char *first);

/* It is full: what comes is counted, and its place need not be looked for. */
static inline bool faults_are_many(struct faults *f)
{
	f->more += f->n == FAULTS_MAX;
	return f->n == FAULTS_MAX;
}

void faults_free(struct faults *f);

/* A line of the log for each, and how many there are of `path`, if there are more. */
void faults_log(const struct faults *f, const char *path);

/* "FILE:LINE:COLUMN: KEY: WHAT" into buf, cut at `cap`. */
void fault_format(const struct fault *f, char *buf, size_t cap);

#endif
