/*
 * scene.cpp - see scene.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/scene.hpp"

#include "support/private_server.hpp"

extern "C" {
#include "pgc_sql.h"
#include "platform/buffer.h"
#include "pure/sql_text.h"
}

#include <stdexcept>

namespace loads {

namespace {

constexpr int ROWS = 2000; /* made at a time */

const char *const names[] = {
    "lease",     "read",    "fill",        "get",    "begin",    "update",  "invalidate",      "change",
    "savepoint", "release", "rollback to", "commit", "rollback", "prepare", "commit prepared", "rollback prepared",
    "put",       "remove",  "touch",       "expire"};

/* The texts of the statements, as they are embedded in the library. */
const struct {
  const char *name, *text;
} statements[] = {
    {"begin_load", pgc_sql_statements_begin_load},
    {"fill_load", pgc_sql_statements_fill_load},
    {"get", pgc_sql_statements_get},
    {"put", pgc_sql_statements_put},
    {"remove", pgc_sql_statements_remove},
    {"touch", pgc_sql_statements_touch},
};

std::string resolved(const char *text, const std::string &schema) {
  pgc_buffer out = {};
  pgc_sql_resolve_alone(&out, text, schema.c_str(), {false, true});
  const std::string copy(reinterpret_cast<const char *>(out.data), out.size);
  pgc_buffer_clear(&out);
  return copy;
}

/* Of their own, because transactions are prepared. Nobody but the players may make one of them wait for a lock. */
const std::string &address() {
  static test::PrivateServer server({"max_connections = 60", "max_prepared_transactions = 4", "autovacuum = off"});
  static const std::string conninfo = server.conninfo();
  return conninfo;
}

/* The digit that is the value, of a bytea in hexadecimal. */
std::string digit(const std::string &value) {
  return value.size() == 4 && value.compare(0, 3, "\\x3") == 0 ? value.substr(3) : "no value of ours: " + value;
}

/* Whether others can be given something else after this step than before it. */
bool may_show(Step step) {
  return step == FILL || step == UPDATE || step == CHANGE || step == COMMIT || step == COMMIT_PREPARED ||
         step == ROLLBACK || step == ROLLBACK_PREPARED || step == PUT || step == TOUCH;
}

} // namespace

Scene::Scene(const Plant *plant) : store({}, address()), application_(address()), monitor_(address()) {
  store.pg.exec(sql("CREATE SCHEMA {a}; CREATE TABLE {a}.item (id bigint PRIMARY KEY, n int NOT NULL);"
                    "CREATE TABLE {a}.watched_item (id bigint PRIMARY KEY, n int NOT NULL);"
                    "SELECT {s}.watch('{a}.watched_item', ARRAY['row:<id>'])"));
  if (plant != nullptr && *plant->schema != '\0')
    store.pg.exec(sql(plant->schema));
  for (const auto &statement : statements) {
    const std::string text = resolved(statement.text, store.schema());
    texts_[statement.name] = plant != nullptr ? planted(*plant, statement.name, text) : text;
  }
  players_.resize(4);
  for (Player &player : players_)
    open(&player);
  observer_ = std::make_unique<Session>(address(), monitor_);
  observer_->prepare("get", texts_["get"]);
  observer_->prepare("pass by", "SELECT pg_current_xact_id()");
  bystander_ = std::make_unique<Session>(address(), monitor_);
}

std::string Scene::sql(std::string text) const {
  for (size_t at; (at = text.find("{a}")) != std::string::npos;)
    text.replace(at, 3, application_.name());
  return store.sql(text);
}

void Scene::open(Player *player) {
  player->session = std::make_unique<Session>(address(), monitor_);
  player->session->pg().exec("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;"
                             "SET enable_bitmapscan = off");
  for (const auto &[name, text] : texts_)
    player->session->prepare(name, text);
  for (const char *table : {"item", "watched_item"})
    player->session->prepare(std::string("read ") + table,
                             sql("SELECT n FROM {a}.") + table + " WHERE id = $1::bigint");
}

/* So that no interleaving has to tidy up. */
void Scene::new_rows() {
  const std::string from = std::to_string(row_ + 1), to = std::to_string(row_ + ROWS);
  const std::string series = " FROM generate_series(" + from + "::bigint, " + to + ") i";
  store.pg.exec(sql("INSERT INTO {a}.item SELECT i, 0") + series + sql("; INSERT INTO {a}.watched_item SELECT i, 0") +
                series);
  names_ =
      store.pg.query(sql("SELECT i, {s}.digest('k' || i), {s}.tag_digest('row:' || i)") + series + " ORDER BY i DESC");
}

std::string Scene::played() const {
  static const char *const on[] = {"its key", "a tag", "a watched table"};
  return said_ + "(" + setting_.isolation + ", depends on " + on[setting_.depends] +
         (setting_.busy ? ", others write)" : ")");
}

void Scene::violation(const std::string &what, Tally *tally) {
  if (tally->violations++ == 0)
    tally->first = what + ": " + played();
}

void Scene::judge(const std::string &value, const char *who, int floor, Tally *tally) {
  if (value == "NULL")
    return;
  tally->served++;
  const std::string n = digit(value);
  if (n != "0" && n != "1")
    violation(std::string(who) + " was given " + n, tally);
  else if (n < std::to_string(floor))
    violation(std::string(who) + " was given what a commit had made false", tally);
  else if (n == "1" && undone_)
    violation(std::string(who) + " was given what was rolled back", tally);
}

std::string Scene::tags() const {
  return setting_.depends == ON_KEY ? "NULL" : "{" + tag_digest_ + "}";
}

void Scene::start(Player *player, Step step) {
  Session &session = *player->session;
  const bool watched = setting_.depends == ON_WATCHED;
  const std::string table = watched ? "watched_item" : "item", id = std::to_string(row_);
  const std::string prepared = "'" + store.schema() + "-" + id + "'";
  const auto text = [&](const std::string &words) { session.send("", sql(words), {}); };
  player->under_way = step;
  steps_++;
  floor_ = committed_;
  switch (step) {
  case LEASE: {
    char token[40];
    snprintf(token, sizeof token, "00000000-0000-4000-8000-%012llx", static_cast<unsigned long long>(++tokens_));
    player->token = token;
    session.send("begin_load", "", {key_digest_, token, "60000", "f"});
    break;
  }
  case READ:
    session.send("read " + table, "", {id});
    break;
  case FILL:
    session.send("fill_load", "",
                 {key_digest_, player->token, "default", "\\x" + std::string("6b"), "\\x3" + player->read, "0", "60000",
                  "0", "0", "0", tags()});
    break;
  case GET:
    session.send("get", "", {key_digest_});
    break;
  case BEGIN:
    text("BEGIN ISOLATION LEVEL " + setting_.isolation);
    break;
  case UPDATE:
    text("UPDATE {a}." + table + " SET n = n + 1 WHERE id = " + id);
    break;
  case INVALIDATE:
  case CHANGE:
    text((step == CHANGE ? "UPDATE {a}." + table + " SET n = n + 1 WHERE id = " + id + ";" : std::string()) +
         (setting_.depends == ON_KEY ? "SELECT {s}.invalidate(keys => ARRAY['k" + id + "'])"
                                     : "SELECT {s}.invalidate(ARRAY['row:" + id + "'])"));
    break;
  case SAVEPOINT:
    text("SAVEPOINT s");
    break;
  case RELEASE:
    text("RELEASE s");
    break;
  case ROLLBACK_TO:
    text("ROLLBACK TO s");
    break;
  case COMMIT:
    text("COMMIT");
    break;
  case ROLLBACK:
    text("ROLLBACK");
    break;
  case PREPARE:
    text("PREPARE TRANSACTION " + prepared);
    break;
  case COMMIT_PREPARED:
    text("COMMIT PREPARED " + prepared);
    break;
  case ROLLBACK_PREPARED:
    text("ROLLBACK PREPARED " + prepared);
    break;
  case PUT:
    session.send("put", "",
                 {key_digest_, "default", "\\x6b", "\\x3" + std::to_string(committed_), "0", "60000", "0", tags()});
    break;
  case REMOVE:
    session.send("remove", "", {key_digest_});
    break;
  case TOUCH:
    session.send("touch", "", {key_digest_, "60000"});
    break;
  case EXPIRE:
    text("UPDATE {s}.leases SET deadline = '-infinity'");
    break;
  }
}

/* False: it waits for a lock. */
bool Scene::finish(Player *player, Tally *tally) {
  Session &session = *player->session;
  if (!session.settle())
    return false;
  const Result &result = session.result();
  const std::string step = names[player->under_way];
  if (result.sqlstate != "00000")
    throw std::runtime_error(step + " failed with " + result.sqlstate + ": " + played());
  const auto &rows = result.rows;
  switch (player->under_way) {
  case LEASE:
    player->leased = rows.at(0).at(0) == "t";
    player->leased_at = steps_;
    if (!player->leased)
      judge(rows[0][3], "a reader, by begin_load,", floor_, tally);
    break;
  case READ:
    player->read = rows.at(0).at(0);
    break;
  case FILL:
    (rows.at(0).at(0) == "NULL" ? tally->refused : tally->filled)++;
    player->leased = false;
    if (rows[0][0] != "NULL" && player->leased_at < written_at_)
      violation("a fill replaced what was put, or brought back what was removed, during its load", tally);
    break;
  case PUT:
  case REMOVE:
    written_at_ = steps_;
    break;
  case GET:
    if (!rows.empty())
      judge(rows[0].at(0), "a reader", floor_, tally);
    break;
  case COMMIT:
  case COMMIT_PREPARED:
  case CHANGE:
    committed_ = undone_ ? 0 : 1;
    break;
  case UPDATE:
    if (setting_.depends == ON_WATCHED && PQtransactionStatus(player->session->pg().raw()) == PQTRANS_IDLE)
      committed_ = 1; /* a transaction of its own */
    break;
  default:
    break;
  }
  return true;
}

void Scene::observe(Tally *tally) {
  const Result &got = observer_->run("get", {key_digest_});
  if (!got.rows.empty())
    judge(got.rows[0].at(0), "an observer", committed_, tally);
}

/* When all is over: a load brings what is true, at once. */
void Scene::load_at_last(Tally *tally) {
  Session &session = *players_[0].session;
  const Result begun = session.run("begin_load", {key_digest_, "00000000-0000-4000-8000-ffffffffffff", "60000", "f"});
  const std::string now = std::to_string(committed_);
  if (begun.rows.at(0).at(0) == "t") {
    const Result filled = session.run("fill_load", {key_digest_, "00000000-0000-4000-8000-ffffffffffff", "default",
                                                    "\\x6b", "\\x3" + now, "0", "60000", "0", "0", "0", tags()});
    if (filled.rows.at(0).at(0) == "NULL")
      violation("a load when all was over was refused", tally);
  } else if (begun.rows[0].at(3) == "NULL") {
    violation("nobody loads, and nobody can: the lease was not given back", tally);
    return;
  }
  const Result got = session.run("get", {key_digest_});
  if (got.rows.empty() || digit(got.rows[0].at(0)) != now)
    violation("when all was over, a load did not bring what is true", tally);
}

void Scene::play(const std::vector<Actor> &actors, const Order &order, const Setting &setting, Tally *tally) {
  if (names_.empty())
    new_rows();
  row_ = std::stoll(names_.back().at(0));
  key_digest_ = names_.back().at(1);
  tag_digest_ = names_.back().at(2);
  names_.pop_back();
  setting_ = setting;
  committed_ = 0;
  steps_ = written_at_ = 0;
  said_.clear();
  undone_ = false;
  if (setting.busy != bystander_busy_) {
    bystander_->pg().exec(setting.busy ? "BEGIN; SELECT pg_current_xact_id()" : "COMMIT");
    bystander_busy_ = setting.busy;
  }
  for (size_t i = 0; i < actors.size(); i++) {
    players_[i].leased = false;
    players_[i].next = 0;
    players_[i].late.clear();
    for (const Step step : actors[i].steps)
      undone_ = undone_ || step == ROLLBACK || step == ROLLBACK_TO || step == ROLLBACK_PREPARED;
  }
  /* Without a lease there is nothing to load. */
  const auto idle = [](const Player &player, Step step) { return (step == READ || step == FILL) && !player.leased; };
  const auto act = [&](size_t i, Step step) {
    Player &player = players_[i];
    if (!idle(player, step)) {
      if (setting.busy)
        observer_->run("pass by", {});
      said_ += std::string(actors[i].name) + " " + names[step] + "; ";
      start(&player, step);
      if (!finish(&player, tally)) {
        said_ += "(which waits) ";
        tally->blocked++;
        return;
      }
    }
    if (may_show(step))
      observe(tally);
  };
  const auto catch_up = [&](size_t i) { /* true: it is free */
                                        Player &player = players_[i];
                                        while (player.session->busy() || !player.late.empty()) {
                                          if (player.session->busy() && !finish(&player, tally))
                                            return false;
                                          if (!player.late.empty()) {
                                            const Step step = player.late.front();
                                            player.late.erase(player.late.begin());
                                            act(i, step);
                                          }
                                        }
                                        return true;
  };
  for (const int turn : order) {
    const size_t i = static_cast<size_t>(turn);
    const Step step = actors[i].steps[players_[i].next++];
    if (catch_up(i))
      act(i, step);
    else
      players_[i].late.push_back(step);
  }
  for (int round = 0, waiting = 1; waiting > 0; round++) {
    waiting = 0;
    for (size_t i = 0; i < actors.size(); i++)
      waiting += catch_up(i) ? 0 : 1;
    if (round > 1000)
      throw std::runtime_error("the steps wait for each other: " + played());
  }
  observe(tally);
  load_at_last(tally);
  tally->interleavings++;
}

} // namespace loads
