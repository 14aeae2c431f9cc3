/*
 * answers.hpp - a server that answers what it never should: whole messages of PostgreSQL's protocol on their way to the
 * client are taken apart, changed, dropped and made up. For one connection at a time that has logged in already. Never
 * understands what they mean.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_ANSWERS_HPP
#define PGCACHE_TESTS_ANSWERS_HPP

#include "support/proxy.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace test {

struct Message {
  char type;
  std::string body;
};

namespace wire {

inline std::string number(size_t value, int bytes) {
  std::string out;
  while (bytes-- > 0)
    out += static_cast<char>(value >> (8 * bytes));
  return out;
}

inline size_t number_at(const std::string &text, size_t at, int bytes) {
  size_t value = 0;
  for (int i = 0; i < bytes; i++)
    value = value << 8 | static_cast<unsigned char>(text.at(at + static_cast<size_t>(i)));
  return value;
}

inline std::string bytes(const Message &message) {
  return message.type + number(message.body.size() + 4, 4) + message.body;
}

/* The fields of an error or a notice: {"C57P01", "Mgoing away"}. */
inline std::string fields(const std::vector<std::string> &all) {
  std::string out;
  for (const auto &field : all)
    out += field + '\0';
  return out + '\0';
}

inline Message error(const std::string &sqlstate) {
  return {'E', fields({"SERROR", "VERROR", "C" + sqlstate, "Mmade up"})};
}

} // namespace wire

/* The columns of a row ('D'); none: NULL. */
using Columns = std::vector<std::optional<std::string>>;

inline Columns columns_of(const Message &row) {
  Columns out;
  size_t at = 2;
  for (size_t left = wire::number_at(row.body, 0, 2); left > 0; left--) {
    const size_t size = wire::number_at(row.body, at, 4);
    at += 4;
    if (size == 0xffffffff) {
      out.emplace_back();
    } else {
      out.push_back(row.body.substr(at, size));
      at += size;
    }
  }
  return out;
}

inline Message row_of(const Columns &columns) {
  Message row{'D', wire::number(columns.size(), 2)};
  for (const auto &column : columns)
    row.body += column ? wire::number(column->size(), 4) + *column : wire::number(0xffffffff, 4);
  return row;
}

/* While it lives, what the server says through the proxy is what `edit` makes of each message. */
class Answers {
public:
  using Edit = std::function<std::vector<Message>(const Message &)>;

  Answers(Proxy &proxy, Edit edit) : proxy_(proxy) {
    auto pending = std::make_shared<std::string>();
    proxy_.rewrite([pending, edit](Proxy::Direction direction, std::string &data) {
      if (direction == Proxy::TO_SERVER)
        return;
      *pending += data;
      data.clear();
      while (pending->size() >= 5 && pending->size() >= 1 + wire::number_at(*pending, 1, 4)) {
        const size_t size = 1 + wire::number_at(*pending, 1, 4);
        for (const Message &message : edit({(*pending)[0], pending->substr(5, size - 5)}))
          data += wire::bytes(message);
        pending->erase(0, size);
      }
    });
  }
  Answers(const Answers &) = delete;
  Answers &operator=(const Answers &) = delete;
  ~Answers() {
    proxy_.rewrite(nullptr);
  }

  /* An edit of the rows alone; false drops the row. */
  static Edit rows(std::function<bool(Columns &)> change) {
    return [change](const Message &message) -> std::vector<Message> {
      if (message.type != 'D')
        return {message};
      Columns columns = columns_of(message);
      if (!change(columns))
        return {};
      return {row_of(columns)};
    };
  }

  /* These messages in place of the next exchange's answer. What ends an exchange ('Z') stays. */
  static Edit instead(std::vector<Message> said) {
    auto open = std::make_shared<bool>(true);
    return [said, open](const Message &message) -> std::vector<Message> {
      if (!*open)
        return {message};
      if (message.type != 'Z')
        return {};
      *open = false;
      std::vector<Message> out = said;
      out.push_back(message);
      return out;
    };
  }

private:
  Proxy &proxy_;
};

} // namespace test

#endif
