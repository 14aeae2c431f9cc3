/*
 * scene.hpp - readers who load a value from a row, a writer who changes the row and says so, and whoever else may come in
 * between, each with a session of his own and the library's real statements. One interleaving after the other, each with a
 * row, key and tag of its own; after every step an observer reads the cache, and what anybody is given is judged.
 *
 * Owns the meaning of the steps and the judgement. Never chooses an order.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_LOADS_SCENE_HPP
#define PGCACHE_TESTS_LOADS_SCENE_HPP

#include "loads/plants.hpp"
#include "loads/schedule.hpp"
#include "loads/session.hpp"

#include <map>
#include <memory>

namespace loads {

enum Step {
  LEASE,      /* begin_load: the lease, or a value that is served */
  READ,       /* the row, as the application does */
  FILL,       /* fill_load with what was read; nothing without a lease */
  GET,        /* what it gives is served */
  BEGIN,      /* a transaction, at the isolation level of the interleaving */
  UPDATE,     /* the row */
  INVALIDATE, /* its key or tag */
  CHANGE,     /* both, as a transaction of its own */
  SAVEPOINT,
  RELEASE,
  ROLLBACK_TO,
  COMMIT,
  ROLLBACK,
  PREPARE, /* TRANSACTION */
  COMMIT_PREPARED,
  ROLLBACK_PREPARED,
  PUT,    /* what the row has now: a load that is under way is over */
  REMOVE, /* likewise */
  TOUCH,  /* the entry */
  EXPIRE, /* the time of all leases is over */
};

/* What the entry depends on, and how the writer says that it is over. */
enum Depends { ON_KEY, ON_TAG, ON_WATCHED };

struct Actor {
  const char *name;
  std::vector<Step> steps;
};

struct Setting {
  std::string isolation = "READ COMMITTED"; /* of the writer */
  Depends depends = ON_KEY;
  bool busy =
      false; /* somebody else's transaction is open all the time, and others end between the steps: snapshots have gaps */
};

struct Tally {
  int64_t interleavings = 0, violations = 0, blocked = 0, filled = 0, refused = 0, served = 0;
  std::string first; /* violation */
};

class Scene {
public:
  explicit Scene(const Plant *plant = nullptr); /* with a bug in the statements */
  /* Readers come first. Each statement that has to wait for a lock is counted, and its actor's steps come later. */
  void play(const std::vector<Actor> &actors, const Order &order, const Setting &setting, Tally *tally);
  test::Store store;

private:
  struct Player {
    std::unique_ptr<Session> session;
    std::string token, read;
    bool leased = false;
    int64_t leased_at = 0;  /* as a number of steps */
    std::vector<Step> late; /* steps that wait for one that is blocked */
    size_t next = 0;
    Step under_way = GET;
  };
  /* `{s}` stands for the cache's schema, `{a}` for that of the application's rows. */
  std::string sql(std::string text) const;
  void open(Player *player);
  void new_rows();
  std::string tags() const;
  void start(Player *player, Step step);
  bool finish(Player *player, Tally *tally);
  void judge(const std::string &value, const char *who, int floor, Tally *tally);
  void observe(Tally *tally);
  void load_at_last(Tally *tally);
  void violation(const std::string &what, Tally *tally);
  std::string played() const;

  test::Schema application_;
  test::Pg monitor_;
  std::map<std::string, std::string> texts_;
  std::vector<Player> players_;
  std::unique_ptr<Session> observer_, bystander_;
  bool bystander_busy_ = false;

  std::vector<test::Row> names_; /* of the rows not used yet: number, digest of the key, of the tag */
  int64_t row_ = 0, tokens_ = 0;
  std::string key_digest_, tag_digest_;

  Setting setting_;
  std::string said_;  /* what was done, for the message */
  int committed_ = 0; /* what a value must show at least */
  bool undone_ = false;
  int64_t steps_ = 0, written_at_ = 0; /* when the entry was put or removed */
  int floor_ = 0;                      /* of the step under way: as of its beginning */
};

} // namespace loads

#endif
