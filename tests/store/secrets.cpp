/*
 * secrets.cpp - no message carries a password, a key or a value, however the address was mistyped. The canaries are
 * words that occur nowhere else; connections really fail.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/interpose.hpp"
#include "support/private_server.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <random>

using namespace test;
using std::string;

namespace {

/* Every secret is made of these words, so that no part of one passes that a separator in its middle cuts off. */
const std::vector<string> CANARIES = {"Xanary", "Quorvex", "Zelkova", "Vintro"};

string lower(string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

/* The first of the words that the text shows, in whatever case; "" if it shows none. */
string shown(const string &text) {
  for (const string &canary : CANARIES) {
    if (lower(text).find(lower(canary)) != string::npos)
      return canary;
  }
  return "";
}

struct Said {
  string text;
  int errors = 0;
  int successes = 0;
};

/* Everything that the library says about an address: when it is set, when a handle is made, when it is used. */
Said everything_said(const string &address) {
  Said said;
  pgcache_config *config = nullptr;
  pgcache *cache = nullptr;
  Error error;
  const auto note = [&](pgcache_status status) {
    if (status < 0)
      said.errors++;
    said.text += error.text() + " " + error.sqlstate + "\n";
  };
  REQUIRE(pgcache_config_new(&config, nullptr) == PGCACHE_OK);
  REQUIRE(pgcache_config_set(config, "near_max_bytes", "0", nullptr) == PGCACHE_OK);
  pgcache_status status = pgcache_config_set(config, "url", address.c_str(), &error);
  note(status);
  if (status == PGCACHE_OK) {
    status = pgcache_new(&cache, config, &error);
    note(status);
  }
  if (status == PGCACHE_OK) {
    const Options options = deadline(1500);
    status = pgcache_put(cache, nullptr, "XanaryKey", 9, "XanaryValue", 11, 0, 1000, &options, &error);
    note(status);
    if (status == PGCACHE_OK)
      said.successes++;
    note(pgcache_init(cache, &options, &error) == PGCACHE_OK ? PGCACHE_OK : PGCACHE_UNAVAILABLE);
  }
  pgcache_free(cache);
  pgcache_config_free(config);
  return said;
}

void check_silent(const string &address) {
  const Said said = everything_said(address);
  INFO("address " << address);
  INFO("said " << said.text);
  CHECK(shown(said.text) == "");
}

/* The words stay whole, as they are what is looked for. Something may come in before their first letter. */
bool spoils_a_word(const string &text, size_t at, bool comes_in) {
  for (const string &canary : CANARIES) {
    const size_t word = text.rfind(canary, at);
    if (word != string::npos && at < word + canary.size() && !(comes_in && at == word))
      return true;
  }
  return false;
}

/* Where a word begins, or something else behind one. */
std::vector<size_t> ends_of_words(const string &text) {
  std::vector<size_t> out;
  for (const string &canary : CANARIES) {
    for (size_t at = text.find(canary); at != string::npos; at = text.find(canary, at + 1)) {
      out.push_back(at);
      if (at + canary.size() < text.size())
        out.push_back(at + canary.size());
    }
  }
  return out;
}

string percent(const string &text) {
  string out;
  for (const char c : text) {
    char code[4];
    snprintf(code, sizeof code, "%%%02x", static_cast<unsigned char>(c));
    out += code;
  }
  return out;
}

} // namespace

TEST_CASE("[A62] A wrong password never shows: keyword form, URI, percent-encoded, quoted", "[A62][A22][secrets]") {
  PrivateServer server({}, {"local all keeper scram-sha-256"});
  Pg admin(server.conninfo());
  admin.exec("CREATE ROLE keeper LOGIN SUPERUSER PASSWORD 'XanaryRight'");
  const string host = percent(server.socket_folder()), folder = server.socket_folder();

  const Said right = everything_said("host=" + folder + " user=keeper dbname=postgres password=XanaryRight");
  CHECK(right.successes == 0); /* there is no schema before init(), which it then makes */
  CHECK(everything_said("postgresql://keeper:XanaryRight@" + host + "/postgres").successes == 1);

  NoNames no_names;
  for (const string password :
       {"XanaryQuorvex", "Xanary Quorvex", "Xanary'Quorvex", "Xanary\\Quorvex", "Xanary@Quorvex", "Xanary/Quorvex",
        "Xanary:Quorvex", "Xanary%Quorvex", "Xanary?Quorvex", "Xanary#Quorvex", "Xanary=Quorvex&Zelkova",
        "Xanary\"Quorvex", "Xanary\xc3\xa9Quorvex", "Xanary\nQuorvex", "Xanary@Quorvex:Zelkova@Vintro"}) {
    string quoted;
    for (const char c : password) {
      if (c == '\'' || c == '\\')
        quoted += '\\';
      quoted += c;
    }
    const string correct = "host=" + folder + " user=keeper dbname=postgres password='" + quoted + "'";
    const Said said = everything_said(correct);
    INFO(said.text);
    CHECK(said.errors >= 1);
    CHECK(said.text.find("28P01") != string::npos);
    check_silent(correct);
    check_silent("postgresql://keeper:" + percent(password) + "@" + host + "/postgres");
    /* As people type it: split in the wrong places, so that parts become host, port, database or parameter. */
    check_silent("postgresql://keeper:" + password + "@" + host + "/postgres");
    check_silent("postgresql://keeper:" + password + "@" + host + ":" + password + "/postgres");
    check_silent("postgresql://" + password + "@" + host + "/postgres");
    check_silent("postgresql://keeper@" + host + ":" + password + "/postgres");
    check_silent("postgresql://keeper@" + host + "/" + password);
    check_silent("postgresql://keeper@" + host + "/postgres?" + password);
    check_silent("postgresql://keeper@" + host + "/postgres?password=" + password);
    check_silent("postgresql://keeper@" + host + "/postgres?sslmode=" + password);
    check_silent("postgresql:/keeper:" + password + "@" + host + "/postgres");
    check_silent("postgres:keeper:" + password + "@" + host);
    check_silent("mysql://keeper:" + password + "@" + host);
    check_silent("host=" + folder + " user=keeper password=" + password);
    check_silent("host=" + folder + " user=keeper " + password);
    check_silent("host=" + folder + " user=" + password);
    check_silent("host=" + folder + " user=keeper dbname=" + password + " password='" + quoted);
    check_silent("host=" + password + " user=keeper");
    check_silent("hostaddr=" + password + " user=keeper");
    check_silent("host=" + folder + " port=" + password);
    check_silent("host=" + folder + " sslmode=" + password);
    check_silent("host=" + folder + " passwd=" + password);
    check_silent("service=" + password);
    check_silent("local:" + password);
    check_silent("null:" + password);
    check_silent(password);
  }
}

TEST_CASE("[A62] Fuzzed addresses never show their secrets", "[A62][secrets][fuzz]") {
  PrivateServer server({}, {"local all keeper scram-sha-256"});
  Pg(server.conninfo()).exec("CREATE ROLE keeper LOGIN PASSWORD 'XanaryRight'");
  const string folder = server.socket_folder(), host = percent(folder);
  const std::vector<string> models = {
      "postgresql://keeper:XanaryQuorvex@" + host + "/postgres",
      "postgresql://keeper:XanaryQuorvex@" + host + ":5432/postgres?application_name=a&password=ZelkovaVintro",
      "postgres://keeper:XanaryQuorvex@127.0.0.1:1," + host + ":5432/postgres?connect_timeout=2",
      "postgresql://XanaryUser:XanaryQuorvex@[::1]:1/postgres",
      "host=" + folder + " user=keeper password=XanaryQuorvex dbname=postgres",
      "host='" + folder + "' password='XanaryQuorvex ZelkovaVintro' user=keeper sslmode=prefer",
      "user=keeper password='Xanary\\'Quorvex' hostaddr=127.0.0.1 port=1",
  };
  const char specials[] = "@:/?#%'\\= &,[]+\"\n\t\x7f\xc3~";
  NoNames no_names;
  INFO("PGCACHE_TEST_SEED=" << seed());
  std::mt19937_64 random(seed());
  int used = 0;
  for (int round = 0; round < longer(400, 20000); round++) {
    string address = models[random() % models.size()];
    for (uint64_t changes = 1 + random() % 3; changes > 0; changes--) {
      const std::vector<size_t> ends = ends_of_words(address);
      const bool at_a_word = !ends.empty() && random() % 2 == 0; /* where a separator breaks a secret in two */
      const size_t at = at_a_word ? ends[random() % ends.size()] : random() % address.size();
      const char special = specials[random() % (sizeof specials - 1)];
      const uint64_t change = random() % 4;
      if (spoils_a_word(address, at, change < 2))
        continue;
      switch (change) {
      case 0:
        address.insert(at, 1, special);
        break;
      case 1:
        address.insert(at, string(":Zelkova@").substr(random() % 2));
        break;
      case 2:
        address[at] = special;
        break;
      default:
        address.erase(at, 1);
        break;
      }
      if (address.empty())
        address = "x";
    }
    check_silent(address);
    used++;
  }
  CHECK(used == longer(400, 20000));
}

TEST_CASE("[A62] Errors of operations show neither key nor value", "[A62][secrets]") {
  Store store(Settings{{"max_value_bytes", "100000"}});
  const string long_key = "XanaryKey" + string(PGCACHE_KEY_MAX, 'k');
  const string long_value = "XanaryValue" + string(100000, 'v');
  string said;
  const auto note = [&](const Answer &answer) {
    REQUIRE(answer.status < 0);
    said += answer.error.text() + "\n";
  };
  note(store.cache.put(long_key, "v"));
  note(store.cache.put("XanaryKey", long_value));
  note(store.cache.get(long_key));
  note(store.cache.put("XanaryKey", "XanaryValue", 0));
  note(store.cache.get("k", in_namespace("Xanary namespace")));
  REQUIRE(store.cache.put("XanaryKey", "XanaryValue") == PGCACHE_OK);
  note(store.cache.increment("XanaryKey"));
  REQUIRE(store.cache.put("XanaryKey", "Xanary", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  note(store.cache.increment("XanaryKey"));
  /* The server's own message and its details would show the row. */
  store.pg.exec(store.sql("ALTER TABLE {s}.entries ADD CONSTRAINT mine CHECK (octet_length(value) < 50) NOT VALID"));
  note(store.cache.put("XanaryKey", "XanaryValue" + string(100, 'v')));
  store.pg.exec(store.sql("ALTER TABLE {s}.entries DROP CONSTRAINT mine"));
  store.pg.exec(
      store.sql("CREATE FUNCTION {s}.tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'key % value %', "
                "convert_from(NEW.key, 'UTF8'), convert_from(NEW.value, 'UTF8'); END $$;"
                "CREATE TRIGGER tell BEFORE INSERT ON {s}.entries FOR EACH ROW EXECUTE FUNCTION {s}.tell()"));
  note(store.cache.put("XanaryKey", "XanaryValue"));
  INFO(said);
  CHECK(shown(said) == "");
}
