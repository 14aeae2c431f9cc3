/*
 * near.cpp - tests of the near cache: what is let in, what goes, and what a hit is.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"

#include <set>

using test::digest_of;
using test::Near;

TEST_CASE("what was let in is found, and is the very value", "[near]") {
  Near near;
  CHECK(near.find("a").answer == PGC_NEAR_NOTHING);
  pgcache_value *made = Near::value(7, "text");
  pgc_digest digest = digest_of("a");
  pgc_near_key key = near.key("a");
  REQUIRE(pgc_near_fill(near.self, &key, &digest, nullptr, 0, near.begin("a"), made, near.now));
  pgcache_value *found = nullptr;
  REQUIRE(pgc_near_find(near.self, &key, near.now, &found) == PGC_NEAR_HIT);
  CHECK(found == made);
  pgc_value_release(found);
  pgc_value_release(made);
  CHECK(near.holds("a", 7));
  CHECK_FALSE(near.holds("a", 6));
  CHECK_FALSE(near.holds("b", 7));
  pgc_near_counts counts = near.counts();
  CHECK(counts.hits == 1);
  CHECK(counts.misses == 1);
  CHECK(counts.fills == 1);
  CHECK(counts.entries == 1);
}

TEST_CASE("a value outlives the near cache that gave it", "[near]") {
  pgcache_value *found = nullptr;
  {
    Near near;
    REQUIRE(near.fill("a", 7, "lives on"));
    pgc_near_key key = near.key("a");
    REQUIRE(pgc_near_find(near.self, &key, near.now, &found) == PGC_NEAR_HIT);
  }
  CHECK(std::string(static_cast<const char *>(pgcache_value_data(found))) == "lives on");
  CHECK(found->refs == 1);
  pgc_value_release(found);
}

TEST_CASE("references are paid for anew when many were taken", "[near]") {
  Near near;
  REQUIRE(near.fill("a", 7));
  pgc_near_key key = near.key("a");
  const size_t many = 3 << 20; /* more than are prepaid */
  pgcache_value *found = nullptr, *first = nullptr;
  for (size_t i = 0; i < many; i++) {
    if (pgc_near_find(near.self, &key, near.now, &found) != PGC_NEAR_HIT)
      FAIL("no hit");
    if (i == 0)
      first = found;
    else if (i % 2 == 0)
      pgc_value_release(found); /* the other half is held */
  }
  near.changed("a", 8);
  CHECK(first->refs == many / 2 + 1);
  pgc_value_release_many(first, many / 2 + 1); /* frees it: ASan looks */
}

TEST_CASE("names and keys are told apart wherever their border is", "[near]") {
  Near near;
  pgc_near_key ab_c = pgc_near_key_of(near.self, "ab", "c", 1);
  pgc_near_key a_bc = pgc_near_key_of(near.self, "a", "bc", 2);
  pgc_near_key zero = pgc_near_key_of(near.self, "a", "\0bc", 3);
  CHECK(memcmp(&ab_c, &a_bc, sizeof ab_c) != 0);
  CHECK(memcmp(&a_bc, &zero, sizeof zero) != 0);
  pgc_near_key again = pgc_near_key_of(near.self, "ab", "c", 1);
  CHECK(memcmp(&ab_c, &again, sizeof again) == 0);
  Near other;
  pgc_near_key elsewhere = pgc_near_key_of(other.self, "ab", "c", 1);
  CHECK(memcmp(&ab_c, &elsewhere, sizeof ab_c) != 0);
}

TEST_CASE("before the first proof and past the bound nothing is a hit: lapses", "[near][lease]") {
  pgc_near *self = pgc_near_new(8 << 20, 0, Near::bound_us, 0);
  CHECK(pgc_near_valid_until(self) == INT64_MIN);
  pgc_near_free(self);

  Near near;
  REQUIRE(near.fill("a", 1));
  REQUIRE(near.fill_absent("b", near.begin("b")));
  CHECK(pgc_near_valid_until(near.self) == near.now + Near::bound_us);
  CHECK(near.find("a", Near::bound_us - 1).answer == PGC_NEAR_HIT);
  CHECK(near.find("a", Near::bound_us).answer == PGC_NEAR_NOTHING);
  CHECK(near.find("b", Near::bound_us - 1).answer == PGC_NEAR_ABSENT);
  CHECK(near.find("b", Near::bound_us).answer == PGC_NEAR_NOTHING);
  CHECK(near.find("c", Near::bound_us).answer == PGC_NEAR_NOTHING); /* was not there anyway */
  CHECK(near.counts().lapses == 2);
  CHECK(near.counts().misses == 3);
  pgc_near_prove(near.self, near.now - 5, 0); /* an older proof takes nothing back */
  CHECK(pgc_near_valid_until(near.self) == near.now + Near::bound_us);
  pgc_near_prove(near.self, near.now + 1, 0);
  CHECK(near.find("a", Near::bound_us).answer == PGC_NEAR_HIT);
  pgc_near_prove(near.self, INT64_MAX - 1, 0);
  CHECK(pgc_near_valid_until(near.self) == INT64_MAX);
}

TEST_CASE("an expired entry is no hit, and gives way to any other", "[near]") {
  Near near;
  REQUIRE(near.fill("a", near.begin("a"), 5, "x", {}, near.now + 10));
  CHECK(near.find("a", 9).answer == PGC_NEAR_HIT);
  CHECK(near.find("a", 10).answer == PGC_NEAR_NOTHING);
  CHECK(near.counts().lapses == 0);
  near.now += 10;
  CHECK(near.fill("a", 4, "older, but alive"));
  CHECK(near.find("a").version == 4);
}

TEST_CASE("a read that was under way when its entry was heard of is not let in", "[near][ticket][A34]") {
  Near near;
  const pgc_near_ticket ticket = near.begin("a");
  SECTION("changed") {
    near.changed("a", 2);
  }
  SECTION("invalidated") {
    near.invalidated("a");
  }
  SECTION("written with a value") {
    near.written("a", ticket, 2, "two");
  }
  SECTION("written without one") {
    near.written("a", ticket, 0, nullptr);
  }
  SECTION("flushed") {
    pgc_near_flush(near.self, PGC_NEAR_FLUSH_GAP);
  }
  SECTION("heard of, read anew, and heard of again") {
    near.changed("a", 2);
    REQUIRE(near.fill("a", 2));
    near.changed("a", 3);
    REQUIRE(near.fill("a", 3));
  }
  const test::Found before = near.find("a");
  CHECK_FALSE(near.fill("a", ticket, 1, "one"));
  CHECK_FALSE(near.fill_absent("a", ticket));
  CHECK(near.find("a").version == before.version);
  CHECK(near.counts().fills_refused == 2);
  CHECK(near.fill("a", 9, "nine")); /* a new ticket */
}

TEST_CASE("an event takes away what is older, and nothing else", "[near]") {
  Near near;
  for (int i = 0; i < 2000; i++)
    REQUIRE(near.fill(std::to_string(i), 10));
  near.changed("5", 10);
  CHECK(near.hit("5"));
  near.changed("6", 9);
  CHECK(near.hit("6"));
  near.changed("7", 11);
  CHECK_FALSE(near.hit("7"));
  near.invalidated("8");
  CHECK_FALSE(near.hit("8"));
  near.changed("nobody", 11);
  near.invalidated("nobody");
  int there = 0;
  for (int i = 0; i < 2000; i++)
    there += near.hit(std::to_string(i)) ? 1 : 0;
  CHECK(there == 1998);
  CHECK(near.counts().invalidations == 2);
  CHECK(near.counts().entries == 1998);
}

TEST_CASE("one's own write is held, and survives its echo", "[near][echo]") {
  Near near;
  REQUIRE(near.fill("a", 1, "one"));
  near.written("a", near.begin("a"), 2, "two");
  CHECK(near.find("a").text == "two");
  near.changed("a", 2);
  CHECK(near.find("a").text == "two");
  near.changed("a", 3);
  CHECK_FALSE(near.hit("a"));
}

TEST_CASE("what is written without a value, or with a ticket that holds no more, takes the copy away", "[near]") {
  Near near;
  REQUIRE(near.fill("a", 1, "one"));
  near.written("a", near.begin("a"), 2, nullptr);
  CHECK_FALSE(near.hit("a"));
  REQUIRE(near.fill("a", 2, "two"));
  pgc_near_ticket ticket = near.begin("a");
  near.changed("a", 1); /* old news: the copy stays, the ticket does not */
  CHECK(near.hit("a"));
  near.written("a", ticket, 3, "three");
  CHECK_FALSE(near.hit("a"));
  REQUIRE(near.fill("a", 9, "nine"));
  near.written("a", near.begin("a"), 8, "eight"); /* somebody else's write came later and is known here */
  CHECK(near.find("a").text == "nine");
  near.written("a", near.begin("a"), 0, nullptr); /* removed, or nobody knows */
  CHECK_FALSE(near.hit("a"));
}

TEST_CASE("two writers of one process: the later version stays", "[near][echo]") {
  Near near;
  const pgc_near_ticket one = near.begin("a"), two = near.begin("a");
  SECTION("in order") {
    near.written("a", one, 1, "one");
    near.written("a", two, 2, "two");
    CHECK_FALSE(near.hit("a")); /* its ticket saw the other one; the next read fills */
  }
  SECTION("the other way") {
    near.written("a", two, 2, "two");
    near.written("a", one, 1, "one");
    CHECK(near.find("a").text == "two");
  }
}

TEST_CASE("of two reads the newer version stays", "[near]") {
  Near near;
  const pgc_near_ticket ticket = near.begin("a");
  REQUIRE(near.fill("a", ticket, 2, "two"));
  CHECK_FALSE(near.fill("a", ticket, 1, "one"));
  CHECK(near.find("a").text == "two");
  CHECK(near.fill("a", ticket, 2, "two again"));
  CHECK(near.find("a").text == "two again");
  CHECK_FALSE(near.fill_absent("a", ticket));
  CHECK(near.find("a").text == "two again");
}

TEST_CASE("what is absent is remembered for a while, until it is heard of", "[near][absent]") {
  Near near;
  REQUIRE(near.fill_absent("a", near.begin("a")));
  CHECK(near.find("a").answer == PGC_NEAR_ABSENT);
  CHECK(near.counts().absent_hits == 1);
  CHECK(near.counts().entries == 1);
  CHECK_FALSE(near.holds("a", 0));
  SECTION("an event of any version") {
    near.changed("a", 1);
    CHECK(near.find("a").answer == PGC_NEAR_NOTHING);
  }
  SECTION("an invalidation") {
    near.invalidated("a");
    CHECK(near.find("a").answer == PGC_NEAR_NOTHING);
  }
  SECTION("one's own write") {
    near.written("a", near.begin("a"), 1, "one");
    CHECK(near.find("a").text == "one");
  }
  SECTION("a read at the same time, which may have seen what was before") {
    CHECK_FALSE(near.fill("a", 1, "one"));
    CHECK(near.find("a").answer == PGC_NEAR_NOTHING); /* the store is asked again */
  }
  SECTION("time") {
    pgc_near_prove(near.self, near.now + Near::absent_us, 0);
    CHECK(near.find("a", Near::absent_us - 1).answer == PGC_NEAR_ABSENT);
    CHECK(near.find("a", Near::absent_us).answer == PGC_NEAR_NOTHING);
    near.now += Near::absent_us;
    CHECK(near.fill("a", 1, "one"));
    CHECK(near.hit("a"));
  }
}

TEST_CASE("what is absent is not remembered when that is off", "[near][absent]") {
  Near near(8 << 20, 0, 0);
  CHECK_FALSE(near.fill_absent("a", near.begin("a")));
  CHECK(near.find("a").answer == PGC_NEAR_NOTHING);
  CHECK(near.counts().entries == 0);
}

TEST_CASE("an entry goes with any of its tags", "[near][tags]") {
  std::vector<pgc_digest> tags;
  for (int i = 0; i < PGC_NEAR_TAGS_MAX; i++)
    tags.push_back(digest_of("tag" + std::to_string(i)));
  for (int gone = 0; gone < PGC_NEAR_TAGS_MAX; gone++) {
    Near near;
    pgc_near_ticket ticket = near.begin("a");
    REQUIRE(near.fill("a", ticket, 5, "five", tags));
    REQUIRE(near.fill("b", 5, "five"));
    CHECK(near.find("a").text == "five");
    near.invalidated("tag" + std::to_string(gone));
    CHECK_FALSE(near.hit("a"));
    CHECK(near.hit("b"));
    CHECK_FALSE(near.fill("a", ticket, 6, "six", tags));
    CHECK(near.fill("a", near.begin("a"), 4, "older, but it holds", tags));
    CHECK(near.find("a").version == 4);
    near.changed("a", 5);
    CHECK_FALSE(near.hit("a"));
    CHECK(near.fill("a", near.begin("a"), 5, "without"));
    near.invalidated("tag" + std::to_string(gone));
    CHECK(near.hit("a"));
  }
}

TEST_CASE("of tags that are learnt from the answer the last invalidations are remembered", "[near][tags]") {
  Near near;
  const std::vector<pgc_digest> tags = {digest_of("tag")};
  const pgc_near_ticket before = near.begin("a");
  for (int i = 0; i < 1000; i++)
    near.invalidated("other" + std::to_string(i));
  /* All but those whose place, or whose tag's, is one of the others' by chance. */
  const auto let_in = [&](const pgc_near_ticket &ticket, bool tagged) {
    int count = 0;
    for (int i = 0; i < 100; i++) {
      const std::string key = "b" + std::to_string(i);
      count += near.fill(key, ticket, 1, "of other tags all this was",
                         tagged ? std::vector<pgc_digest>{digest_of("of " + key)} : std::vector<pgc_digest>{});
    }
    return count;
  };
  CHECK(let_in(before, true) > 50);
  CHECK(near.fill("a", near.begin("a"), 1, "now", tags));
  near.invalidated("tag");
  CHECK_FALSE(near.hit("a"));
  CHECK_FALSE(near.fill("a", before, 2, "read before that", tags));
  for (int i = 0; i < 5000; i++)
    near.invalidated("more" + std::to_string(i));
  CHECK(let_in(before, true) == 0);  /* nobody knows any more */
  CHECK(let_in(before, false) > 30); /* but without tags it is known */
}

TEST_CASE("a flush forgets everything, and says why", "[near][flush]") {
  Near near;
  for (int i = 0; i < 1000; i++)
    REQUIRE(near.fill(std::to_string(i), 1));
  const int64_t full = near.counts().bytes;
  for (int reason = 0; reason < PGC_NEAR_FLUSH_REASONS; reason++) {
    pgc_near_flush(near.self, static_cast<pgc_near_flush_reason>(reason));
    CHECK(near.counts().flushes[reason] == 1);
  }
  CHECK(near.counts().entries == 0);
  CHECK(near.counts().bytes < full);
  for (int i = 0; i < 1000; i++)
    CHECK_FALSE(near.hit(std::to_string(i)));
  for (int i = 0; i < 1000; i++)
    REQUIRE(near.fill(std::to_string(i), 1));
  CHECK(near.counts().bytes == full);
}

TEST_CASE("a sample names entries that are there, each once", "[near][sample]") {
  Near near;
  pgc_digest digests[64];
  int64_t versions[64];
  CHECK(pgc_near_sample(near.self, digests, versions, 64) == 0);
  REQUIRE(near.fill_absent("nobody", near.begin("nobody")));
  REQUIRE(near.fill("0", 1));
  size_t once = 0;
  for (int i = 0; i < 100; i++)
    once = std::max(once, pgc_near_sample(near.self, digests, versions, 64));
  CHECK(once == 1);
  for (int i = 1; i < 1000; i++)
    REQUIRE(near.fill(std::to_string(i), i + 1));
  size_t count = pgc_near_sample(near.self, digests, versions, 64);
  CHECK(count > 32);
  for (size_t i = 0; i < count; i++) {
    CHECK(pgc_near_holds(near.self, &digests[i], versions[i]));
    for (size_t j = 0; j < i; j++)
      CHECK(pgc_digest_compare(&digests[i], &digests[j]) != 0);
  }
}

TEST_CASE("what was hit is named once a round, part by part, and the rest not", "[near][used]") {
  const Near near;
  const auto used = [&](size_t most, int64_t now_us, int64_t round_us = 1000) {
    std::vector<pgc_digest> digests(most);
    digests.resize(pgc_near_used(near.self, digests.data(), most, now_us, round_us));
    std::set<std::string> names;
    for (const pgc_digest &one : digests)
      names.emplace(reinterpret_cast<const char *>(one.bytes), sizeof one.bytes);
    CHECK(names.size() == digests.size());
    return names;
  };
  const auto named = [](const pgc_digest &one) {
    return std::string(reinterpret_cast<const char *>(one.bytes), sizeof one.bytes);
  };
  const int many = 3000, hit = 100;
  for (int i = 0; i < many; i++)
    REQUIRE(near.fill("k" + std::to_string(i), i + 1));
  CHECK(used(10, 0).empty()); /* to be let in is no use */
  std::set<std::string> expected;
  for (int i = 0; i < hit; i++) {
    REQUIRE(near.find("k" + std::to_string(i)).answer == PGC_NEAR_HIT);
    expected.insert(named(digest_of("k" + std::to_string(i))));
  }
  CHECK(used(many, 999).empty()); /* the first round began at 0 */
  std::set<std::string> found;
  for (int part = 0; part < 4; part++) {
    const auto some = used(30, 1000);
    CHECK(some.size() == (part < 3 ? 30 : 10));
    found.insert(some.begin(), some.end());
  }
  CHECK(found == expected);
  REQUIRE(near.find("k7").answer == PGC_NEAR_HIT);
  CHECK(used(many, 1999).empty());
  CHECK(used(many, 2000) == std::set<std::string>{named(digest_of("k7"))});
  CHECK(used(many, 3000).empty());
  CHECK(used(many, INT64_MAX - 1, INT64_MAX).empty());
}

TEST_CASE("what is of a later epoch than the proof makes an end to it, until that epoch is proven", "[near][epoch]") {
  const Near near;
  const auto of_epoch = [](int64_t epoch) { return epoch << 47 | 5; };
  CHECK(pgc_near_prove(near.self, near.now, 2));
  REQUIRE(near.fill("old", of_epoch(1))); /* logged entries outlive epochs */
  REQUIRE(near.fill("k", of_epoch(2)));
  CHECK(near.find("k").answer == PGC_NEAR_HIT);

  pgc_near_heed_epoch(near.self, 2);
  CHECK(near.find("k").answer == PGC_NEAR_HIT);
  pgc_near_heed_epoch(near.self, 3);
  for (const char *name : {"old", "k", "other"})
    CHECK(near.find(name).answer == PGC_NEAR_NOTHING);
  pgc_near_counts counts;
  pgc_near_count(near.self, &counts);
  CHECK(counts.flushes[PGC_NEAR_FLUSH_EPOCH] == 1);
  CHECK_FALSE(pgc_near_prove(near.self, near.now + 1, 2)); /* the old server goes on */
  (void)near.fill("k", of_epoch(2));
  CHECK(near.find("k").answer == PGC_NEAR_NOTHING);
  SECTION("found where the store is") {
    CHECK(pgc_near_prove(near.self, near.now + 1, 3));
    REQUIRE(near.fill("other", of_epoch(3)));
    CHECK(near.find("other").answer == PGC_NEAR_HIT);
  }
  SECTION("and gone with the schema") {
    REQUIRE(near.fill("other", of_epoch(3)));
    pgc_near_adopt_epoch(near.self, 3); /* nothing to be said */
    CHECK_FALSE(pgc_near_prove(near.self, near.now + 1, 2));
    pgc_near_adopt_epoch(near.self, 1);
    CHECK(pgc_near_prove(near.self, near.now + 1, 1));
    CHECK(near.find("other").answer == PGC_NEAR_NOTHING);
    REQUIRE(near.fill("k", of_epoch(1)));
    CHECK(near.find("k").answer == PGC_NEAR_HIT);
    pgc_near_heed_epoch(near.self, 2);
    CHECK(near.find("k").answer == PGC_NEAR_NOTHING); /* and again */
  }
}

TEST_CASE("what could be no hit is no sample, and is not held", "[near][sample]") {
  Near near;
  const std::vector<pgc_digest> tags = {digest_of("tag")};
  REQUIRE(near.fill("expired", near.begin("expired"), 1, "x", {}, pgc_now_us() - 1));
  REQUIRE(near.fill("tagged", near.begin("tagged"), 1, "x", tags));
  CHECK_FALSE(near.holds("expired", 1));
  CHECK(near.holds("tagged", 1));
  near.invalidated("tag");
  CHECK_FALSE(near.holds("tagged", 1));
  CHECK(near.counts().entries == 2);
  pgc_digest digests[16];
  int64_t versions[16];
  for (int i = 0; i < 100; i++)
    CHECK(pgc_near_sample(near.self, digests, versions, 16) == 0);
}

TEST_CASE("with too many tags nothing is let in", "[near][tags]") {
  Near near;
  const std::vector<pgc_digest> tags(PGC_NEAR_TAGS_MAX + 1, digest_of("tag"));
  CHECK_FALSE(near.fill("a", near.begin("a"), 1, "x", tags));
  CHECK(near.find("a").answer == PGC_NEAR_NOTHING);
}

TEST_CASE("a value that is part of something larger is copied", "[near]") {
  static int freed;
  alignas(8) static const char bytes[] = "abc";
  freed = 0;
  Near near;
  pgcache_value *made = pgc_value_adopt(bytes, 3, &freed, [](void *owner) { ++*static_cast<int *>(owner); });
  made->version = 3;
  made->format = 1;
  made->expires_at_us = near.now + 100;
  pgc_digest digest = digest_of("a");
  pgc_near_key key = near.key("a");
  REQUIRE(pgc_near_fill(near.self, &key, &digest, nullptr, 0, near.begin("a"), made, near.now));
  pgc_value_release(made);
  CHECK(freed == 1);
  pgcache_value *found = nullptr;
  REQUIRE(pgc_near_find(near.self, &key, near.now, &found) == PGC_NEAR_HIT);
  CHECK(std::string(static_cast<const char *>(pgcache_value_data(found))) == "abc");
  CHECK(found->version == 3);
  CHECK(found->format == 1);
  CHECK(found->expires_at_us == near.now + 100);
  pgc_value_release(found);
}
