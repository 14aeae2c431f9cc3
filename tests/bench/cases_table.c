/*
 * cases_table.c - what the table does over time: growth under updates, reads among many entries, and whether keeping
 * values of 2 to 3 KiB in the row pays.
 *
 * Owns the three cases. Never changes how the library lays out its table but in the schema made for that case.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Short runs make fewer updates; the growth per update is the same. */
static int64_t scaled(const bench *self, int64_t full) {
  return self->seconds >= 0.5 ? full : (int64_t)((double)full * self->seconds);
}

/* Connects anew, so that the old backends end and publish their figures. */
static void settle(dataset *data) {
  dataset_disconnect(data);
  usleep(1500000);
}

void case_growth(bench *self) {
  dataset data;
  int64_t keys = 100000;
  dataset_open(&data, self, "growth");
  dataset_fill(&data, keys, 1024);
  double before = dataset_bytes(&data);
  side_updates(&data, scaled(self, 1000000));
  settle(&data);
  double after = dataset_bytes(&data);
  report(self, &(measurement){.name = "growth",
                              .threads = MOST_THREADS,
                              .value_bytes = 1024,
                              .keys = keys,
                              .value = after / 1048576,
                              .floor = before / 1048576,
                              .ratio = after / before,
                              .unit = "MiB",
                              .target = 1.1,
                              .at_most = true});
  double hot = dataset_hot_share(&data);
  report(self, &(measurement){.name = "growth_hot",
                              .threads = MOST_THREADS,
                              .value_bytes = 1024,
                              .keys = keys,
                              .value = hot,
                              .floor = 100,
                              .ratio = hot / 100,
                              .unit = "%",
                              .target = 0.995}); /* 100 %, rounded */
  dataset_close(&data);
}

/* ---- Reads among many entries ------------------------------------------------------------------------------------------ */

void case_size(bench *self) {
  static const char *const names[] = {"100k", "1m", "10m"};
  static const int64_t keys[] = {100000, 1000000, 10000000};
  enum { VALUE_BYTES = 100 }; /* 10M of them fit the memory of a small machine */
  int count = self->big ? 3 : 2;
  dataset data[3];
  side *sides[3];
  double p50[3][MOST_ROUNDS], sorted[MOST_ROUNDS];
  for (int i = 0; i < count; i++) {
    dataset_open(&data[i], self, names[i]);
    dataset_fill(&data[i], keys[i], VALUE_BYTES);
    sides[i] = side_new(&data[i], GET, false);
    side_run(sides[i], 1, self->seconds, NULL);
  }
  report_progress("reads among 100k to %s entries", names[count - 1]);
  bool pinned = pin_to_one_cpu(self, true);
  for (int round = 0; round < self->rounds; round++) {
    for (int i = 0; i < count; i++) {
      side_run(sides[i], 1, self->seconds, &p50[i][round]);
    }
  }
  pin_to_one_cpu(self, false);
  double first = 0;
  for (int i = 0; i < count; i++) {
    for (int round = 0; round < self->rounds; round++) {
      sorted[round] = p50[i][round];
    }
    double middle = median(sorted, self->rounds);
    first = i == 0 ? middle : first;
    report(self, &(measurement){.name = "get_p50",
                                .threads = 1,
                                .value_bytes = VALUE_BYTES,
                                .keys = keys[i],
                                .value = middle,
                                .floor = first,
                                .ratio = middle / first,
                                .unit = "us",
                                .target = i == 0 ? 0 : 1.25,
                                .at_most = true,
                                .pinned = pinned});
    side_free(sides[i]);
    dataset_close(&data[i]);
  }
}

/* ---- Values of 2 to 3 KiB ---------------------------------------------------------------------------------------------- */

void case_profile(bench *self) {
  static const size_t sizes[] = {2048, 2560, 3072};
  static const operation operations[] = {GET, PUT};
  static const char *const names[] = {"profile_get", "profile_put"};
  int64_t keys = 20000;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    dataset usual, tuned;
    dataset_open(&usual, self, "usual");
    dataset_open(&tuned, self, "tuned");
    PQclear(query_or_die(self->admin, PGRES_COMMAND_OK,
                         "ALTER TABLE %s.entries SET (toast_tuple_target = 8160, fillfactor = 50)", tuned.schema));
    dataset_fill(&usual, keys, sizes[i]);
    dataset_fill(&tuned, keys, sizes[i]);
    double usual_before = dataset_bytes(&usual), tuned_before = dataset_bytes(&tuned);
    for (int j = 0; j < 2; j++) {
      side *a = side_new(&tuned, operations[j], false), *b = side_new(&usual, operations[j], false);
      measurement result = {.name = names[j], .value_bytes = sizes[i], .keys = keys, .unit = "ops/s"};
      report_progress("%s, values of %zu bytes", names[j], sizes[i]);
      compare(self, a, b, 1, &result);
      report(self, &result);
      compare(self, a, b, MOST_THREADS, &result);
      report(self, &result);
      side_free(a);
      side_free(b);
    }
    side_updates(&usual, scaled(self, 200000));
    side_updates(&tuned, scaled(self, 200000));
    settle(&usual);
    settle(&tuned);
    double usual_after = dataset_bytes(&usual), tuned_after = dataset_bytes(&tuned);
    measurement space = {.value_bytes = sizes[i], .keys = keys, .unit = "MiB"};
    space.name = "profile_loaded";
    space.value = tuned_before / 1048576;
    space.floor = usual_before / 1048576;
    space.ratio = tuned_before / usual_before;
    report(self, &space);
    space.name = "profile_updated";
    space.value = tuned_after / 1048576;
    space.floor = usual_after / 1048576;
    space.ratio = tuned_after / usual_after;
    report(self, &space);
    dataset_close(&usual);
    dataset_close(&tuned);
  }
}
