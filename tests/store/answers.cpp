/*
 * answers.cpp - whatever shape the server's answers have, each call ends with a status that is true, leaves no result
 * behind, and the handle works on: columns of another size or NULL, rows too many, too few or of other keys, errors
 * without a code, words that nobody asked for.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/answers.hpp"
#include "support/catch.hpp"
#include "support/proxy.hpp"
#include "support/requests.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <thread>

using namespace test;
using std::string;

namespace {

Answer many(Cache &cache, decltype(pgcache_get_many) *call, Items &items) {
  Answer answer;
  items.add("k", "new");
  items.add("other", "new");
  answer.status = call(cache.raw(), items.data(), items.size(), nullptr, &answer.error);
  for (size_t i = 0; i < items.size(); i++) {
    if (answer.status < 0 && (items[i].status != answer.status || items[i].result != nullptr || items[i].version != 0))
      throw std::runtime_error("a failed call leaves something in its items");
  }
  return answer;
}

Answer many(Cache &cache, decltype(pgcache_get_many) *call) {
  Items items;
  return many(cache, call, items);
}

Answer keys(Cache &cache) {
  Answer answer;
  constexpr size_t limit = 4;
  pgcache_value *found[3 * limit] = {}; /* more than the call is told of */
  size_t count = 9;
  answer.status = pgcache_keys(cache.raw(), found, limit, &count, nullptr, 0, nullptr, 0, nullptr, &answer.error);
  if (answer.status < 0 && (count != 0 || found[0] != nullptr))
    throw std::runtime_error("a failed keys leaves something behind");
  for (size_t i = limit; i < 3 * limit; i++) {
    if (found[i] != nullptr)
      throw std::runtime_error("keys wrote behind the array");
  }
  for (size_t i = 0; i < count; i++)
    pgcache_value_free(found[i]);
  return answer;
}

Answer stats(Cache &cache) {
  Answer answer;
  pgcache_store_stats out = PGCACHE_STORE_STATS_INIT;
  answer.status = pgcache_stats(cache.raw(), &out, nullptr, &answer.error);
  if (answer.status < 0 && (out.entries != 0 || out.server_version != 0))
    throw std::runtime_error("a failed stats leaves something behind");
  return answer;
}

Answer usage(Cache &cache) {
  Answer answer;
  constexpr size_t limit = 3;
  pgcache_usage out[3 * limit]; /* more than the call is told of */
  std::fill(std::begin(out), std::end(out), pgcache_usage PGCACHE_USAGE_INIT);
  size_t count = 9;
  answer.status = pgcache_read_usage(cache.raw(), out, limit, &count, nullptr, nullptr, &answer.error);
  if (answer.status < 0 && count != 0)
    throw std::runtime_error("a failed usage leaves something behind");
  for (size_t i = limit; i < 3 * limit; i++) {
    if (out[i].entries != 0)
      throw std::runtime_error("usage wrote behind the array");
  }
  return answer;
}

Answer set_limits(Cache &cache) {
  Answer answer;
  answer.status = pgcache_set_limits(cache.raw(), PGCACHE_LIMIT_ALL, 100, 1000000, nullptr, &answer.error);
  return answer;
}

struct Call {
  const char *name;
  size_t columns;
  std::function<Answer(Cache &)> run;
  std::vector<pgcache_status> when_null; /* by column; those not named: PGCACHE_SCHEMA_CHANGED */
};

/* In this column alone a NULL means something. */
std::vector<pgcache_status> null_at(size_t column, pgcache_status status) {
  std::vector<pgcache_status> all(column + 1, PGCACHE_SCHEMA_CHANGED);
  all[column] = status;
  return all;
}

const std::vector<Call> &calls() {
  static const std::vector<Call> all = {
      /* Without tags an entry depends on nothing else. */
      {"get", 10, [](Cache &c) { return c.get("k"); }, null_at(8, PGCACHE_OK)},
      {"get_many", 11, [](Cache &c) { return many(c, pgcache_get_many); }, null_at(9, PGCACHE_OK)},
      {"put", 1, [](Cache &c) { return c.put("k", "new"); }, {}},
      {"put_many", 2, [](Cache &c) { return many(c, pgcache_put_many); }, {}},
      /* NULL in place of a version says that the statement did not apply. */
      {"add", 1, [](Cache &c) { return c.add("k", "new"); }, {PGCACHE_EXISTS}},
      {"replace", 1, [](Cache &c) { return c.replace("k", "new"); }, {PGCACHE_CONFLICT}},
      {"touch", 1, [](Cache &c) { return c.touch("k", 50000); }, {PGCACHE_CONFLICT}},
      {"compare_and_swap",
       1,
       [](Cache &c) { return c.compare_and_swap("k", "new", c.get("k").version); },
       {PGCACHE_EXISTS}},
      {"remove", 1, [](Cache &c) { return c.remove("k"); }, {}},
      {"remove_many", 2, [](Cache &c) { return many(c, pgcache_remove_many); }, {}},
      {"increment", 2, [](Cache &c) { return c.increment("n"); }, {PGCACHE_NOT_A_COUNTER}},
      {"keys", 6, [](Cache &c) { return keys(c); }, {}},
      {"stats", 7, [](Cache &c) { return stats(c); }, {}},
      {"flush",
       3,
       [](Cache &c) { return c.flush(PGCACHE_FLUSH_NAMESPACE); },
       {PGCACHE_SCHEMA_CHANGED, PGCACHE_SCHEMA_CHANGED, PGCACHE_OK}},
      {"cleanup", 9, [](Cache &c) { return c.cleanup(); }, {}},
      {"usage",
       6,
       [](Cache &c) { return usage(c); },
       {PGCACHE_SCHEMA_CHANGED, PGCACHE_SCHEMA_CHANGED, PGCACHE_SCHEMA_CHANGED, PGCACHE_SCHEMA_CHANGED, PGCACHE_OK,
        PGCACHE_OK}},
      {"set_limits", 1, [](Cache &c) { return set_limits(c); }, {}},
  };
  return all;
}

/* A handle with one connection through a proxy, and two entries and a counter to work with. */
struct Scene {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});

  void reset() {
    REQUIRE(store.cache.put("k", "old") == PGCACHE_OK);
    REQUIRE(store.cache.put("other", "old") == PGCACHE_OK);
    REQUIRE(store.cache.put("n", "1", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  }
  /* The connection is open and has prepared what the call needs. */
  void warm(const Call &call) {
    REQUIRE(call.run(cache).status >= 0);
    reset();
  }
};

} // namespace

TEST_CASE("A column that is NULL or of another size is SCHEMA_CHANGED, in every call", "[answers][changed]") {
  Scene scene;
  scene.reset();
  for (const Call &call : calls()) {
    for (size_t column = 0; column < call.columns; column++) {
      for (const bool null : {true, false}) {
        const bool is_value =
            column == 0 && call.columns >= 6 && string(call.name) != "stats" && string(call.name) != "cleanup";
        const bool is_cursor = column == 2 && string(call.name) == "flush"; /* not looked at on the last page */
        if (!null && (is_value || is_cursor))
          continue; /* bytes of any size are right there */
        INFO(call.name << ", column " << column << (null ? ": NULL" : ": a byte too long"));
        scene.warm(call);
        Answer answer;
        {
          Answers answers(scene.proxy, Answers::rows([&](Columns &columns) {
                            if (columns.size() == call.columns) {
                              if (null)
                                columns[column].reset();
                              else
                                columns[column] = columns[column].value_or("") + '\1';
                            }
                            return true;
                          }));
          answer = call.run(scene.cache);
        }
        INFO(answer);
        const pgcache_status expected =
            null && column < call.when_null.size() ? call.when_null[column] : PGCACHE_SCHEMA_CHANGED;
        CHECK(answer == expected);
        if (expected == PGCACHE_SCHEMA_CHANGED)
          CHECK(answer.error.text().find(scene.store.schema()) != string::npos);
        CHECK(call.run(scene.cache).status >= 0);
      }
    }
  }
}

TEST_CASE("Beside a janitor a cleanup walks alone, and its parts of another shape are SCHEMA_CHANGED",
          "[answers][changed][cleanup]") {
  Scene scene;
  scene.reset();
  REQUIRE(scene.cache.cleanup() == PGCACHE_OK);
  const size_t slice = 9, part = 3;
  const auto run = [&](const std::function<void(Columns &)> &change, const Options &options = {}) {
    const Answers answers(scene.proxy, Answers::rows([&](Columns &row) {
                            if (row.size() == slice)
                              row[0] = string(1, '\1'); /* busy */
                            else if (row.size() == part)
                              change(row);
                            return true;
                          }));
    return scene.cache.cleanup(options);
  };
  for (size_t column = 0; column < part; column++) {
    INFO("column " << column);
    CHECK(run([column](Columns &row) { row[column].reset(); }) == PGCACHE_SCHEMA_CHANGED);
    CHECK(scene.cache.get("k").bytes() == "old");
  }
  const auto endless = [](Columns &row) {
    row[1] = wire::number(size_t{1} << 40, 8);
    row[2] = string(1, '\1'); /* there is more in these blocks */
  };
  const Answer late = run(endless, deadline(300));
  CHECK((late == PGCACHE_TIMEOUT || late == PGCACHE_UNKNOWN)); /* between two parts, or within one */
  CHECK(late.error.text() != "");
  CHECK(run([](Columns &row) { row[0] = wire::number(7, 8); }).number == 7);
  CHECK(scene.cache.cleanup() == PGCACHE_OK);
}

TEST_CASE("A row that says that there is no value is a miss", "[answers]") {
  Scene scene;
  scene.reset();
  const auto absent = [&](size_t columns, size_t flags) {
    return Answers::rows([=](Columns &row) {
      if (row.size() == columns)
        row[flags] = wire::number(64, 4);
      return true;
    });
  };
  {
    const Answers answers(scene.proxy, absent(10, 6));
    CHECK(scene.cache.get("k") == PGCACHE_MISS);
  }
  CHECK(scene.cache.get("k").bytes() == "old");
}

TEST_CASE("What the look at the schema gives in another shape lets nobody in", "[answers][changed]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  const size_t columns = 8;
  const auto opened = [&](const Answers::Edit &edit) {
    Proxy proxy;
    Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
    Answer answer;
    {
      const Answers answers(proxy, edit);
      answer = cache.get("k");
    }
    CHECK(eventually([&] { return cache.get("k").bytes() == "v"; }));
    return answer;
  };
  for (size_t column = 0; column < columns; column++) {
    INFO("column " << column << " is NULL");
    const Answer answer = opened(Answers::rows([=](Columns &row) {
      if (row.size() == columns)
        row[column].reset();
      return true;
    }));
    INFO(answer);
    CHECK(answer == PGCACHE_SCHEMA_CHANGED);
  }
  INFO("a way of access that is none of ours");
  const auto access = [&](size_t number) {
    return opened(Answers::rows([=](Columns &row) {
      if (row.size() == columns)
        row[5] = wire::number(number, 4);
      return true;
    }));
  };
  CHECK(access(99).bytes() == "v"); /* as before: with the tables */
  CHECK(access(0xffffffff).bytes() == "v");
}

TEST_CASE("Rows of other keys, twice the same, too many and too few", "[answers][changed]") {
  Scene scene;
  scene.reset();
  struct Case {
    const char *name;
    Call call;
    Answers::Edit edit;
    pgcache_status expected;
  };
  const auto call = [](const char *name) {
    for (const Call &one : calls()) {
      if (one.name == string(name))
        return one;
    }
    throw std::runtime_error("no such call");
  };
  const auto of_another_key = [](size_t columns, size_t digest) {
    auto count = std::make_shared<int>(0);
    return Answers::rows([=](Columns &row) {
      if (row.size() == columns && ++*count == 2) /* the first one is right, and must not stay behind */
        (*row[digest])[15] ^= 1;
      return true;
    });
  };
  const Answers::Edit doubled = [](const Message &message) {
    return message.type == 'D' ? std::vector<Message>{message, message} : std::vector<Message>{message};
  };
  const auto without_rows = [](size_t columns) {
    return Answers::rows([=](Columns &row) { return row.size() != columns; });
  };
  const std::vector<Case> cases = {
      {"get_many", call("get_many"), of_another_key(11, 7), PGCACHE_SCHEMA_CHANGED},
      {"get_many doubled", call("get_many"), doubled, PGCACHE_SCHEMA_CHANGED},
      {"put_many", call("put_many"), of_another_key(2, 0), PGCACHE_SCHEMA_CHANGED},
      {"put_many doubled", call("put_many"), doubled, PGCACHE_SCHEMA_CHANGED},
      {"remove_many", call("remove_many"), of_another_key(2, 0), PGCACHE_SCHEMA_CHANGED},
      {"keys doubled: more than fit", call("keys"), doubled, PGCACHE_SCHEMA_CHANGED},
      {"usage doubled: more than fit", call("usage"), doubled, PGCACHE_SCHEMA_CHANGED},
      {"stats", call("stats"), without_rows(7), PGCACHE_SCHEMA_CHANGED},
      {"get", call("get"), without_rows(10), PGCACHE_MISS},
      {"remove", call("remove"), without_rows(1), PGCACHE_MISS},
      /* No row at all is how a lost marker shows; after a few new epochs that is no accident any more. */
      {"put", call("put"), without_rows(1), PGCACHE_CONFLICT},
      {"put_many", call("put_many"), without_rows(2), PGCACHE_CONFLICT},
      {"increment", call("increment"), without_rows(2), PGCACHE_CONFLICT},
  };
  for (const Case &one : cases) {
    INFO(one.name);
    scene.warm(one.call);
    Answer answer;
    {
      Answers answers(scene.proxy, one.edit);
      answer = one.call.run(scene.cache);
    }
    INFO(answer);
    CHECK(answer == one.expected);
    CHECK(one.call.run(scene.cache).status >= 0);
  }
}

TEST_CASE("An answer with a column less is SCHEMA_CHANGED; one that contradicts itself is no answer", "[answers]") {
  Scene scene;
  scene.reset();
  const auto cut = [](bool description_too) {
    return [=](const Message &message) -> std::vector<Message> {
      if (message.type == 'D' && columns_of(message).size() == 10) {
        Columns columns = columns_of(message);
        columns.pop_back();
        return {row_of(columns)};
      }
      if (message.type == 'T' && description_too && wire::number_at(message.body, 0, 2) == 10) {
        /* The last field is its name, a NUL and 18 bytes: the name's beginning is behind the field before it. */
        const size_t end = message.body.size() - 19;
        size_t begin = end;
        while (begin > 0 && message.body[begin - 1] != '\0' && isprint(message.body[begin - 1]))
          begin--;
        return {{'T', wire::number(9, 2) + message.body.substr(2, begin - 2)}};
      }
      return {message};
    };
  };
  REQUIRE(scene.cache.get("k").bytes() == "old");
  {
    Answers answers(scene.proxy, cut(true));
    CHECK(scene.cache.get("k") == PGCACHE_SCHEMA_CHANGED);
  }
  CHECK(scene.cache.get("k").bytes() == "old");
  {
    Answers answers(scene.proxy, cut(false));
    const Answer answer = scene.cache.get("k");
    INFO(answer);
    CHECK(answer.status < 0);
    CHECK_FALSE(answer.value);
  }
  CHECK(scene.cache.get("k").bytes() == "old");
}

TEST_CASE("Errors without a code, with half a code, and two of them", "[answers][rule:unknown]") {
  Scene scene;
  scene.reset();
  const Message no_code{'E', wire::fields({"SERROR", "VERROR", "Mmade up"})};
  const Message half_a_code = wire::error("5310");
  const auto answered = [&](const std::vector<Message> &said, const std::function<Answer()> &call) {
    REQUIRE(scene.cache.get("k") == PGCACHE_OK);
    REQUIRE(scene.cache.put("k", "old") == PGCACHE_OK);
    Answers answers(scene.proxy, Answers::instead(said));
    return call();
  };
  const auto get = [&] { return scene.cache.get("k"); };
  const auto put = [&] { return scene.cache.put("k", "new"); };
  for (const Message &odd : {no_code, half_a_code}) {
    /* Only libpq makes errors without a code, when its memory runs out. What became of a write nobody knows then. */
    CHECK(answered({odd}, get) == PGCACHE_NO_MEMORY);
    CHECK(answered({odd}, put) == PGCACHE_UNKNOWN);
    CHECK(scene.store.cache.get("k").bytes() == "new");
    CHECK(scene.cache.get("k").bytes() == "new");
  }
  /* The first error is what happened. */
  const Answer two = answered({wire::error("53100"), wire::error("XX000")}, put);
  CHECK(two == PGCACHE_FULL);
  CHECK(string(two.error.sqlstate) == "53100");
  const Answer more = answered({wire::error("53100"), {'C', "SELECT 0" + string(1, '\0')}}, put);
  CHECK(more == PGCACHE_FULL);
  CHECK(scene.cache.put("k", "old") == PGCACHE_OK);
  /* A pooler between us and the server has lost the prepared statement: it is prepared again. */
  CHECK(answered({wire::error("26000")}, get).bytes() == "old");
  CHECK(answered({wire::error("26000")}, put) == PGCACHE_OK);
  CHECK(scene.store.cache.get("k").bytes() == "new");
}

TEST_CASE("The schema check's errors: what is missing, and what is not", "[answers][schema]") {
  Scene scene;
  scene.reset();
  const auto checked = [&](const string &sqlstate) {
    REQUIRE(scene.cache.get("k") == PGCACHE_OK);
    /* The connection is replaced, and the new one asks for the schema before anything else. */
    auto armed = std::make_shared<bool>(true);
    Answers answers(scene.proxy, [=](const Message &message) -> std::vector<Message> {
      if (message.type != 'D' || !*armed)
        return {message};
      const Columns columns = columns_of(message);
      if (columns.size() == 10)
        return {row_of(Columns(10, string()))}; /* ends the old one */
      if (columns.size() != 8)
        return {message};
      *armed = false;
      return {wire::error(sqlstate)};
    });
    CHECK(scene.cache.get("k") == PGCACHE_SCHEMA_CHANGED);
    return scene.cache.get("k");
  };
  CHECK(checked("42P01") == PGCACHE_SCHEMA_MISSING);
  CHECK(checked("3F000") == PGCACHE_SCHEMA_MISSING);
  CHECK(checked("42501") == PGCACHE_DENIED);
  CHECK(scene.cache.get("k").bytes() == "old");
}

TEST_CASE("What the server says unasked: notices are nobody's business, last words end the connection",
          "[answers][reconnect]") {
  Scene scene;
  scene.reset();
  const auto notice = [](const std::vector<string> &fields) { return wire::bytes({'N', wire::fields(fields)}); };
  const string harmless[] = {notice({"SWARNING", "VWARNING", "C01000", "Mhello"}), notice({"Mno fields"}),
                             notice({"SWARNING", "VWARNING", "Mno code"}), notice({"C01000", "Mno severity"})};
  const string last_words[] = {notice({"SFATAL", "VFATAL", "C57P01", "Mgoing"}), notice({"SFATAL", "VFATAL", "Mgoing"}),
                               notice({"SWARNING", "VWARNING", "C57P02", "Mgoing"}), notice({"C57P01", "Mgoing"})};
  const auto after = [&](const string &words) {
    REQUIRE(scene.cache.get("k").bytes() == "old");
    const int before = scene.proxy.accepted();
    scene.proxy.say(words);
    sleep_ms(150); /* longer than a connection is trusted without a look */
    CHECK(scene.cache.get("k").bytes() == "old");
    return scene.proxy.accepted() - before;
  };
  for (const string &words : harmless)
    CHECK(after(words) == 0);
  CHECK(after(harmless[0] + harmless[1]) == 0);
  for (const string &words : last_words)
    CHECK(after(words) == 1);
}

TEST_CASE("Words of the server while a large value is on its way to it do no harm", "[answers]") {
  Scene scene;
  scene.reset();
  REQUIRE(scene.cache.get("k") == PGCACHE_OK);
  const string large(8 * 1024 * 1024, 'x');
  Answer answer;
  scene.proxy.delay(5);
  std::thread writer([&] { answer = scene.cache.put("k", large, deadline(30000)); });
  for (int i = 0; i < 20; i++) {
    sleep_ms(5);
    scene.proxy.say(wire::bytes({'N', wire::fields({"SWARNING", "VWARNING", "C01000", "Mhello"})}));
  }
  writer.join();
  scene.proxy.delay(0);
  INFO(answer);
  CHECK(answer == PGCACHE_OK);
  CHECK(scene.store.cache.get("k").bytes() == large);
}

TEST_CASE("A large write to a peer that has stopped reading and ended its stream was not done", "[rule:unknown]") {
  Scene scene;
  scene.reset();
  REQUIRE(scene.cache.get("k") == PGCACHE_OK);
  scene.proxy.black_hole(true); /* nobody reads: the socket's buffer fills */
  scene.proxy.half_close();     /* and there the stream ends, too */
  const Answer answer = scene.cache.put("k", string(8 * 1024 * 1024, 'x'), deadline(500));
  INFO(answer);
  CHECK((answer == PGCACHE_TIMEOUT || answer == PGCACHE_UNAVAILABLE)); /* on a new connection nobody answers */
  scene.proxy.black_hole(false);
  scene.proxy.cut();
  CHECK(scene.store.cache.get("k").bytes() == "old");
  CHECK(eventually([&] { return scene.cache.get("k").bytes() == "old"; }, 20000));
}

TEST_CASE("The commit of a migration that is never answered is UNKNOWN; a second init settles it",
          "[A20][rule:unknown]") {
  Store other; /* for its connection */
  Schema schema;
  Proxy proxy;
  Cache cache = other.open({{"url", proxy.conninfo()}, {"schema", schema.name()}, {"pool_max", "1"}});
  CHECK(cache.get("k") == PGCACHE_SCHEMA_MISSING);
  proxy.rewrite([](Proxy::Direction direction, string &data) {
    if (direction == Proxy::TO_SERVER && data.find("COMMIT") != string::npos)
      data.clear();
  });
  const Answer lost = cache.init(deadline(1000));
  INFO(lost);
  CHECK(lost == PGCACHE_UNKNOWN);
  proxy.rewrite(nullptr);
  Answer again;
  CHECK(eventually([&] { return (again = cache.init()) == PGCACHE_OK; }, 20000)); /* it was rolled back */
  INFO(again);
  CHECK(cache.put("k", "v") == PGCACHE_OK);
}

TEST_CASE("Requests: errors without a code, with half a code or without a severity; the next one works",
          "[answers][requests]") {
  Scene scene;
  scene.reset();
  const Requests requests(scene.cache);
  const auto answered = [&](const Message &said) {
    REQUIRE(requests.wait(requests.get("k").id) == PGCACHE_OK);
    auto open = std::make_shared<bool>(true);
    const Answers answers(scene.proxy, [=](const Message &message) -> std::vector<Message> {
      if (!*open || message.type != 'D')
        return {message};
      *open = false;
      return {said};
    });
    const Completion completion = requests.wait(requests.get("k", deadline(10000)).id);
    REQUIRE(completion);
    CHECK_FALSE(requests.take());
    return completion.status();
  };
  /* Only libpq makes errors without a code, when its memory runs out: the connection is given up, and a read asked again. */
  CHECK(answered({'E', wire::fields({"SERROR", "VERROR", "Mmade up"})}) == PGCACHE_OK);
  CHECK(answered(wire::error("5310")) == PGCACHE_OK);
  CHECK(answered({'E', wire::fields({"C53100", "Mmade up"})}) < 0);
  CHECK(answered(wire::error("XX000")) == PGCACHE_SERVER_ERROR);
  CHECK(requests.wait(requests.get("k").id).bytes() == "old");
}

TEST_CASE("Requests: a connection on which the look at the schema fails is another one's chance",
          "[answers][requests]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  for (const char *sqlstate : {"25006", "42501", "57P01", "53300", "42P01", "XX000"}) {
    INFO(sqlstate);
    Proxy proxy;
    Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
    const Requests requests(cache);
    auto looks = std::make_shared<std::atomic<int>>(0);
    const auto failing = [=](int times) {
      return [=](const Message &message) -> std::vector<Message> {
        if (message.type == 'D' && columns_of(message).size() == 8 && ++*looks <= times)
          return {wire::error(sqlstate)};
        return {message};
      };
    };
    {
      const Answers answers(proxy, failing(1000));
      const Submitted submitted = requests.get("k", deadline(300));
      REQUIRE(submitted == PGCACHE_OK);
      const Completion completion = requests.wait(submitted.id);
      INFO(completion);
      CHECK(completion.status() < 0);
      CHECK(*looks > 0);
    }
    const Submitted submitted = requests.get("k", deadline(20000));
    REQUIRE(submitted == PGCACHE_OK);
    CHECK(requests.wait(submitted.id).bytes() == "v");
  }
}
