/*
 * near_bound.cpp - tests of the near cache's limits: bytes counted exactly, entries, what is too large, no memory; and of
 * which entries go when it is full.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"
#include "support/sanitizer.hpp"

#include <malloc.h>

#include <random>

using test::digest_of;
using test::Near;

namespace {

/* What the library has allocated, by the allocator's own word of each block, and the most that it ever was. */
class Heap {
public:
  Heap() {
    now() = most() = 0;
    pgc_memory_set_hooks(alloc, resize);
    pgc_memory_set_free_hook(release);
  }
  Heap(const Heap &) = delete;
  Heap &operator=(const Heap &) = delete;
  ~Heap() {
    pgc_memory_set_hooks(nullptr, nullptr);
    pgc_memory_set_free_hook(nullptr);
  }
  static int64_t &now() {
    static int64_t bytes;
    return bytes;
  }
  static int64_t &most() {
    static int64_t bytes;
    return bytes;
  }

private:
  static int64_t taken(void *block) { /* with the word that glibc keeps before each */
    return static_cast<int64_t>(malloc_usable_size(block) + sizeof(size_t));
  }
  static void *alloc(size_t size) {
    void *block = std::malloc(size);
    now() += taken(block);
    most() = std::max(most(), now());
    return block;
  }
  static void *resize(void *, size_t) {
    return nullptr; /* the near cache never does */
  }
  static void release(void *block) {
    if (block != nullptr)
      now() -= taken(block);
    std::free(block);
  }
};

/* It may count more than is taken: whether a large block is rounded to pages, the allocator decides anew each time. With a
   sanitizer's allocator nothing can be said. */
const bool heap_is_known = !test::is_sanitized();

} // namespace

TEST_CASE("the bytes that it counts are those that the heap has given, and stay within the bound",
          "[near][bound][A37]") {
  const int64_t bound = 6 << 20;
  Heap heap;
  {
    Near near(bound);
    std::mt19937 random(1);
    const std::vector<pgc_digest> tags = {digest_of("t"), digest_of("u")};
    int64_t evicted = 0, worst = 0;
    for (int i = 0; i < 60000; i++) {
      const std::string name = std::to_string(random() % 50000);
      const size_t large = i < 20000   ? 300
                           : i < 40000 ? 60000
                                       : 60; /* the sizes change: slots, then bytes, then slots */
      switch (random() % 8) {
      case 0:
        near.fill_absent(name, near.begin(name));
        break;
      case 1:
        near.fill(name, near.begin(name), i, std::string(random() % large, 'x'), tags);
        break;
      case 2:
        near.changed(name, INT64_MAX);
        break;
      case 3:
        near.written(name, near.begin(name), i, std::string(random() % large, 'y').c_str());
        break;
      default:
        near.fill(name, i, std::string(random() % large, 'z'));
      }
      if (i % 16 == 0)
        near.hit(name);
      if (i % 64 != 0)
        continue;
      const pgc_near_counts counts = near.counts();
      worst = std::max(worst, counts.bytes);
      evicted = counts.evictions;
      if (counts.bytes > bound || (heap_is_known && counts.bytes < Heap::now()) ||
          (heap_is_known && counts.bytes - Heap::now() > 65536 + counts.bytes / 50))
        FAIL("it counts " << counts.bytes << " of at most " << bound << ", the heap has given " << Heap::now());
    }
    CHECK(evicted > 1000);
    CHECK(worst > bound * 9 / 10);
    if (heap_is_known) /* one value at a time is the caller's, who has not given it back yet */
      CHECK(Heap::most() < bound + 65536);
  }
  CHECK(Heap::now() == 0);
}

TEST_CASE("so many entries and no more", "[near][bound]") {
  for (int64_t most : {1, 10, 300, 5000}) {
    Near near(64 << 20, most);
    for (int i = 0; i < 20000; i++) {
      near.fill(std::to_string(i), 1);
      if (near.counts().entries > most)
        FAIL(near.counts().entries << " of at most " << most);
    }
    CHECK(near.counts().entries == most);
    CHECK(near.counts().evictions == 20000 - most);
  }
}

TEST_CASE("what is larger than an eighth of a shard is not let in, and pushes nothing out", "[near][bound]") {
  Near near(4 << 20);
  REQUIRE(near.fill("small", 1));
  CHECK_FALSE(near.fill("large", 1, std::string(512 << 10, 'x')));
  CHECK(near.fill("half a MiB less what all share", 1, std::string(400 << 10, 'x')));
  near.written("large", near.begin("large"), 1, std::string(512 << 10, 'x').c_str());
  CHECK_FALSE(near.hit("large"));
  CHECK(near.hit("small"));
  CHECK(near.counts().evictions == 0);
  REQUIRE(near.fill("now large", 1));
  near.written("now large", near.begin("now large"), 2, std::string(512 << 10, 'x').c_str());
  CHECK_FALSE(near.hit("now large"));
}

TEST_CASE("a bound that is too small for anything holds nothing, and all calls work", "[near][bound]") {
  for (int64_t bytes : {1, 1000, 100000}) {
    Near near(bytes);
    REQUIRE(near.self != nullptr);
    CHECK_FALSE(near.fill("a", 1));
    CHECK_FALSE(near.fill_absent("b", near.begin("b")));
    near.written("a", near.begin("a"), 1, "x");
    near.changed("a", 2);
    near.invalidated("a");
    pgc_near_flush(near.self, PGC_NEAR_FLUSH_GAP);
    CHECK_FALSE(near.hit("a"));
    CHECK(near.counts().entries == 0);
  }
}

TEST_CASE("the memory of a near cache beyond its values", "[near][bound][print]") {
  for (const int entries : {10000, 100000}) {
    Near near(256 << 20);
    const int64_t empty = near.counts().bytes;
    for (int i = 0; i < entries; i++)
      near.fill("key:" + std::to_string(i), 1, std::string(100, 'x'));
    const double all = static_cast<double>(near.counts().bytes - empty) / entries;
    const double block = static_cast<double>((sizeof(pgcache_value) + 100 + 1 + 8 + 15) / 16 * 16);
    std::printf("near: %d entries of 100 bytes: %.1f bytes each, of which the value's block has %.0f, slot and indexes "
                "%.1f; %lld bytes at once for all\n",
                entries, all, block, all - block, static_cast<long long>(empty));
    CHECK(all - block < 96);
  }
}

TEST_CASE("without memory nothing is let in, and what is heard of still goes", "[near][allocation]") {
  const pgc_digest kept = digest_of("kept");
  long points = test::fail_each_allocation(test::Failing::Once, [&] {
    Near near(1 << 20, 300);
    if (near.self == nullptr)
      return PGCACHE_NO_MEMORY;
    bool all = true;
    for (int i = 0; i < 400; i++) {
      const std::string name = std::to_string(i);
      const int64_t before = near.counts().evictions;
      const bool done = near.fill(name, near.begin(name), i, "text", {kept});
      CHECK(near.hit(name) == done);
      all = all && done;
      CHECK(near.counts().evictions - before <= 2);
    }
    for (int i = 0; i < 400; i += 2) {
      near.changed(std::to_string(i), 1000);
      CHECK_FALSE(near.hit(std::to_string(i)));
    }
    near.invalidated("kept");
    for (int i = 0; i < 400; i++)
      CHECK_FALSE(near.hit(std::to_string(i)));
    /* Indexes and notes that could not grow are no failure: nobody is told. */
    return all && test::Allocations::failed() == 0 ? PGCACHE_OK : PGCACHE_NO_MEMORY;
  });
  CHECK(points > 400);
}

TEST_CASE("out of memory for good: changes and flushes need none", "[near][allocation]") {
  Near near(8 << 20);
  for (int i = 0; i < 1000; i++)
    REQUIRE(near.fill(std::to_string(i), 1));
  test::Allocations allocations(1, test::Failing::FromThenOn);
  for (int i = 0; i < 500; i++)
    near.changed(std::to_string(i), 2);
  near.written("600", near.begin("600"), 2, nullptr);
  near.written("601", near.begin("601"), 0, nullptr);
  CHECK(near.counts().entries == 498);
  pgc_near_flush(near.self, PGC_NEAR_FLUSH_GAP);
  CHECK(near.counts().entries == 0);
  CHECK(test::Allocations::count() == 0);
}

/* ---- Which entries go: one shard, so that the order is exact ------------------------------------------------------------- */

TEST_CASE("one pass over many keys pushes out nothing that is in use", "[near][policy]") {
  Near near(64 << 20, 100);
  for (int i = 0; i < 90; i++)
    near.fill("used" + std::to_string(i), 1);
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 90; i++)
      CHECK(near.hit("used" + std::to_string(i)));
  }
  for (int i = 0; i < 10000; i++)
    near.fill("once" + std::to_string(i), 1);
  int there = 0;
  for (int i = 0; i < 90; i++)
    there += near.hit("used" + std::to_string(i)) ? 1 : 0;
  CHECK(there >= 88); /* of the others one or two look like one that went before, by chance */
}

TEST_CASE("what was hit once leaves, what was hit twice stays", "[near][policy]") {
  Near near(64 << 20, 100);
  for (int i = 0; i < 100; i++)
    near.fill(std::to_string(i), 1);
  near.hit("0");
  near.hit("1");
  near.hit("1");
  for (int i = 100; i < 150; i++)
    near.fill(std::to_string(i), 1);
  CHECK_FALSE(near.hit("0"));
  CHECK(near.hit("1"));
  CHECK_FALSE(near.hit("2"));
}

TEST_CASE("the small queue is first in, first out", "[near][policy]") {
  Near near(64 << 20, 100);
  for (int i = 0; i < 100; i++)
    near.fill(std::to_string(i), 1);
  for (int i = 100; i < 130; i++) {
    near.fill(std::to_string(i), 1);
    CHECK_FALSE(near.holds(std::to_string(i - 100), 1));
    CHECK(near.holds(std::to_string(i - 99), 1));
  }
}

TEST_CASE("what comes again soon after it left goes to the main queue", "[near][policy]") {
  Near near(64 << 20, 100);
  for (int i = 0; i < 110; i++)
    near.fill(std::to_string(i), 1);
  REQUIRE_FALSE(near.hit("5"));
  near.fill("5", 1); /* remembered */
  for (int i = 110; i < 230; i++)
    near.fill(std::to_string(i), 1);
  CHECK_FALSE(near.hit("105")); /* came just before it, and left through the small queue */
  CHECK(near.holds("5", 1));
  for (int i = 1000; i < 1300; i++) /* so long that it is forgotten */
    near.fill(std::to_string(i), 1);
  near.fill("0", 1);
  for (int i = 2000; i < 2100; i++)
    near.fill(std::to_string(i), 1);
  CHECK_FALSE(near.hit("0"));
  CHECK(near.holds("5", 1));
}

TEST_CASE("a main queue's entry goes round once for each hit", "[near][policy]") {
  Near near(64 << 20, 10);
  auto to_main = [&near](const std::string &name) {
    near.fill(name, 1);
    near.hit(name);
    near.hit(name);
  };
  for (int i = 0; i < 10; i++)
    to_main("m" + std::to_string(i));
  near.fill("x0", 1); /* all ten are promoted, and the oldest of them goes */
  CHECK_FALSE(near.holds("m0", 1));
  near.hit("m1"); /* once: it goes round, and m2 goes for the next */
  to_main("x1");
  to_main("x2");
  CHECK(near.holds("m1", 1));
}

TEST_CASE("a new copy keeps the place of the one before", "[near][policy]") {
  Near near(64 << 20, 100);
  near.fill("hot", 1);
  for (int i = 0; i < 3; i++)
    near.hit("hot");
  near.written("hot", near.begin("hot"), 2, "two");
  for (int i = 0; i < 150; i++)
    near.fill(std::to_string(i), 1);
  CHECK(near.holds("hot", 2));
}
