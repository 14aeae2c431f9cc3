/*
 * doctor.cpp - what the doctor says of the near cache: whether it can hear of changes, and what to do if not.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"

#include "support/pooler.hpp"
#include "support/report.hpp"

using namespace test;
using std::string;

namespace {

bool has(const string &text, const string &part) {
  return text.find(part) != string::npos;
}

} // namespace

TEST_CASE("Doctor: a near cache that is off, one that nobody has used, and one that listens", "[doctor]") {
  Store store;
  Finding finding = examine(store.cache).the("near");
  CHECK(finding.severity == "ok");
  CHECK(has(finding.finding, "switched off"));

  Cache cache = store.open(near_on());
  finding = examine(cache).the("near");
  CHECK(finding.severity == "ok");
  CHECK(has(finding.finding, "will listen at the url"));
  CHECK(has(finding.evidence, "16777216"));
  CHECK(cache.counters().connections_opened == 1); /* the question opens none */
  Cache elsewhere = store.open(near_on({{"listen_url", url()}}));
  CHECK(has(examine(elsewhere).the("near").finding, "at listen_url"));

  listens(cache);
  finding = examine(cache).the("near");
  CHECK(finding.severity == "ok");
  CHECK(has(finding.finding, "hears of every change"));
  CHECK(eventually([&] { return has(examine(cache).the("near").evidence, "the relay"); })); /* it is alone */
}

TEST_CASE("[A36] Doctor: behind a pooler the near cache is off, and the remedy is listen_url",
          "[A36][doctor][pooler]") {
  Store store;
  Pooler pooler;
  const Settings through = {{"url", pooler.conninfo()}, {"prepared", "off"}};
  const auto check = [](const Finding &finding) {
    CHECK(finding.severity == "warning");
    CHECK(has(finding.finding, "stays off: a connection pooler"));
    CHECK(has(finding.remedy, "listen_url"));
  };
  Cache cache = store.open(near_on(through));
  check(examine(cache).the("near"));
  CHECK(cache.get("k") == PGCACHE_MISS);
  CHECK(cache.fence() == PGCACHE_BAD_SETTING);
  const Finding known = examine(cache).the("near");
  check(known);
  CHECK(has(known.evidence, "changes cannot be heard"));

  Settings with = near_on(through);
  with.emplace_back("listen_url", url());
  Cache past = store.open(with);
  CHECK(examine(past).the("near").severity == "ok");
  listens(past);
  CHECK(has(examine(past).the("near").finding, "hears of every change"));

  with = near_on(through);
  with.emplace_back("near_max_bytes", "0");
  Cache off = store.open(with);
  CHECK(examine(off).above("info").count("near") == 0);
}

TEST_CASE("Doctor: a near cache whose connection cannot be opened", "[doctor]") {
  Store store;
  Cache cache = store.open(near_on({{"listen_url", "host=/nonexistent"}}));
  CHECK(cache.get("k") == PGCACHE_MISS);
  CHECK(cache.fence() == PGCACHE_UNAVAILABLE);
  const Finding finding = examine(cache).the("near");
  CHECK(finding.severity == "warning");
  CHECK(has(finding.finding, "hears of nothing"));
  CHECK(has(finding.evidence, "cannot connect"));
}
