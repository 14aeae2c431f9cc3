/*
 * worker.hpp - one thread of the soak: random operations, every answer checked.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_SOAK_WORKER_HPP
#define PGCACHE_SOAK_WORKER_HPP

#include "soak/shared.hpp"
#include "support/handles.hpp"

namespace soak {

/* Works until block.stop. `counters`: the handle for increments, which cannot be one that encrypts; may be the same. */
void work_thread(Block &block, test::Cache &cache, test::Cache &counters, int process, int thread);

} // namespace soak

#endif
