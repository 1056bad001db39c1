/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about configuration files; each returns the exit code. */
#ifndef USER_COMMAND_SETTINGS_H
#define USER_COMMAND_SETTINGS_H

#include <stdbool.h>

struct config;

/* With its certificates; NULL with all that is wrong logged. */
struct config *settings_read(const char *path);

/* What is wrong and what is warned of, as JSON on standard output. */
int settings_check(const char *path);

/* The file as it is understood, on standard output. */
int settings_export(const char *path, bool json);

/* What is different in `after`, on standard output. */
int settings_diff(const char *before, const char *after, bool json);

/* The same with a text, resolved, as it is before. */
int settings_diff_text(const char *before, const char *after, bool json);

/* All of it in one text, the caller's; NULL with all that is wrong logged. */
char *settings_resolve(const char *path);

/* The JSON Schema of a configuration, on standard output. */
int settings_schema(void);

#endif
