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

typedef struct result {
  double seconds;
  histogram latency[KINDS];
  int64_t hits;         /* answers from the cache */
  int64_t counted;      /* answers counted in the database */
  int64_t added;        /* orders added */
  int64_t cache_errors; /* calls of the cache that failed; the request went on without it */
  int64_t stale_during; /* stale answers while the add was still under way: committed, its keys not yet removed */
  int64_t stale_after;  /* stale answers after the add had removed its keys */
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

static void row(const char *label, const char *without, const char *with, const char *note) {
  printf("  %-34s %17s %17s%s%s\n", label, without, with, *note != '\0' ? "   " : "", note);
}

static void row_latency(const char *label, const result *without, const result *with, int kind, double share) {
  char left[32], right[32], note[32] = "";
  double before = histogram_percentile(&without->latency[kind], share);
  double after = histogram_percentile(&with->latency[kind], share);
  snprintf(left, sizeof left, "%.0f us", before);
  snprintf(right, sizeof right, "%.0f us", after);
  if (before > 0 && after > 0) {
    snprintf(note, sizeof note, "%.1f x", before / after);
  }
  row(label, left, right, note);
}

static void show_table(const paint *colours, const result *without, const result *with) {
  char right[32], note[64] = "";
  printf("\n%s  %-34s %17s %17s%s\n", colours->strong, "", "without the cache", "with the cache", colours->plain);
  row("requests", grouped(result_requests(without)), grouped(result_requests(with)), "");
  if (result_rate(without) > 0 && result_rate(with) > 0) {
    snprintf(note, sizeof note, "%s%.1f x%s", colours->good, result_rate(with) / result_rate(without), colours->plain);
  }
  row("requests/s", grouped((int64_t)result_rate(without)), grouped((int64_t)result_rate(with)), note);
  row_latency("count of all orders, p50", without, with, ALL_ORDERS, 0.50);
  row_latency("count of all orders, p99", without, with, ALL_ORDERS, 0.99);
  row_latency("count of one customer, p50", without, with, ONE_CUSTOMER, 0.50);
  row_latency("count of one customer, p99", without, with, ONE_CUSTOMER, 0.99);
  int64_t answered = with->hits + with->counted;
  snprintf(right, sizeof right, "%.2f %%", answered > 0 ? 100.0 * (double)with->hits / (double)answered : 0);
  row("hit ratio", "-", right, "");
  row("counts run in the database", grouped(without->counted), grouped(with->counted), "");
  row("database queries saved", "-", grouped(with->hits), "");
  row("orders added", grouped(without->added), grouped(with->added), "");
  row("calls of the cache that failed", "-", grouped(with->cache_errors), "");
}

/* One line for each power of two of microseconds; each part's bars are relative to that part's longest. */
static void show_histogram(const paint *colours, const result *without, const result *with) {
  const result *parts[2] = {without, with};
  enum { WIDTH = 28, POWERS = 64, FIRST = 9 };
  int64_t sums[2][POWERS] = {{0}};
  int64_t longest[2] = {1, 1};
  int first = POWERS, last = -1;
  for (int part = 0; part < 2; part++) {
    for (int power = 0; power < POWERS; power++) {
      for (int kind = 0; kind < KINDS; kind++) {
        sums[part][power] += histogram_in_power(&parts[part]->latency[kind], (size_t)power);
      }
      if (power < FIRST) { /* under a microsecond it is all the same */
        sums[part][FIRST] += sums[part][power];
        sums[part][power] = 0;
      }
      if (sums[part][power] > 0) {
        first = power < first ? power : first;
        last = power > last ? power : last;
        longest[part] = sums[part][power] > longest[part] ? sums[part][power] : longest[part];
      }
    }
  }
  printf("\n%s  %-19s %-*s  %s%s\n", colours->strong, "time for an answer", WIDTH + 9, "without the cache",
         "with the cache", colours->plain);
  for (int power = first; power <= last; power++) {
    printf("  up to %10s us", grouped((int64_t)((2ULL << power) / 1000)));
    for (int part = 0; part < 2; part++) {
      int64_t total = result_requests(parts[part]);
      double share = total > 0 ? (double)sums[part][power] / (double)total : 0;
      int length = (int)((double)sums[part][power] * WIDTH / (double)longest[part]);
      length = length == 0 && sums[part][power] > 0 ? 1 : length; /* rare is not never */
      printf(" |%s", part == 0 ? colours->faint : colours->good);
      repeat('#', length);
      printf("%s", colours->plain);
      if (sums[part][power] > 0) {
        repeat(' ', WIDTH - length);
        printf("%6.2f %%", 100 * share);
      } else if (part == 0) {
        repeat(' ', WIDTH + 8);
      }
    }
    putchar('\n');
  }
}

static void show_correctness(const paint *colours, const result *without, const result *with) {
  int64_t stale = with->stale_during + with->stale_after, requests = result_requests(with);
  printf(
      "\n%sCorrectness%s  each answer was checked against the adds that the database had confirmed before its request\n"
      "             began, and every cached count against the database when all was quiet.\n",
      colours->strong, colours->plain);
  printf("  without the cache: %s stale of %s answers\n", grouped(without->stale_during + without->stale_after),
         grouped(result_requests(without)));
  printf("  with the cache:    %s%s stale%s of %s answers (%.4f %%): %s while the add had yet to remove its keys, %s "
         "later\n",
         stale > 0 ? colours->bad : colours->good, grouped(stale), colours->plain, grouped(requests),
         requests > 0 ? 100.0 * (double)stale / (double)requests : 0, grouped(with->stale_during),
         grouped(with->stale_after));
  printf("                     %s of %s cached counts were wrong at the end\n", grouped(with->left_wrong),
         grouped(with->left_cached));
  printf(
      "  Zero stale answers are not promised yet: a reader that counted before an add can store its count after the\n"
      "  add removed the key, and it stays until the key is removed again or its time is up.\n");
  if (without->impossible + with->impossible > 0) {
    printf("  %s%s answers were higher than the number of orders there can have been%s\n", colours->bad,
           grouped(without->impossible + with->impossible), colours->plain);
  }
}

#endif /* ORDER_COUNT_REPORT_H */
