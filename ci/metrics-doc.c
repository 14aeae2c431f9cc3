/*
 * metrics-doc.c - prints the part of instrumentation/METRICS.md that the library says of itself. ci/check-metrics-doc builds and
 * runs it; it reads the library's own list, which is no part of the interface.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <stdio.h>
#include <string.h>

#include "operations/metrics.h"
#include "state/meters.h"

static void print_row(const pgc_metric *metric, const char *labels) {
  static const char *const kinds[] = {"", "counter", "gauge", "histogram"};
  printf("| `%s` | %s | %s | %s |\n", metric->name, kinds[metric->kind], labels, metric->help);
}

int main(void) {
  puts("| metric | kind | labels | |\n"
       "| --- | --- | --- | --- |");
  for (int id = 0; id < PGC_METRICS; id++)
    print_row(&pgc_metric_entry_of((pgc_metric_id)id)->metric, pgc_metric_entry_of((pgc_metric_id)id)->labels);
  const pgc_counter_metric *each;
  const char *before = "";
  for (size_t i = 0; (each = pgc_counter_metric_at(i)) != NULL; before = each->metric.name, i++) {
    if (strcmp(before, each->metric.name) != 0)
      print_row(&each->metric, each->label.name != NULL ? each->label.name : "");
  }
  puts("\n"
       "Values of the label `operation`:");
  for (int operation = 0; operation < PGC_OPERATIONS; operation++)
    printf("%s`%s`%s", operation % 8 == 0 ? "" : " ", pgc_operation_name((pgc_operation)operation),
           operation == PGC_OPERATIONS - 1 ? ".\n"
           : operation % 8 == 7            ? ",\n"
                                           : ",");
  return ferror(stdout) || fflush(stdout) != 0;
}
