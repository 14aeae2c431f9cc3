/*
 * plants.hpp - bugs planted into the texts of the library's statements, to show that what is there to find them does.
 *
 * Each is one of the ways in which the obvious version of guarded fills fails. Must never leave a text as it was: a plant
 * whose place is not found is an error.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_LOADS_PLANTS_HPP
#define PGCACHE_TESTS_LOADS_PLANTS_HPP

#include <string>
#include <vector>

namespace loads {

struct Plant {
  const char *name;
  const char *schema; /* what is done to the schema before; `{s}` stands for it. "": nothing */
  const char *with;   /* the actor that it takes beside two readers and a writer; "": none */
  struct Change {
    const char *statement, *from, *to;
  };
  std::vector<Change> changes;
};

const std::vector<Plant> &plants();

/* The text with the plant's changes, on one line and without comments. */
std::string planted(const Plant &plant, const std::string &name, const std::string &text);

} // namespace loads

#endif
