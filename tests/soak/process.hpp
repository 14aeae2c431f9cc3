/*
 * process.hpp - one process of the soak: a handle with its settings, the threads on it, and what is left when they ended.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_SOAK_PROCESS_HPP
#define PGCACHE_SOAK_PROCESS_HPP

#include "soak/shared.hpp"

namespace soak {

/* The most connections that the handle of one process opens. */
constexpr int POOL_MAX = 6;

/* Waits for block.go, works until block.stop, and says in the block what is left of it afterwards. */
void work(Block &block, int process);

/* Open descriptors and threads of a process, and the memory of its own that is resident, in KiB; -1 when it is gone. */
int64_t descriptors_of(int pid);
int64_t threads_of(int pid);
int64_t memory_of(int pid);
/* Bytes in use of what malloc() gave this process; 0 where the C library cannot tell. */
int64_t heap_bytes();

} // namespace soak

#endif
