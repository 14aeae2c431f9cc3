/*
 * keys.hpp - key files for tests: fixed keys by id, and a file of lines that goes with its test.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_KEYS_HPP
#define PGCACHE_TESTS_KEYS_HPP

#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace test {

/* The line of a key whose base64 is 43 times this letter (with a last one that has no bits beyond the 32 bytes). */
inline std::string key_line(const std::string &id, char letter) {
  return id + " " + std::string(42, letter) + "A=\n";
}

/* Files that only this user may read; `source` is what the setting `keys` takes. */
class KeyFile {
public:
  explicit KeyFile(const std::string &content) {
    char name[] = "/tmp/pgcache-keys-XXXXXX";
    const int file = mkstemp(name);
    path_ = name;
    if (file < 0 || ::write(file, content.data(), content.size()) != static_cast<ssize_t>(content.size()))
      throw std::runtime_error("cannot write a key file");
    close(file);
  }
  KeyFile(const KeyFile &) = delete;
  KeyFile &operator=(const KeyFile &) = delete;
  ~KeyFile() {
    unlink(path_.c_str());
  }
  std::string source() const {
    return "file:" + path_;
  }
  const std::string &path() const {
    return path_;
  }

private:
  std::string path_;
};

} // namespace test

#endif
