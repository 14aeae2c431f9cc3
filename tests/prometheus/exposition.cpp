/*
 * exposition.cpp - what is written of snapshots: names, escapes, numbers, buckets, and which samples stand together.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "prometheus.hpp"

#include <clocale>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>

using namespace test;
using std::string;

namespace {

constexpr auto text_format = PGCACHE_PROMETHEUS_TEXT;
constexpr auto open_metrics = PGCACHE_PROMETHEUS_OPENMETRICS;

Made one_of_each() {
  Made made;
  made.value(PGCACHE_COUNTER, "pgcache_hits_total", "Keys that were found.", "",
             {{"source", "near"}, {"span_name", ""}}, 7)
      .value(PGCACHE_COUNTER, "pgcache_hits_total", "Keys that were found.", "",
             {{"source", "store"}, {"span_name", "list"}}, 3)
      .value(PGCACHE_COUNTER, "pgcache_sent_bytes_total", "Bytes sent.", "bytes", {}, 1e16)
      .value(PGCACHE_GAUGE, "pgcache_age_seconds", "Age.", "seconds", {}, 0.25)
      .histogram("pgcache_flushed_entries", "Entries of a flush.", "", {}, 1, {0, 1, 6, 1000000000});
  return made;
}

string value_of(double value) {
  const string line = samples({Made().value(PGCACHE_GAUGE, "g", "", "", {}, value).source()});
  return line.substr(2, line.size() - 3);
}

} // namespace

TEST_CASE("The text format has its lines", "[exposition]") {
  const Made made = one_of_each();
  const string text = exposition({made.source()}, text_format);
  CHECK(text.rfind("# HELP pgcache_hits_total Keys that were found.\n"
                   "# TYPE pgcache_hits_total counter\n"
                   "pgcache_hits_total{source=\"near\",span_name=\"\"} 7\n"
                   "pgcache_hits_total{source=\"store\",span_name=\"list\"} 3\n"
                   "# HELP pgcache_sent_bytes_total Bytes sent.\n"
                   "# TYPE pgcache_sent_bytes_total counter\n"
                   "pgcache_sent_bytes_total 1e+16\n"
                   "# HELP pgcache_age_seconds Age.\n"
                   "# TYPE pgcache_age_seconds gauge\n"
                   "pgcache_age_seconds 0.25\n"
                   "# HELP pgcache_flushed_entries Entries of a flush.\n"
                   "# TYPE pgcache_flushed_entries histogram\n"
                   "pgcache_flushed_entries_bucket{le=\"0.0\"} 1\n"
                   "pgcache_flushed_entries_bucket{le=\"1.0\"} 2\n"
                   "pgcache_flushed_entries_bucket{le=\"5.0\"} 2\n"
                   "pgcache_flushed_entries_bucket{le=\"10.0\"} 3\n",
                   0) == 0);
  CHECK(text.find("le=\"1e+06\"} 3\n"
                  "pgcache_flushed_entries_bucket{le=\"+Inf\"} 4\n"
                  "pgcache_flushed_entries_sum 1000000007\n"
                  "pgcache_flushed_entries_count 4\n") != string::npos);
  CHECK(text.find("# EOF") == string::npos);
  CHECK(text.find("# UNIT") == string::npos);
}

TEST_CASE("OpenMetrics names families without _total, tells units, and ends with # EOF", "[exposition]") {
  const Made made = one_of_each();
  const string text = exposition({made.source()}, open_metrics);
  CHECK(text.rfind("# HELP pgcache_hits Keys that were found.\n"
                   "# TYPE pgcache_hits counter\n"
                   "pgcache_hits_total{source=\"near\",span_name=\"\"} 7\n",
                   0) == 0);
  CHECK(text.find("# TYPE pgcache_sent_bytes counter\n"
                  "# UNIT pgcache_sent_bytes bytes\n"
                  "pgcache_sent_bytes_total 1e+16\n") != string::npos);
  CHECK(text.find("# TYPE pgcache_age_seconds gauge\n"
                  "# UNIT pgcache_age_seconds seconds\n") != string::npos);
  CHECK(text.find("pgcache_flushed_entries_bucket{le=\"+Inf\"} 4\n") != string::npos);
  CHECK(text.find("_created") == string::npos);
  CHECK(text.find("# EOF\n") == text.size() - 6);

  /* The samples are the same lines in both. */
  CHECK(samples({made.source()}, text_format) == samples({made.source()}, open_metrics));

  /* A counter without _total gets one, and a unit that no name ends with is not told. */
  const Made odd =
      Made().value(PGCACHE_COUNTER, "odd", "", "", {}, 1).value(PGCACHE_GAUGE, "age", "", "seconds", {}, 1);
  CHECK(exposition({odd.source()}, open_metrics) ==
        "# HELP odd \n# TYPE odd counter\nodd_total 1\n# HELP age \n# TYPE age gauge\nage 1\n# EOF\n");
}

TEST_CASE("Nothing is an exposition, too", "[exposition]") {
  CHECK(exposition({}, text_format).empty());
  CHECK(exposition({}, open_metrics) == "# EOF\n");
  CHECK(exposition({Made().source()}, open_metrics) == "# EOF\n");
}

TEST_CASE("Texts are escaped, and always valid UTF-8", "[exposition]") {
  const auto label = [](const string &value) {
    const string line = samples({Made().value(PGCACHE_GAUGE, "g", "", "", {{"span_name", value}}, 1).source()});
    return line.substr(13, line.size() - 13 - 5);
  };
  CHECK(label("a\\b\"c\nd") == "a\\\\b\\\"c\\nd");
  CHECK(label("{},=") == "{},=");
  /* What would control the terminal of whoever looks at it. */
  CHECK(label("\x1b[2J") == "\\\\x1b[2J");
  CHECK(label("\t\r\x7f") == "\\\\x09\\\\x0d\\\\x7f");
  CHECK(label("\xc2\x9b") == "\\\\xc2\\\\x9b");
  /* One to four bytes, the first and last of each length, and around UTF-16's halves. */
  for (const char *valid : {"~", "\xc2\xa0", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
                            "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    CHECK(label(valid) == valid);
  CHECK(label("\x80") == "\\\\x80");
  CHECK(label("\xff!") == "\\\\xff!");
  CHECK(label("\xc1\xbf") == "\\\\xc1\\\\xbf"); /* longer than needed */
  CHECK(label("\xe0\x9f\xbf") == "\\\\xe0\\\\x9f\\\\xbf");
  CHECK(label("\xf0\x8f\xbf\xbf") == "\\\\xf0\\\\x8f\\\\xbf\\\\xbf");
  CHECK(label("\xed\xa0\x80") == "\\\\xed\\\\xa0\\\\x80");            /* half of UTF-16 */
  CHECK(label("\xf4\x90\x80\x80") == "\\\\xf4\\\\x90\\\\x80\\\\x80"); /* beyond the last */
  CHECK(label("\xf5\x80\x80\x80") == "\\\\xf5\\\\x80\\\\x80\\\\x80");
  CHECK(label("\xe2\x82") == "\\\\xe2\\\\x82"); /* ends too early */
  CHECK(label("\xe2") == "\\\\xe2");
  CHECK(label("\xf0\x9f\x98") == "\\\\xf0\\\\x9f\\\\x98");
  CHECK(label("\xc3x") == "\\\\xc3x");

  /* Quotes in a help are escaped by OpenMetrics alone. */
  const Made made = Made().value(PGCACHE_GAUGE, "g", "a \"b\"\nc\\", "", {}, 1);
  CHECK(exposition({made.source()}, text_format).find("# HELP g a \"b\"\\nc\\\\\n") == 0);
  CHECK(exposition({made.source()}, open_metrics).find("# HELP g a \\\"b\\\"\\nc\\\\\n") == 0);
}

TEST_CASE("Numbers read back as they were", "[exposition]") {
  CHECK(value_of(std::nan("")) == "NaN");
  CHECK(value_of(INFINITY) == "+Inf");
  CHECK(value_of(-INFINITY) == "-Inf");
  CHECK(value_of(0) == "0");
  CHECK(value_of(-3) == "-3");
  CHECK(value_of(0.1) == "0.1");
  CHECK(value_of(123456789012345.0) == "123456789012345");
  CHECK(value_of(1763728000.123) == "1763728000.123");
  CHECK(value_of(std::numeric_limits<double>::max()) == "1.7976931348623157e+308");
  CHECK(value_of(std::numeric_limits<double>::denorm_min()) == "4.94065645841247e-324");
  for (const double value : {1.0 / 3, 2.0 / 3, 1e-9, 1e15 + 1, 0.1 + 0.2, -1.5e-300})
    CHECK(std::stod(value_of(value)) == value);
}

TEST_CASE("Numbers have a point where the application's language has a comma", "[exposition]") {
  /* No machine has a certain language; so one is made. */
  char folder[] = "/tmp/pgcache-locale.XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  const string path = folder;
  std::ofstream(path + "/source")
      << "LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \"\"\ngrouping -1\nEND LC_NUMERIC\n";
  const int made =
      system(("localedef -c --no-archive -i " + path + "/source " + path + "/comma >/dev/null 2>&1").c_str());
  setenv("LOCPATH", folder, 1);
  const bool set = setlocale(LC_NUMERIC, "comma") != nullptr;
  unsetenv("LOCPATH");
  char text[8];
  snprintf(text, sizeof text, "%.1f", 1.5);
  const string here = text;
  const string written = value_of(0.25);
  snprintf(text, sizeof text, "%.1f", 1.5);
  const string after = text;
  setlocale(LC_NUMERIC, "C");
  CHECK(system(("rm -rf " + path).c_str()) == 0);
  CHECK(written == "0.25");
  CHECK(after == here); /* the thread has its own language back */
  if (set)
    CHECK(here == "1,5");
  else
    WARN("skipped: localedef made no language with a comma here (" << made << ")");
}

TEST_CASE("A histogram's buckets are those of its unit, rise, and end with all", "[exposition]") {
  const auto bounds = [](const char *unit) {
    const string name = *unit != '\0' ? string("h_") + unit : "h";
    string found;
    const string text = samples({Made().histogram(name.c_str(), "", unit, {}, 1, {3}).source()});
    for (size_t at = 0; (at = text.find("le=\"", at)) != string::npos; at++)
      found += text.substr(at + 4, text.find('"', at + 4) - at - 4) + " ";
    return found;
  };
  CHECK(bounds("seconds") ==
        "1e-06 2.5e-06 5e-06 1e-05 2.5e-05 5e-05 0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 "
        "0.05 0.1 0.25 0.5 1.0 2.5 5.0 10.0 +Inf ");
  CHECK(bounds("bytes") ==
        "64.0 256.0 1024.0 4096.0 16384.0 65536.0 262144.0 1.048576e+06 4.194304e+06 1.6777216e+07 +Inf ");
  CHECK(bounds("") == "0.0 1.0 5.0 10.0 25.0 50.0 100.0 250.0 500.0 1000.0 2500.0 5000.0 10000.0 25000.0 50000.0 "
                      "100000.0 250000.0 500000.0 1e+06 +Inf ");

  /* The texts of bounds are their values: one value on each is in its bucket, and not in the one before. */
  for (const char *unit : {"seconds", "bytes", ""}) {
    const double per_unit = string(unit) == "seconds" ? 1e9 : 1;
    string list = bounds(unit), last;
    for (size_t at = 0, end; (end = list.find(' ', at)) != string::npos; at = end + 1) {
      const string bound = list.substr(at, end - at);
      if (bound == "+Inf")
        continue;
      const auto value = static_cast<int64_t>(std::llround(std::stod(bound) * per_unit));
      const string text = samples({Made().histogram("h", "", unit, {}, per_unit, {value}).source()});
      INFO(unit << " " << bound << "\n" << text);
      CHECK(text.find("le=\"" + bound + "\"} 1\n") != string::npos);
      if (!last.empty())
        CHECK(text.find("le=\"" + last + "\"} 0\n") != string::npos);
      last = bound;
    }
  }

  /* An empty one has all its lines. */
  const string empty = samples({Made().histogram("h_seconds", "", "seconds", {{"a", "b"}}, 1e9, {}).source()});
  CHECK(empty.find("h_seconds_bucket{a=\"b\",le=\"+Inf\"} 0\nh_seconds_sum{a=\"b\"} 0\nh_seconds_count{a=\"b\"} 0\n") !=
        string::npos);
  /* A sum is in the unit. */
  const string sum = samples({Made().histogram("h_seconds", "", "seconds", {}, 1e9, {1500000000, 250000000}).source()});
  CHECK(sum.find("h_seconds_sum 1.75\n") != string::npos);
}

TEST_CASE("Samples of one name stand together, whichever snapshot they are of", "[exposition]") {
  const Made first =
      Made().value(PGCACHE_GAUGE, "a", "A", "", {}, 1).value(PGCACHE_GAUGE, "b", "B", "", {{"x", "y"}}, 2);
  const Made second = Made()
                          .value(PGCACHE_GAUGE, "c", "C", "", {}, 3)
                          .value(PGCACHE_GAUGE, "b", "other words", "", {{"x", "y"}}, 4)
                          .value(PGCACHE_GAUGE, "a", "A", "", {}, 5);
  const Made third =
      Made().value(PGCACHE_COUNTER, "a", "of another kind", "", {}, 6).value(PGCACHE_GAUGE, "c", "C", "", {}, 7);
  CHECK(exposition({first.source("cache", "one"), second.source("cache", "two"), third.source()}, text_format) ==
        "# HELP a A\n# TYPE a gauge\na{cache=\"one\"} 1\na{cache=\"two\"} 5\n"
        "# HELP b B\n# TYPE b gauge\nb{cache=\"one\",x=\"y\"} 2\nb{cache=\"two\",x=\"y\"} 4\n"
        "# HELP c C\n# TYPE c gauge\nc{cache=\"two\"} 3\nc 7\n");
}

TEST_CASE("Arguments that are wrong are refused, and nothing is written", "[exposition]") {
  const Made made = Made().value(PGCACHE_GAUGE, "a", "A", "", {{"x", "y"}}, 1);
  FILE *file = tmpfile();
  REQUIRE(file != nullptr);
  const auto write = [&](const Sources &sources, int format = PGCACHE_PROMETHEUS_TEXT) {
    Error error;
    const pgcache_status status = pgcache_prometheus_write(file, sources.data(), sources.size(),
                                                           static_cast<pgcache_prometheus_format>(format), &error);
    CHECK((status == PGCACHE_OK || error.status == status));
    CHECK((status == PGCACHE_OK || error.text().size() > 10));
    return status;
  };
  for (const char *name : {"", "1a", "a-b", "a b", "__a", "le", "x", "a\xc3\xa4"})
    CHECK(write({made.source(name, "v")}) == PGCACHE_INVALID);
  CHECK(write({made.source(), made.source()}) == PGCACHE_INVALID);
  CHECK(write({made.source("c", "1"), made.source("c", "1")}) == PGCACHE_INVALID);
  CHECK(write({made.source("c", nullptr), made.source("c", "")}) == PGCACHE_INVALID);
  CHECK(write({PGCACHE_PROMETHEUS_SOURCE_INIT}) == PGCACHE_INVALID);
  CHECK(write({{0, made.get(), nullptr, nullptr}}) == PGCACHE_INVALID);
  CHECK(write({made.source(), {sizeof(pgcache_prometheus_source) + 8, made.get(), "a", "b"}}) == PGCACHE_INVALID);
  CHECK(write({made.source()}, 2) == PGCACHE_INVALID);
  CHECK(write({made.source()}, -1) == PGCACHE_INVALID);
  CHECK(write(Sources(PGCACHE_PROMETHEUS_SOURCES_MAX + 1, made.source())) == PGCACHE_INVALID);
  CHECK(pgcache_prometheus_write(nullptr, nullptr, 0, text_format, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_prometheus_write(file, nullptr, 1, text_format, nullptr) == PGCACHE_INVALID);
  CHECK(ftell(file) == 0);

  for (const char *name : {"_", "a", "Z_9", "cache"})
    CHECK(write({made.source(name, "v")}) == PGCACHE_OK);
  CHECK(write({made.source(), made.source("c", nullptr), made.source("d", nullptr), made.source("c", "1")}) ==
        PGCACHE_OK);
  CHECK(ftell(file) > 0);
  CHECK(fclose(file) == 0);

  char *text = nullptr;
  size_t length = 1;
  const pgcache_prometheus_source wrong = PGCACHE_PROMETHEUS_SOURCE_INIT;
  CHECK(pgcache_prometheus_text(nullptr, &length, nullptr, 0, text_format, nullptr) == PGCACHE_INVALID);
  CHECK(length == 0);
  length = 1;
  CHECK(pgcache_prometheus_text(&text, &length, &wrong, 1, text_format, nullptr) == PGCACHE_INVALID);
  CHECK(text == nullptr);
  CHECK(length == 0);
  REQUIRE(pgcache_prometheus_text(&text, nullptr, nullptr, 0, text_format, nullptr) == PGCACHE_OK);
  CHECK(string(text).empty());
  pgcache_prometheus_text_free(text);
  pgcache_prometheus_text_free(nullptr);
  CHECK(string(pgcache_prometheus_content_type(text_format)) == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(string(pgcache_prometheus_content_type(open_metrics)) ==
        "application/openmetrics-text; version=1.0.0; charset=utf-8");
  CHECK(string(pgcache_prometheus_content_type(static_cast<pgcache_prometheus_format>(7))).empty());
}

TEST_CASE("A file that takes nothing is told by ferror", "[exposition]") {
  FILE *full = fopen("/dev/full", "w");
  REQUIRE(full != nullptr);
  const Made made = one_of_each();
  const pgcache_prometheus_source source = made.source();
  CHECK(pgcache_prometheus_write(full, &source, 1, text_format, nullptr) == PGCACHE_OK);
  CHECK((fflush(full) != 0 || ferror(full) != 0));
  fclose(full);
}

TEST_CASE("A newer caller's longer sources are walked by their own size", "[exposition][rule:sizes]") {
  struct Newer {
    pgcache_prometheus_source source;
    void *more;
  };
  const Made made = Made().value(PGCACHE_GAUGE, "a", "A", "", {}, 1);
  Newer sources[2] = {{made.source("c", "1"), nullptr}, {made.source("c", "2"), nullptr}};
  sources[0].source.struct_size = sources[1].source.struct_size = sizeof(Newer);
  char *text = nullptr;
  REQUIRE(pgcache_prometheus_text(&text, nullptr, &sources[0].source, 2, text_format, nullptr) == PGCACHE_OK);
  CHECK(string(text) == "# HELP a A\n# TYPE a gauge\na{c=\"1\"} 1\na{c=\"2\"} 1\n");
  pgcache_prometheus_text_free(text);
}
