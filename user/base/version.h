/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_BASE_VERSION_H
#define USER_BASE_VERSION_H

#define TOLLGATE_VERSION "0.1.0"

#endif
