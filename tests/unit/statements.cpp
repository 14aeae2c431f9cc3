/*
 * statements.cpp - what the engine sends together: a statement of many keys has one namespace and one set of tags.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "engine.hpp"

#include <mutex>
#include <thread>
#include <vector>

namespace {

/* What the entry number `number` depends on: none, one or two tags; put in one of two namespaces. */
std::vector<pgc_digest> tags_of(unsigned number) {
  std::vector<pgc_digest> tags;
  for (unsigned bit = 0; bit < 2; bit++)
    if ((number >> bit & 1) != 0)
      tags.push_back(test::digest_of(1000 + bit));
  return tags;
}

const char *namespace_of(unsigned number) {
  return number % 3 == 0 ? "one" : "other";
}

} // namespace

TEST_CASE("Puts go together where their tags are the same, and no entry gets another's",
          "[statements][rule:dependencies]") {
  std::mutex busy; /* while it is held the engine's thread does not take in requests */
  unsigned statements = 0, keys = 0, wrong = 0;
  test::Engine engine([&](pgc_op &op) {
    const std::lock_guard<std::mutex> guard(busy);
    statements++;
    for (size_t i = 0; i < op.count; i++) {
      unsigned number = 0;
      memcpy(&number, op.keys[i].digest.bytes, sizeof number);
      const std::vector<pgc_digest> tags = tags_of(number);
      wrong += op.tag_count != tags.size() || strcmp(op.namespace_name, namespace_of(number)) != 0 ||
               (!tags.empty() && memcmp(op.tags, tags.data(), tags.size() * sizeof(pgc_digest)) != 0);
      op.keys[i].status = PGCACHE_OK;
      keys++;
    }
    return PGCACHE_OK;
  });
  constexpr unsigned COUNT = 600;
  std::vector<std::vector<pgc_digest>> tags;
  for (unsigned i = 0; i < COUNT; i++)
    tags.push_back(tags_of(i));
  std::vector<uint64_t> ids;
  {
    const std::lock_guard<std::mutex> guard(busy);
    for (unsigned i = 0; i < COUNT; i++) {
      pgc_request *request = test::request_for(PGC_OP_PUT, i, namespace_of(i));
      request->tags = tags[i].data();
      request->tag_count = tags[i].size();
      ids.push_back(engine.submit(request));
    }
  }
  for (const uint64_t id : ids) {
    pgc_request *out = engine.await(id);
    REQUIRE(out != nullptr);
    CHECK(out->status == PGCACHE_OK);
    pgc_request_free(out);
  }
  CHECK(wrong == 0);
  CHECK(keys == COUNT);
  CHECK(statements <= 2 * 8); /* those before the engine's thread had to wait, and one of each kind */
}
