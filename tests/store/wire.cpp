/*
 * wire.cpp - what an operation sends: nothing but statements that are prepared already, with parameters and answers in
 * binary.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/proxy.hpp"
#include "support/requests.hpp"
#include "support/server.hpp"

#include <functional>
#include <mutex>

using namespace test;
using std::string;

namespace {

/* Reads the protocol's numbers and names; behind the end there are zeros. */
class Reader {
public:
  explicit Reader(const string &bytes) : bytes_(bytes) {}
  bool ended() const {
    return at_ >= bytes_.size();
  }
  uint32_t number(int size) {
    uint32_t n = 0;
    for (int i = 0; i < size; i++)
      n = n << 8 | static_cast<unsigned char>(take(1)[0]);
    return n;
  }
  string name() {
    string out;
    for (char c; (c = take(1)[0]) != '\0';)
      out += c;
    return out;
  }
  string take(size_t size) {
    string out = ended() ? "" : bytes_.substr(at_, size);
    at_ += size;
    out.resize(size);
    return out;
  }
  bool exact() const {
    return at_ == bytes_.size();
  }

private:
  const string bytes_;
  size_t at_ = 0;
};

/* What is not as it shall be of a Bind message; "" if all is. */
string wrong_with_bind(const string &body) {
  Reader reader(body);
  string wrong;
  reader.name(); /* the portal */
  if (reader.name().empty())
    wrong += " a statement without a name;";
  const uint32_t formats = reader.number(2);
  bool binary = true;
  for (uint32_t i = 0; i < formats; i++)
    binary = reader.number(2) == 1 && binary;
  const uint32_t parameters = reader.number(2);
  /* One format is for all parameters; none says text. */
  if (!binary || (parameters > 0 && formats == 0))
    wrong += " parameters as text;";
  for (uint32_t i = 0; i < parameters; i++) {
    const uint32_t size = reader.number(4);
    if (size != UINT32_MAX) /* NULL */
      reader.take(size);
  }
  const uint32_t results = reader.number(2);
  binary = results > 0;
  for (uint32_t i = 0; i < results; i++)
    binary = reader.number(2) == 1 && binary;
  if (!binary)
    wrong += " results as text;";
  if (!reader.exact())
    wrong += " a length that does not fit;";
  return wrong;
}

struct Sent {
  int binds = 0;
  string wrong;
};

/* Of whole messages. */
Sent read_sent(const string &bytes) {
  Sent out;
  Reader reader(bytes);
  while (!reader.ended()) {
    const char type = static_cast<char>(reader.number(1));
    const string body = reader.take(reader.number(4) - 4);
    switch (type) {
    case 'B':
      out.binds++;
      out.wrong += wrong_with_bind(body);
      break;
    case 'P':
      out.wrong += " a statement that is prepared: " + body.substr(body.find('\0') + 1, 60) + ";";
      break;
    case 'Q':
      out.wrong += " a simple query: " + body.substr(0, 60) + ";";
      break;
    case 'D': /* Describe, Execute, Sync, Flush */
    case 'E':
    case 'S':
    case 'H':
      break;
    default:
      out.wrong += string(" a message of type ") + type + ";";
    }
  }
  return out;
}

struct Operation {
  const char *name;
  std::function<pgcache_status()> run;
  pgcache_status expected;
};

} // namespace

TEST_CASE("Once each statement is prepared, operations send nothing but its name and binary parameters",
          "[wire][direct]") {
  Store store;
  Proxy proxy;
  std::mutex mutex;
  string sent;
  proxy.rewrite([&](Proxy::Direction direction, string &data) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (direction == Proxy::TO_SERVER)
      sent += data;
  });
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
  const Requests requests(cache);
  const auto completed = [&](const Submitted &submitted) {
    return submitted.status == PGCACHE_OK ? requests.wait(submitted.id).status() : submitted.status;
  };
  Items puts, keys;
  for (const char *key : {"a", "b", "c"}) {
    puts.add(key, "value");
    keys.add(key);
  }
  const auto load = [&](const std::function<pgcache_status(pgcache_load *)> &end) {
    pgcache_value *value = nullptr;
    pgcache_load *lease = nullptr;
    pgcache_status status = pgcache_load_begin(cache.raw(), &value, &lease, "l", 1, nullptr, nullptr, nullptr);
    pgcache_value_free(value);
    if (status == PGCACHE_LEASE)
      status = end(lease);
    pgcache_load_free(lease);
    return status;
  };
  const std::vector<Operation> calls = {
      {"put", [&] { return cache.put("k", "v").status; }, PGCACHE_OK},
      {"get", [&] { return cache.get("k").status; }, PGCACHE_OK},
      {"exists", [&] { return cache.exists("k").status; }, PGCACHE_OK},
      {"touch", [&] { return cache.touch("k", 60000).status; }, PGCACHE_OK},
      {"replace", [&] { return cache.replace("k", "w").status; }, PGCACHE_OK},
      {"compare_and_swap", [&] { return cache.compare_and_swap("k", "w", 1).status; }, PGCACHE_EXISTS},
      {"add", [&] { return cache.add("k", "v").status; }, PGCACHE_EXISTS},
      {"remove", [&] { return cache.remove("k").status; }, PGCACHE_OK},
      {"get of nothing", [&] { return cache.get("k").status; }, PGCACHE_MISS},
      {"increment", [&] { return cache.increment("n").status; }, PGCACHE_OK},
      {"put_many", [&] { return pgcache_put_many(cache.raw(), puts.data(), puts.size(), nullptr, nullptr); },
       PGCACHE_OK},
      {"get_many",
       [&] {
         keys.clear_results();
         return pgcache_get_many(cache.raw(), keys.data(), keys.size(), nullptr, nullptr);
       },
       PGCACHE_OK},
      {"remove_many",
       [&] {
         keys.clear_results();
         return pgcache_remove_many(cache.raw(), keys.data(), keys.size(), nullptr, nullptr);
       },
       PGCACHE_OK},
      {"load_begin, load_extend and load_fill",
       [&] {
         return load([](pgcache_load *lease) {
           const pgcache_status extended = pgcache_load_extend(lease, 5000, nullptr, nullptr);
           if (extended != PGCACHE_OK)
             return extended;
           return pgcache_load_fill(lease, nullptr, "v", 1, PGCACHE_FORMAT_BYTES, nullptr, nullptr);
         });
       },
       PGCACHE_OK},
      {"load_begin of what is there", [&] { return load(nullptr); }, PGCACHE_OK},
      {"remove of what was loaded", [&] { return cache.remove("l").status; }, PGCACHE_OK},
      {"load_begin and load_abandon",
       [&] { return load([](pgcache_load *lease) { return pgcache_load_abandon(lease, nullptr, nullptr); }); },
       PGCACHE_OK},
      {"invalidate",
       [&] {
         pgcache_dependency what = PGCACHE_DEPENDENCY_INIT;
         what.name = "k";
         what.name_len = 1;
         return pgcache_invalidate(cache.raw(), &what, 1, nullptr, nullptr);
       },
       PGCACHE_OK},
  };
  const std::vector<Operation> submitted = {
      {"put as a request", [&] { return completed(requests.put("k", "v")); }, PGCACHE_OK},
      {"get as a request", [&] { return completed(requests.get("k")); }, PGCACHE_OK},
      {"exists as a request", [&] { return completed(requests.exists("k")); }, PGCACHE_OK},
      {"touch as a request", [&] { return completed(requests.touch("k", 60000)); }, PGCACHE_OK},
      {"replace as a request", [&] { return completed(requests.replace("k", "w")); }, PGCACHE_OK},
      {"add as a request", [&] { return completed(requests.add("k", "w")); }, PGCACHE_EXISTS},
      {"remove as a request", [&] { return completed(requests.remove("k")); }, PGCACHE_OK},
      {"increment as a request", [&] { return completed(requests.increment("n")); }, PGCACHE_OK},
  };
  /* One after the other: between calls and requests a connection's patience with locks is set anew. */
  for (const auto &operations : {calls, submitted}) {
    for (const bool warm : {false, true}) {
      for (const Operation &operation : operations) {
        {
          const std::lock_guard<std::mutex> lock(mutex);
          sent.clear();
        }
        const pgcache_status status = operation.run();
        const std::lock_guard<std::mutex> lock(mutex);
        INFO(operation.name << ": " << pgcache_status_name(status));
        CHECK(status == operation.expected);
        if (warm) {
          const Sent seen = read_sent(sent);
          CHECK(seen.wrong == "");
          CHECK(seen.binds >= 1);
        }
      }
    }
  }
  CHECK(cache.counters().connections_opened == 1);
}

TEST_CASE("Messages that are not as they shall be are seen", "[wire]") {
  const auto bind = [](const string &statement, const string &formats, const string &results) {
    const string body = string("\0", 1) + statement + string("\0", 1) + formats + string("\0\1\0\0\0\1x", 7) + results;
    return string("B\0\0\0", 4) + static_cast<char>(body.size() + 4) + body;
  };
  const string binary("\0\1\0\1", 4), text("\0\1\0\0", 4), none("\0\0", 2), sync("S\0\0\0\4", 5);
  CHECK(read_sent(bind("get", binary, binary) + sync).wrong == "");
  CHECK(read_sent(bind("get", binary, binary) + sync).binds == 1);
  CHECK(read_sent(sync + bind("", binary, binary)).wrong == " a statement without a name;");
  CHECK(read_sent(bind("get", text, binary)).wrong == " parameters as text;");
  CHECK(read_sent(bind("get", none, binary)).wrong == " parameters as text;");
  CHECK(read_sent(bind("get", binary, text)).wrong == " results as text;");
  CHECK(read_sent(bind("get", binary, none)).wrong == " results as text;");
  CHECK(read_sent(bind("get", binary, binary + "x")).wrong == " a length that does not fit;");
  CHECK(read_sent(string("P\0\0\0\10n\0x\0", 9)).wrong.find(" a statement that is prepared: x") == 0);
  CHECK(read_sent(string("Q\0\0\0\6x\0", 7)).wrong.find(" a simple query: x") == 0);
}
