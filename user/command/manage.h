/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands for a running proxy; each returns the exit code.  What is not as it should be
 * was logged.
 */
#ifndef USER_COMMAND_MANAGE_H
#define USER_COMMAND_MANAGE_H

struct options;

int cmd_reload(struct options *o);
int cmd_connections(struct options *o);
int cmd_kill(struct options *o);
int cmd_backends(struct options *o);
int cmd_drain(struct options *o);
int cmd_undrain(struct options *o);
int cmd_changes(struct options *o);
int cmd_log_level(struct options *o);

#endif
