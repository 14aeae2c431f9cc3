/*
 * keyring.cpp - tests of key files: what is read, what is refused and how, and that a key lives in one place of the
 * process's memory and nowhere after it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <sstream>

using test::contains;
using test::Variable;

namespace {

bool no_secret_memory = false;

} // namespace

/* libsodium's, unless a test is out of it. */
extern "C" __attribute__((visibility("default"))) void *sodium_malloc(size_t size) {
  static const auto real = reinterpret_cast<void *(*)(size_t)>(dlsym(RTLD_NEXT, "sodium_malloc"));
  return no_secret_memory ? nullptr : real(size);
}

namespace {

std::string base64(const std::string &bytes) {
  std::string out(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(&out[0], out.size(), reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size(),
                    sodium_base64_VARIANT_ORIGINAL);
  out.pop_back();
  return out;
}

std::string key(char fill) {
  return base64(std::string(PGC_SECRET_SIZE, fill));
}

/* A keyring that goes with its test. */
struct Keyring {
  pgc_keyring *self = nullptr;
  test::Error error;
  pgcache_status status;
  explicit Keyring(const std::string &text) {
    status = pgc_keyring_parse(&self, text.data(), text.size(), &error);
  }
  Keyring(const Keyring &) = delete;
  Keyring &operator=(const Keyring &) = delete;
  ~Keyring() {
    pgc_keyring_free(self);
  }
};

/* A file with a mode; gone with its test. */
struct File {
  std::string path;
  explicit File(const std::string &content, mode_t mode = 0600) {
    char name[] = "/tmp/pgcache-keys-XXXXXX";
    const int file = mkstemp(name);
    REQUIRE(file >= 0);
    REQUIRE(write(file, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    REQUIRE(fchmod(file, mode) == 0);
    close(file);
    path = name;
  }
  File(const File &) = delete;
  File &operator=(const File &) = delete;
  ~File() {
    unlink(path.c_str());
  }
};

std::string failure(const std::string &source) {
  pgc_keyring *keyring = nullptr;
  test::Error error;
  CHECK(pgc_keyring_load(&keyring, source.c_str(), &error) == PGCACHE_BAD_SETTING);
  CHECK(keyring == nullptr);
  return error.text();
}

/* Memory of the test's own that the search leaves out: the needles and what is read of the process stand there. */
struct Scratch {
  static const size_t size = 4 << 20;
  unsigned char *bytes;
  Scratch() {
    void *got = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(got != MAP_FAILED);
    bytes = static_cast<unsigned char *>(got);
  }
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;
  ~Scratch() {
    munmap(bytes, size);
  }
};

struct Found {
  int count = 0;
  std::string permissions; /* of the last one, */
  unsigned long at = 0;    /* and where it is */
};

/* What the kernel knows of the mapping at that address: VmFlags of smaps, each between spaces. */
std::string flags_of(unsigned long at) {
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    char permissions[5] = "";
    if (sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, permissions) == 3)
      inside = begin <= at && at < end;
    else if (inside && line.rfind("VmFlags:", 0) == 0)
      return line + " ";
  }
  return "";
}

/* The sanitizers make nothing of mlock(), and a limit may forbid it. */
bool can_lock() {
  void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(page != MAP_FAILED);
  const bool locked = mlock(page, 4096) == 0 && contains(flags_of(reinterpret_cast<unsigned long>(page)), " lo ");
  munmap(page, 4096);
  return locked;
}

/* How often the needle, which stands in the scratch, occurs in all other memory of this process. */
Found search_memory(const Scratch &scratch, const unsigned char *needle, size_t size) {
  Found found;
  const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  REQUIRE(memory >= 0);
  unsigned char *window = scratch.bytes + (1 << 20);
  const size_t step = 2 << 20;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    char permissions[5] = "";
    if (sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, permissions) != 3 || permissions[0] != 'r')
      continue;
    /* A neighbour of ours may have become one mapping with the scratch: only its own pages are left out. A sanitizer's
       shadow is too large to read, and holds no data. */
    if (end - begin > (1ul << 30))
      continue;
    const unsigned long own = reinterpret_cast<unsigned long>(scratch.bytes), own_end = own + Scratch::size;
    for (unsigned long at = begin; at < end; at += step) {
      const unsigned long stop = std::min(end, at + step + size);
      const ssize_t got = pread(memory, window, std::min<size_t>(stop - at, step + size), static_cast<off_t>(at));
      if (got < static_cast<ssize_t>(size))
        continue;
      const unsigned char *const window_end = window + got, *hit = window;
      while ((hit = static_cast<const unsigned char *>(
                  memmem(hit, static_cast<size_t>(window_end - hit), needle, size))) != nullptr) {
        const unsigned long place = at + static_cast<unsigned long>(hit++ - window);
        if (place >= at + step || (place >= own && place < own_end))
          continue;
        found.count++;
        found.permissions = permissions;
        found.at = place;
      }
    }
  }
  close(memory);
  return found;
}

} // namespace

TEST_CASE("a key file's lines are read in their order", "[keyring]") {
  Keyring keyring("# made in spring\n\n  new_1\t" + key('n') + "  \r\n2024-10 " + key('o') + "\ndigest " + key('d') +
                  "\n");
  REQUIRE(keyring.status == PGCACHE_OK);
  REQUIRE(keyring.self->count == 2);
  CHECK(std::string(keyring.self->secrets[0].id, keyring.self->secrets[0].id_len) == "new_1");
  CHECK(keyring.self->secrets[0].key[31] == 'n');
  CHECK(keyring.self->has_digest_key);
  CHECK(keyring.self->digest_key[0] == 'd');
  REQUIRE(pgc_keyring_find(keyring.self, "2024-10", 7) == &keyring.self->secrets[1]);
  CHECK(keyring.self->secrets[1].key[0] == 'o');
  for (const char *id : {"new_", "new_11", "NEW_1", "digest", ""})
    CHECK(pgc_keyring_find(keyring.self, id, strlen(id)) == nullptr);

  Keyring one_line("a " + key('a') + ";b " + key('b') + ";digest " + key('d')); /* as in an environment variable */
  CHECK(one_line.status == PGCACHE_OK);
  CHECK(one_line.self->count == 2);
  Keyring digest_alone("digest " + key('d'));
  CHECK(digest_alone.status == PGCACHE_OK);
  CHECK(digest_alone.self->count == 0);
}

TEST_CASE("bad lines are refused by their number, without their content", "[keyring][secrets][rule:error]") {
  struct Case {
    std::string line;
    const char *words;
  };
  const std::string secret = key('x');
  const std::vector<Case> cases = {
      {"a", "is not ID and base64"},
      {"a ", "is not ID and base64"},
      {secret, "is not ID and base64"},
      {"A " + secret, "is not ID and base64"},
      {"a=" + secret, "is not ID and base64"},
      {"seventeen_letters " + secret, "is not ID and base64"},
      {"a " + secret.substr(1), "is not ID and base64"},
      {"a " + secret.substr(0, 43), "is not ID and base64"},
      {"a " + secret + "=", "is not ID and base64"},
      {"a " + secret + " " + secret, "is not ID and base64"},
      {"a " + base64(std::string(31, 'x')), "is not ID and base64"},
      {"a " + base64(std::string(33, 'x')), "is not ID and base64"},
      {"a " + secret.substr(0, 20) + "*" + secret.substr(21), "is not ID and base64"},
      {"a \xc3\xa4" + secret, "is not ID and base64"},
      {std::string("a\0", 2) + secret, "is not ID and base64"},
      {"digest nothing", "is not ID and base64"},
      {"a{ " + secret, "is not ID and base64"},
      {"a: " + secret, "is not ID and base64"},
      {"first " + secret, "has the id of a line before it"},
      {"digest " + key('1') + "\ndigest " + key('2'), "is a second digest key"},
  };
  for (const Case &c : cases) {
    INFO(c.line);
    Keyring keyring("# comment\nfirst " + key('f') + "\n" + c.line + "\nlast " + key('l'));
    CHECK(keyring.status == PGCACHE_BAD_SETTING);
    CHECK(keyring.self == nullptr);
    CHECK(contains(keyring.error.text(), c.words));
    CHECK((contains(keyring.error.text(), "line 3 ") || contains(keyring.error.text(), "line 4 ")));
    for (size_t i = 0; i + 4 <= secret.size(); i++)
      CHECK_FALSE(contains(keyring.error.text(), secret.substr(i, 4)));
  }
  std::string many;
  for (int i = 0; i <= PGC_KEYRING_MAX; i++)
    many += "k" + std::to_string(i) + " " + key('k') + "\n";
  CHECK(contains(Keyring(many).error.text(), "line 17 of the key file is one key too many"));
  for (const char *none : {"", "\n\n", "# only words", " \t;;"})
    CHECK(contains(Keyring(none).error.text(), "there is no key"));
}

TEST_CASE("a key file must be a file that others neither read nor change", "[keyring][secrets]") {
  const std::string content = "a " + key('a') + "\n";
  for (const mode_t mode : {0600, 0400, 0640, 0440, 0700}) {
    File file(content, mode);
    pgc_keyring *keyring = nullptr;
    test::Error error;
    INFO("mode " << std::oct << mode);
    CHECK(pgc_keyring_load(&keyring, ("file:" + file.path).c_str(), &error) == PGCACHE_OK);
    CHECK(keyring != nullptr);
    pgc_keyring_free(keyring);
  }
  for (const mode_t mode : {0604, 0602, 0601, 0660, 0620, 0644, 0666, 0777}) {
    File file(content, mode);
    INFO("mode " << std::oct << mode);
    CHECK(contains(failure("file:" + file.path), "can be accessed by other users, or changed by its group"));
  }
  CHECK(contains(failure("file:/nowhere/at/all"), "the key file is not there"));
  CHECK(contains(failure("file:/etc/passwd/x"), "the key file is not there"));
  CHECK(contains(failure("file:/"), "the key file is no regular file"));
  CHECK(contains(failure("file:/dev/zero"), "the key file is no regular file"));
  CHECK(contains(failure("file:/" + std::string(5000, 'x')), "the key file cannot be opened"));
  File pipe(content);
  unlink(pipe.path.c_str());
  REQUIRE(mkfifo(pipe.path.c_str(), 0600) == 0);
  CHECK(contains(failure("file:" + pipe.path), "the key file is no regular file")); /* and does not wait for a writer */
  File full(content + std::string(PGC_KEY_FILE_MAX - content.size(), '\n'));
  pgc_keyring *keyring = nullptr;
  CHECK(pgc_keyring_load(&keyring, ("file:" + full.path).c_str(), nullptr) == PGCACHE_OK);
  pgc_keyring_free(keyring);
  File larger(content + std::string(PGC_KEY_FILE_MAX - content.size() + 1, '\n'));
  CHECK(contains(failure("file:" + larger.path), "the key file is too large"));
}

TEST_CASE("a key file that this process may not open, or cannot read", "[keyring][secrets]") {
  File file("a " + key('a') + "\n");
  if (geteuid() == 0) {
    REQUIRE(seteuid(65534) == 0);
    const std::string words = failure("file:" + file.path);
    REQUIRE(seteuid(0) == 0);
    CHECK(contains(words, "this process may not read it"));
  } else {
    CHECK(contains(failure("file:/etc/shadow"), "this process may not read it"));
  }
  CHECK(contains(failure("file:/proc/self/mem"), "the key file cannot be read")); /* nothing is at its beginning */
  const std::string loop = file.path + "-loop";
  REQUIRE(symlink(loop.c_str(), loop.c_str()) == 0);
  CHECK(contains(failure("file:" + loop), "the key file cannot be opened"));
  unlink(loop.c_str());
}

TEST_CASE("without locked memory there are no keys, and the status says why", "[keyring][allocation]") {
  const std::string text = "a " + key('a');
  Variable variable("PGCACHE_TEST_KEYS", text.c_str());
  File file(text);
  for (const std::string &source : {std::string("env:PGCACHE_TEST_KEYS"), "file:" + file.path}) {
    pgc_keyring *keyring = nullptr;
    no_secret_memory = true;
    const pgcache_status without = pgc_keyring_load(&keyring, source.c_str(), nullptr);
    no_secret_memory = false;
    CHECK(without == PGCACHE_NO_MEMORY);
    CHECK(keyring == nullptr);
    CHECK(pgc_keyring_load(&keyring, source.c_str(), nullptr) == PGCACHE_OK);
    pgc_keyring_free(keyring);
  }
}

TEST_CASE("an id as long as the word digest is an id", "[keyring]") {
  Keyring keyring("digits " + key('a') + "\nz9_-a0 " + key('b'));
  CHECK(keyring.status == PGCACHE_OK);
  CHECK(keyring.self->count == 2);
  CHECK_FALSE(keyring.self->has_digest_key);
}

TEST_CASE("where keys may come from", "[keyring][environment]") {
  for (const char *good : {"file:/a", "env:A", "env:_", "env:a0", "env:Z9", "env::"})
    CHECK(pgc_keyring_source_ok(good) == (std::string(good) != "env::"));
  for (const char *bad : {"", "a", "file:", "file:a", "env:", "env:0", "env:9a", "env:-A", "env:a b", "env:a="})
    CHECK_FALSE(pgc_keyring_source_ok(bad));
}

TEST_CASE("keys come from an environment variable, too", "[keyring][environment]") {
  Variable variable("PGCACHE_TEST_KEYS", ("a " + key('a') + ";digest " + key('d')).c_str());
  pgc_keyring *keyring = nullptr;
  REQUIRE(pgc_keyring_load(&keyring, "env:PGCACHE_TEST_KEYS", nullptr) == PGCACHE_OK);
  CHECK(keyring->count == 1);
  CHECK(keyring->has_digest_key);
  pgc_keyring_free(keyring);
  CHECK(contains(failure("env:PGCACHE_TEST_NO_KEYS"), "is not there or empty"));
  setenv("PGCACHE_TEST_KEYS", "", 1);
  CHECK(contains(failure("env:PGCACHE_TEST_KEYS"), "is not there or empty"));
  setenv("PGCACHE_TEST_KEYS", std::string(PGC_KEY_FILE_MAX + 1, '#').c_str(), 1);
  CHECK(contains(failure("env:PGCACHE_TEST_KEYS"), "is too long"));
}

TEST_CASE("a key is in locked memory alone, which nobody can write, and nowhere afterwards", "[keyring][secrets]") {
  Scratch scratch;
  unsigned char *const raw = scratch.bytes, *const digest = raw + 32;
  char *const text = reinterpret_cast<char *>(raw + 64);
  for (int i = 0; i < 32; i++) {
    raw[i] = static_cast<unsigned char>(randombytes_random());
    digest[i] = static_cast<unsigned char>(randombytes_random());
  }
  strcpy(text, "one ");
  sodium_bin2base64(text + 4, 64, raw, 32, sodium_base64_VARIANT_ORIGINAL);
  strcat(text, "\ndigest ");
  sodium_bin2base64(text + strlen(text), 64, digest, 32, sodium_base64_VARIANT_ORIGINAL);

  File file("");
  const int out = open(file.path.c_str(), O_WRONLY | O_CLOEXEC);
  REQUIRE(write(out, text, strlen(text)) == static_cast<ssize_t>(strlen(text)));
  close(out);
  const auto encoded = [&] { return search_memory(scratch, reinterpret_cast<unsigned char *>(text) + 4, 24).count; };
  REQUIRE(search_memory(scratch, raw, 32).count == 0);
  REQUIRE(encoded() == 0);

  test::Config config;
  config.set("url", "null:").set("keys", "file:" + file.path).set("encryption", "required").set("digests", "keyed");
  config.set("compression", "lz4");
  {
    test::Cache cache(config);
    for (int i = 0; i < 10; i++) /* what works with a key leaves no copy of it */
      REQUIRE(cache.put("k" + std::to_string(i), std::string(10000, 'v')) == PGCACHE_OK);
    for (const unsigned char *needle : {raw, digest}) {
      const Found found = search_memory(scratch, needle, 32);
      CHECK(found.count == 1);
      CHECK(found.permissions == "r--p");
      if (can_lock()) {
        CHECK(contains(flags_of(found.at), " lo ")); /* not swapped out, */
        CHECK(contains(flags_of(found.at), " dd ")); /* and in no core dump */
      } else {
        WARN("memory cannot be locked here: whether that of a key is was not looked at");
      }
    }
    CHECK(search_memory(scratch, raw + 8, 16).count == 1); /* nor a part */
    CHECK(encoded() == 0);
  }
  CHECK(search_memory(scratch, raw, 16).count == 0);
  CHECK(search_memory(scratch, digest, 16).count == 0);
  CHECK(encoded() == 0);
}
