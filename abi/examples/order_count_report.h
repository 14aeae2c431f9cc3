/*
 * order_count_report.h - what the order-count application measured, and how it is shown.
 *
 * Owns the latency histogram, the progress line, the table and the drawing. Never touches the database or the cache, and
 * never writes colours or carriage returns to anything but a terminal.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef ORDER_COUNT_REPORT_H
#define ORDER_COUNT_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Latencies: 16 buckets for each power of two of nanoseconds, so a percentile is right within 1/16 ----------- */

#define HISTOGRAM_BUCKETS (64 * 16)

typedef struct histogram {
  int64_t count;
  int64_t buckets[HISTOGRAM_BUCKETS];
} histogram;

static unsigned histogram_power(uint64_t nanoseconds) {
  return 63u - (unsigned)__builtin_clzll(nanoseconds | 16u); /* 4 at least: below 16 ns all is one power */
}

static void histogram_add(histogram *self, int64_t nanoseconds) {
  uint64_t value = nanoseconds < 0 ? 0 : (uint64_t)nanoseconds;
  unsigned power = histogram_power(value);
  self->buckets[power * 16 + ((value >> (power - 4)) & 15u)]++;
  self->count++;
}

static void histogram_merge(histogram *self, const histogram *other) {
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
    self->buckets[i] += other->buckets[i];
  }
  self->count += other->count;
}

/* The upper end of the bucket in which the given share of all values is reached, in microseconds; 0 when empty. */
static double histogram_percentile(const histogram *self, double share) {
  int64_t wanted = (int64_t)((double)self->count * share), seen = 0;
  for (size_t i = 0; i < HISTOGRAM_BUCKETS && self->count > 0; i++) {
    seen += self->buckets[i];
    if (seen > wanted || seen == self->count) {
      return (double)((16 + i % 16 + 1) << (i / 16 - 4)) / 1000.0;
    }
  }
  return 0;
}

static int64_t histogram_in_power(const histogram *self, size_t power) {
  int64_t sum = 0;
  for (size_t i = power * 16; i < (power + 1) * 16; i++) {
    sum += self->buckets[i];
  }
  return sum;
}

/* ---- One part of the run -------------------------------------------------------------------------------------------- */

enum { ALL_ORDERS, ONE_CUSTOMER, KINDS }; /* what a request asks for */

/* The ways to have the counts; each is one part of the run. */
enum { NO_CACHE, TTL_ONLY, REMOVE_FIRST, WATCHED, WATCHED_NEAR, WAYS };

static const char *const way_names[WAYS] = {"no cache", "TTL only", "remove, commit", "watch + loads",
                                            "the same, near"};

typedef struct result {
  double seconds;
  histogram latency[KINDS];
  histogram adding;     /* how long an add took the writer */
  int64_t hits;         /* answers from the cache */
  int64_t counted;      /* answers counted in the database */
  int64_t cache_errors; /* calls of the cache that failed; the request went on without it */
  int64_t older;        /* answers that lack a commit which was acknowledged before the request began */
  int64_t stale;        /* of these, beyond the bound of what is promised: for all but near reads none is */
  int64_t oldest_ns;    /* how long ago what the worst answer lacked had been acknowledged */
  int64_t impossible;   /* answers higher than the number of orders there can have been */
  int64_t left_cached;  /* cached counts found when all was quiet, and how many of them were wrong */
  int64_t left_wrong;
} result;

static int64_t result_requests(const result *self) {
  return self->latency[ALL_ORDERS].count + self->latency[ONE_CUSTOMER].count;
}

static double result_rate(const result *self) {
  return self->seconds > 0 ? (double)result_requests(self) / self->seconds : 0;
}

/* ---- Text ----------------------------------------------------------------------------------------------------------- */

typedef struct paint {
  bool terminal;
  const char *strong, *good, *bad, *faint, *plain;
} paint;

static paint paint_for(int descriptor) {
  const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
  paint none = {false, "", "", "", "", ""}, colours = {true, "\033[1m", "\033[32m", "\033[31m", "\033[2m", "\033[0m"};
  if (!isatty(descriptor) || term == NULL || strcmp(term, "dumb") == 0) {
    return none;
  }
  none.terminal = true;
  return no_color != NULL && *no_color != '\0' ? none : colours;
}

/* 1234567 as "1,234,567"; several results may be used in one printf. */
static const char *grouped(int64_t number) {
  static char texts[8][32];
  static unsigned next;
  char digits[24], *text = texts[next++ % 8];
  int length = snprintf(digits, sizeof digits, "%lld", (long long)number), out = 0;
  for (int i = 0; i < length; i++) {
    if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-') {
      text[out++] = ',';
    }
    text[out++] = digits[i];
  }
  text[out] = '\0';
  return text;
}

static void repeat(char character, int times) {
  for (int i = 0; i < times; i++) {
    putchar(character);
  }
}

/* Overwrites its line on a terminal; elsewhere one line for about every fifth of the time. */
static void show_progress(const paint *colours, const char *title, double elapsed, double seconds, int64_t requests) {
  static double next_line;
  double share = elapsed < seconds ? elapsed / seconds : 1;
  if (colours->terminal) {
    printf("\r  %-20s [%s", title, colours->good);
    repeat('=', (int)(share * 30));
    printf("%s", colours->plain);
    repeat(' ', 30 - (int)(share * 30));
    printf("] %4.1f s   %s requests", elapsed, grouped(requests));
  } else {
    if (share < next_line) {
      return;
    }
    printf("  %s: %.1f s of %.1f s, %s requests\n", title, elapsed, seconds, grouped(requests));
    next_line = share >= 1 ? 0 : next_line + 0.2;
  }
  fflush(stdout);
}

static void end_progress(const paint *colours) {
  if (colours->terminal) {
    putchar('\n');
  }
}

/* ---- The report ----------------------------------------------------------------------------------------------------- */

enum { LABEL_WIDTH = 26, COLUMN_WIDTH = 15 };

static void row_begin(const char *label) {
  printf("  %-*s", LABEL_WIDTH, label);
}

/* A cell without a figure, for a way that was not tried or has none. */
static void cell(const char *text, const char *colour, const char *plain) {
  printf("%s%*s%s", colour, COLUMN_WIDTH, text, plain);
}

static void row_numbers(const char *label, const int64_t *numbers) {
  row_begin(label);
  for (int way = 0; way < WAYS; way++) {
    cell(numbers[way] < 0 ? "-" : grouped(numbers[way]), "", "");
  }
  putchar('\n');
}

/* A percentile of each way in microseconds. */
static void row_latency(const char *label, const histogram *const *latencies, double share) {
  char text[40];
  snprintf(text, sizeof text, "%s, p%.0f, us", label, share * 100);
  row_begin(text);
  for (int way = 0; way < WAYS; way++) {
    double microseconds = histogram_percentile(latencies[way], share);
    snprintf(text, sizeof text, "%.1f", microseconds);
    cell(latencies[way]->count == 0 ? "-" : microseconds < 10 ? text : grouped((int64_t)(microseconds + 0.5)), "", "");
  }
  putchar('\n');
}

static void row_latencies(const char *label, const result *results, int kind) {
  const histogram *latencies[WAYS];
  for (int way = 0; way < WAYS; way++) {
    latencies[way] = kind < KINDS ? &results[way].latency[kind] : &results[way].adding;
  }
  row_latency(label, latencies, 0.50);
  row_latency(label, latencies, 0.99);
}

static bool was_tried(const result *self) {
  return result_requests(self) > 0;
}

static void show_table(const paint *colours, const result *results) {
  int64_t requests[WAYS], rates[WAYS], counted[WAYS], saved[WAYS], added[WAYS], errors[WAYS], oldest[WAYS];
  printf("\n%s", colours->strong);
  row_begin("");
  for (int way = 0; way < WAYS; way++) {
    const result *of = &results[way];
    bool tried = was_tried(of);
    cell(way_names[way], "", "");
    requests[way] = tried ? result_requests(of) : -1;
    rates[way] = tried ? (int64_t)result_rate(of) : -1;
    counted[way] = tried ? of->counted : -1;
    saved[way] = tried && way != NO_CACHE ? of->hits : -1;
    added[way] = tried ? of->adding.count : -1;
    errors[way] = tried && way != NO_CACHE ? of->cache_errors : -1;
    oldest[way] = tried ? (of->oldest_ns + 999999) / 1000000 : -1;
  }
  printf("%s\n", colours->plain);
  row_numbers("requests", requests);
  row_numbers("requests/s", rates);
  row_latencies("all orders", results, ALL_ORDERS);
  row_latencies("one customer", results, ONE_CUSTOMER);
  row_begin("hit ratio");
  for (int way = 0; way < WAYS; way++) {
    char text[16];
    int64_t answered = results[way].hits + results[way].counted;
    snprintf(text, sizeof text, "%.2f %%", answered > 0 ? 100.0 * (double)results[way].hits / (double)answered : 0);
    cell(way == NO_CACHE || answered == 0 ? "-" : text, "", "");
  }
  putchar('\n');
  row_numbers("counts run in the database", counted);
  row_numbers("database queries saved", saved);
  row_numbers("orders added", added);
  row_latencies("adding one", results, KINDS);
  row_numbers("cache calls that failed", errors);
  row_numbers("oldest answer, ms too old", oldest);
  row_begin("stale answers");
  for (int way = 0; way < WAYS; way++) {
    bool stale = results[way].stale > 0;
    cell(was_tried(&results[way]) ? grouped(results[way].stale) : "-", stale ? colours->bad : colours->good,
         colours->plain);
  }
  putchar('\n');
}

enum { DRAWN = 3, BAR_WIDTH = 18, POWERS = 64, FIRST_POWER = 9 };

/* How many answers took so long, by powers of two; under a microsecond it is all the same. */
static void count_powers(const result *of, int64_t sums[POWERS]) {
  memset(sums, 0, POWERS * sizeof *sums);
  for (int power = 0; power < POWERS; power++) {
    for (int kind = 0; kind < KINDS; kind++) {
      sums[power < FIRST_POWER ? FIRST_POWER : power] += histogram_in_power(&of->latency[kind], (size_t)power);
    }
  }
}

static void draw_bar(const paint *colours, int64_t count, int64_t longest, int64_t total) {
  int length = longest > 0 ? (int)((double)count * BAR_WIDTH / (double)longest) : 0;
  length = length == 0 && count > 0 ? 1 : length; /* rare is not never */
  printf(" |%s", colours->good);
  repeat('#', length);
  printf("%s", colours->plain);
  repeat(' ', BAR_WIDTH - length);
  if (count > 0) {
    printf("%6.2f %%", 100.0 * (double)count / (double)total);
  } else {
    repeat(' ', 8);
  }
}

/* One line for each power of two of microseconds; each way's bars are relative to its longest. */
static void show_histogram(const paint *colours, const result *results) {
  static const int drawn[DRAWN] = {NO_CACHE, WATCHED, WATCHED_NEAR};
  int64_t sums[DRAWN][POWERS], longest[DRAWN] = {0};
  int first = POWERS, last = -1;
  for (int column = 0; column < DRAWN; column++) {
    count_powers(&results[drawn[column]], sums[column]);
    for (int power = 0; power < POWERS; power++) {
      if (sums[column][power] > 0) {
        first = power < first ? power : first;
        last = power > last ? power : last;
        longest[column] = sums[column][power] > longest[column] ? sums[column][power] : longest[column];
      }
    }
  }
  printf("\n%s  %-19s", colours->strong, "time for an answer");
  for (int column = 0; column < DRAWN; column++) {
    printf("   %-*s", BAR_WIDTH + 7, way_names[drawn[column]]);
  }
  printf("%s\n", colours->plain);
  for (int power = first; power <= last; power++) {
    printf("  up to %10s us", grouped((int64_t)((2ULL << power) / 1000)));
    for (int column = 0; column < DRAWN; column++) {
      draw_bar(colours, sums[column][power], longest[column], result_requests(&results[drawn[column]]));
    }
    putchar('\n');
  }
}

static void show_correctness(const paint *colours, const result *results) {
  static const char *const what[WAYS] = {
      "each count is asked for", "an entry lives for a second, whatever happens to the orders",
      "the writer removes the counts, then commits: a reader in between puts the old one back",
      "no code for it in the application: SELECT watch('orders', ...), and guarded loads",
      "from the process's own memory where it can be, which may be behind for as long as the bound says"};
  printf("\n%sCorrectness%s  an answer is stale if it lacks an order whose commit was acknowledged before the request\n"
         "             began, of near reads by more than the bound; and when all was quiet every cached count was\n"
         "             compared with the database.\n",
         colours->strong, colours->plain);
  for (int way = 0; way < WAYS; way++) {
    const result *of = &results[way];
    int64_t requests = result_requests(of);
    bool wrong = of->stale + of->left_wrong > 0;
    if (!was_tried(of)) {
      continue;
    }
    printf("  %-15s %s%s of %s answers stale%s (%.4f %%)", way_names[way], wrong ? colours->bad : colours->good,
           grouped(of->stale), grouped(requests), colours->plain, 100.0 * (double)of->stale / (double)requests);
    if (way != NO_CACHE) {
      printf(", %s of %s cached counts wrong at the end", grouped(of->left_wrong), grouped(of->left_cached));
    }
    printf("\n  %15s %s%s%s\n", "", colours->faint, what[way], colours->plain);
    if (way == WATCHED_NEAR) {
      printf("  %15s %s answers were behind within the bound, the worst by %.1f ms\n", "",
             grouped(of->older - of->stale), (double)of->oldest_ns / 1e6);
    }
    if (of->impossible > 0) {
      printf("  %15s %s%s answers were higher than the number of orders there can have been%s\n", "", colours->bad,
             grouped(of->impossible), colours->plain);
    }
  }
}

#endif /* ORDER_COUNT_REPORT_H */
