/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_EXPORTER_METRICS_H
#define USER_EXPORTER_METRICS_H

#include <stdbool.h>
#include <stdio.h>

#include "book/audit.h"
#include "book/book.h"

/*
 * Write every metric of a snapshot (taken with BOOK_NFT) and its audit, as
 * Prometheus text format 0.0.4 or as OpenMetrics 1.0.  events_file_errors: records that
 * the exporter could not write to its file.
 */
void metrics_write(FILE *out, const struct snapshot *s, const struct audit *a,
		   uint64_t events_file_errors, bool openmetrics);

#endif
