/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_BOOK_EXPLAIN_H
#define USER_BOOK_EXPLAIN_H

/*
 * Log what a negative result of book_open() or writer_open() means, as one sentence that
 * says what to do.  -EBUSY is not logged: writer_open() has done so.
 */
void book_explain(int err, const char *pins);

#endif
