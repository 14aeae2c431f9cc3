/*
 * libpq_fails.cpp - see libpq_fails.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/libpq_fails.hpp"

#include <atomic>
#include <dlfcn.h>
#include <libpq-fe.h>

namespace {

std::atomic<long> left{0}; /* calls until the one that fails; 0: none does */
std::atomic<const char *> failed_one{nullptr};

bool fails(const char *name) {
  if (left.load() <= 0 || --left != 0)
    return false;
  failed_one = name;
  return true;
}

template <class Function> Function *next(const char *name, Function *) {
  return reinterpret_cast<Function *>(dlsym(RTLD_NEXT, name));
}

} // namespace

#define REAL(name) static const auto real = next(#name, &name)
#define OURS __attribute__((visibility("default")))

extern "C" {

OURS int PQsendQuery(PGconn *pg, const char *sql) {
  REAL(PQsendQuery);
  return fails("PQsendQuery") ? 0 : real(pg, sql);
}

OURS int PQsendQueryParams(PGconn *pg, const char *sql, int count, const Oid *types, const char *const *values,
                           const int *lengths, const int *formats, int format) {
  REAL(PQsendQueryParams);
  return fails("PQsendQueryParams") ? 0 : real(pg, sql, count, types, values, lengths, formats, format);
}

OURS int PQsendPrepare(PGconn *pg, const char *name, const char *sql, int count, const Oid *types) {
  REAL(PQsendPrepare);
  return fails("PQsendPrepare") ? 0 : real(pg, name, sql, count, types);
}

OURS int PQsendQueryPrepared(PGconn *pg, const char *name, int count, const char *const *values, const int *lengths,
                             const int *formats, int format) {
  REAL(PQsendQueryPrepared);
  return fails("PQsendQueryPrepared") ? 0 : real(pg, name, count, values, lengths, formats, format);
}

OURS int PQenterPipelineMode(PGconn *pg) {
  REAL(PQenterPipelineMode);
  return fails("PQenterPipelineMode") ? 0 : real(pg);
}

OURS int PQpipelineSync(PGconn *pg) {
  REAL(PQpipelineSync);
  return fails("PQpipelineSync") ? 0 : real(pg);
}

OURS int PQexitPipelineMode(PGconn *pg) {
  REAL(PQexitPipelineMode);
  return fails("PQexitPipelineMode") ? 0 : real(pg);
}

OURS int PQsetnonblocking(PGconn *pg, int on) {
  REAL(PQsetnonblocking);
  return fails("PQsetnonblocking") ? -1 : real(pg, on);
}

OURS PGconn *PQconnectStartParams(const char *const *names, const char *const *values, int expand) {
  REAL(PQconnectStartParams);
  return fails("PQconnectStartParams") ? nullptr : real(names, values, expand);
}

OURS PQconninfoOption *PQconninfoParse(const char *text, char **problem) {
  REAL(PQconninfoParse);
  if (!fails("PQconninfoParse"))
    return real(text, problem);
  *problem = nullptr;
  return nullptr;
}
}

namespace test {

LibpqFails::LibpqFails(long n) {
  failed_one = nullptr;
  left = n;
}

LibpqFails::~LibpqFails() {
  left = 0;
}

bool LibpqFails::failed() {
  return failed_one != nullptr;
}

std::string LibpqFails::who() {
  const char *name = failed_one;
  return name != nullptr ? name : "nobody";
}

} // namespace test
