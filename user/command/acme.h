/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates by ACME (RFC 8555), with the help of dehydrated(1). */
#ifndef USER_COMMAND_ACME_H
#define USER_COMMAND_ACME_H

/*
 * Ask for those that the configuration names and that are missing, or expire within 30
 * days (with `state: database` what is in force at the proxy that writes the books at
 * `pins`); the gate, which must run, answers the challenges.  As root: it keeps the
 * account, the keys and the certificates below the state of ACME.  0, or a negative
 * errno, said.
 */
int acme_run(const char *pins, const char *config_path);

/*
 * What dehydrated(1) calls with what it is about to do: before it tells the server that a
 * challenge is ready, the gate must answer it.  0, or a negative errno, said.
 */
int acme_hook(char **args, int n);

#endif
