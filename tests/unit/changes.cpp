/*
 * changes.cpp - the bytes of the change stream: frames, snapshots and messages, right ones, damaged ones and hostile ones.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/alloc_fail.hpp"
#include "unit.hpp"

#include <vector>

extern "C" {
#include "pure/changes.h"
}

using std::string;
using std::vector;

namespace {

string number(uint64_t value, int bytes) {
  string out;
  for (int i = bytes - 1; i >= 0; i--)
    out += static_cast<char>(value >> (8 * i));
  return out;
}

string frame(int kind, const string &events) {
  return number(static_cast<uint64_t>(kind), 2) + number(events.size(), 4) + events;
}

string digest(char filler) {
  return string(PGC_DIGEST_SIZE, filler);
}

string describe(const pgc_change &change) {
  const string first(1, static_cast<char>(change.digest.bytes[0]));
  switch (change.kind) {
  case PGC_CHANGE_ENTRIES:
    return "entry " + first + " " + std::to_string(change.version);
  case PGC_CHANGE_INVALIDATED:
    return "invalidated " + first;
  case PGC_CHANGE_EVERYTHING:
    return "everything";
  case PGC_CHANGE_RELEASED:
    return "released " + first;
  }
  return "?";
}

/* {"no"} if the bytes are no frames. */
vector<string> changes(const string &bytes) {
  vector<string> out;
  const bool good = pgc_changes_apply(
      reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size(),
      [](void *context, const pgc_change *change) {
        static_cast<vector<string> *>(context)->push_back(describe(*change));
      },
      &out);
  if (!good) {
    CHECK(out.empty());
    return {"no"};
  }
  return out;
}

using Changes = vector<string>;

bool snapshot(const string &text, pgc_snapshot *out) {
  return pgc_snapshot_parse(out, text.data(), text.size());
}

const unsigned char nonce[PGC_NONCE_SIZE] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                             0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
const string nonce_text = "00112233445566778899aabbccddeeff";

/* The messages that carry the frames; none if they could not be written. */
vector<string> written(const string &frames, int64_t from, const pgc_snapshot &to, uint32_t parts_max = 1000) {
  pgc_buffer buffer = PGC_BUFFER_INIT;
  uint32_t parts = 0;
  vector<string> out;
  if (pgc_messages_write(&buffer, &parts, nonce, from, &to, reinterpret_cast<const unsigned char *>(frames.data()),
                         frames.size(), parts_max)) {
    const char *at = reinterpret_cast<const char *>(buffer.data);
    for (uint32_t i = 0; i < parts; i++, at += out.back().size() + 1)
      out.emplace_back(at);
    CHECK(at == reinterpret_cast<const char *>(buffer.data) + buffer.size);
  }
  pgc_buffer_clear(&buffer);
  return out;
}

struct Message : pgc_message {
  bool good;
  explicit Message(const string &payload) : pgc_message() {
    good = pgc_message_parse(this, payload.data(), payload.size());
  }
  Message(const Message &) = delete;
  Message &operator=(const Message &) = delete;
  ~Message() {
    pgc_buffer_clear(&frames);
  }
  string bytes() const {
    return frames.size > 0 ? string(reinterpret_cast<const char *>(frames.data), frames.size) : "";
  }
};

} // namespace

TEST_CASE("Frames give their changes in order; what is not known is passed over", "[changes]") {
  CHECK(changes("").empty());
  CHECK(changes(frame(0, digest('a') + number(7, 8) + digest('b') + number(UINT64_MAX, 8))) ==
        Changes{"entry a 7", "entry b -1"});
  CHECK(changes(frame(1, digest('a') + digest('b')) + frame(2, "") + frame(3, digest('c'))) ==
        Changes{"invalidated a", "invalidated b", "everything", "released c"});
  CHECK(changes(frame(0, "") + frame(1, "") + frame(3, "")).empty());
  CHECK(changes(frame(4, "whatever") + frame(0xffff, "") + frame(1, digest('z'))) == Changes{"invalidated z"});
}

TEST_CASE("[A32] Damaged frames apply nothing, also when the first ones are whole", "[A32][changes]") {
  const string whole = frame(1, digest('a')) + frame(0, digest('b') + number(1, 8));
  REQUIRE(changes(whole).size() == 2);
  for (size_t size = 1; size < whole.size(); size++) {
    INFO("the first " << size << " bytes");
    CHECK(changes(whole.substr(0, size)) == (size == 22 ? Changes{"invalidated a"} : Changes{"no"}));
  }
  CHECK(changes(frame(0, digest('a'))) == Changes{"no"});                /* no version */
  CHECK(changes(frame(1, digest('a') + "b")) == Changes{"no"});          /* half a digest */
  CHECK(changes(frame(2, "x")) == Changes{"no"});                        /* everything has no bytes */
  CHECK(changes(number(1, 2) + number(UINT32_MAX, 4)) == Changes{"no"}); /* longer than there is */
  CHECK(changes(number(9, 2) + number(5, 4) + "1234") == Changes{"no"});
}

TEST_CASE("A snapshot's position grows with each transaction that ends", "[changes]") {
  pgc_snapshot out;
  REQUIRE(snapshot("100:100:", &out));
  CHECK((out.xmax == 100 && out.in_progress == 0 && out.position == 100 && string(out.text) == "100:100:"));
  REQUIRE(snapshot("95:100:95,97", &out)); /* 98 and 99 have ended, 95 and 97 not */
  CHECK((out.xmax == 100 && out.in_progress == 2 && out.position == 98));
  REQUIRE(snapshot("97:100:97", &out)); /* 95 has */
  CHECK(out.position == 99);
  REQUIRE(snapshot("1:9223372036854775807:", &out));
  CHECK(out.position == INT64_MAX);
}

TEST_CASE("[A32] What is no snapshot is refused, and leaves the one before", "[A32][changes]") {
  pgc_snapshot out;
  REQUIRE(snapshot("95:100:95", &out));
  for (const char *text : {"",
                           ":",
                           "::",
                           "1",
                           "1:2",
                           "1:2:3",
                           "a:b:",
                           "5:4:",
                           "0:5:",
                           "-1:5:",
                           " 1:5:",
                           "1:5: ",
                           "1:5:,",
                           "1:5:2,",
                           "1:5:,2",
                           "1:5:2,2",
                           "1:5:3,2",
                           "1:5:5",
                           "2:5:1",
                           "1:9223372036854775808:",
                           "1:99999999999999999999:",
                           "1:5:2;3"}) {
    INFO(text);
    CHECK_FALSE(snapshot(text, &out));
  }
  CHECK_FALSE(snapshot(string("1:5:\0", 5), &out));
  string long_one = "1000:3000:1000";
  for (int i = 1001; long_one.size() <= PGC_SNAPSHOT_TEXT_MAX; i++)
    long_one += "," + std::to_string(i);
  CHECK_FALSE(snapshot(long_one, &out));
  CHECK(snapshot(long_one.substr(0, long_one.rfind(',')), &out));
  REQUIRE(snapshot("95:100:95", &out));
  CHECK_FALSE(snapshot("1:5:9", &out));
  CHECK((out.position == 99 && string(out.text) == "95:100:95"));
}

TEST_CASE("What is written as messages is read back, in one part and in many", "[changes]") {
  pgc_snapshot shortest, longest;
  REQUIRE(snapshot("7:7:", &shortest));
  string text = "1000000:9000000:1000000";
  for (int i = 1000001; text.size() + 8 <= PGC_SNAPSHOT_TEXT_MAX; i++)
    text += "," + std::to_string(i);
  REQUIRE(snapshot(text, &longest));

  for (const pgc_snapshot *to : {&shortest, &longest}) {
    for (size_t events : {1u, 2u, 3u, 100u, 182u, 183u, 184u, 369u, 370u, 371u, 372u, 2000u}) {
      string frames;
      for (size_t i = 0; i < events; i++)
        frames += i % 3 == 0 ? frame(2, "") : frame(1, digest(static_cast<char>(i)));
      const vector<string> payloads = written(frames, 6, *to);
      REQUIRE_FALSE(payloads.empty());
      string all;
      for (size_t i = 0; i < payloads.size(); i++) {
        CHECK(payloads[i].size() <= PGC_MESSAGE_MAX);
        Message message(payloads[i]);
        REQUIRE(message.good);
        CHECK(memcmp(message.nonce, nonce, sizeof nonce) == 0);
        CHECK((message.from == 6 && message.part == i + 1 && message.parts == payloads.size()));
        CHECK(string(message.to.text) == (i + 1 == payloads.size() ? to->text : ""));
        all += message.bytes();
      }
      CHECK(all == frames);
      CHECK(changes(all).size() == events);
      CHECK(written(frames, 6, *to, static_cast<uint32_t>(payloads.size())) == payloads);
      CHECK(written(frames, 6, *to, static_cast<uint32_t>(payloads.size() - 1)).empty());
    }
  }
  CHECK(written("", 6, shortest).empty());
  CHECK(written("no frames", 6, shortest).empty());
}

TEST_CASE("A message is exactly what changes.h says", "[changes]") {
  pgc_snapshot to;
  REQUIRE(snapshot("95:100:95", &to));
  CHECK(written(frame(2, ""), 42, to) == vector<string>{"1 " + nonce_text + " 42 1 1 95:100:95 AAIAAAAA"});
  Message other("1 " + nonce_text + " 42 1 2 - AAI=");
  REQUIRE(other.good);
  CHECK(other.bytes() == string("\0\2", 2));
  CHECK(Message("1 " + nonce_text + " 0 3 4 - AA==").bytes() == string(1, '\0'));
  CHECK(Message("1 " + nonce_text + " 0 3 4 - ").good);
}

TEST_CASE("[A32] Whatever is no message is refused", "[A32][changes]") {
  const string good = "1 " + nonce_text + " 42 1 1 95:100:95 AAIAAAAA";
  REQUIRE(Message(good).good);
  for (size_t size = 0; size < good.size(); size++) {
    INFO(good.substr(0, size));
    const bool empty_or_whole_fours = size == good.size() - 4 || size == good.size() - 8;
    CHECK(Message(good.substr(0, size)).good == empty_or_whole_fours);
  }
  const auto with = [&](const string &head, const string &frames) { return "1 " + nonce_text + head + frames; };
  for (const string &payload : {"2" + good.substr(1),
                                " " + good,
                                good + " ",
                                good + "=",
                                good + string(1, '\0'),
                                "1 " + string(32, 'G') + good.substr(34),
                                "1 " + string(32, 'A') + good.substr(34),
                                with(" -1 1 1 95:100:95 ", ""),
                                with(" 42 0 1 - ", ""),
                                with(" 42 2 1 95:100:95 ", ""),
                                with(" 42 1 2 95:100:95 ", ""),
                                with(" 42 1 1 - ", ""),
                                with(" 42 1 4294967296 - ", ""),
                                with(" 9223372036854775808 1 2 - ", ""),
                                with(" 42 1 2 - ", "AA"),
                                with(" 42 1 2 - ", "===="),
                                with(" 42 1 2 - ", "A==="),
                                with(" 42 1 2 - ", "AA=A"),
                                with(" 42 1 2 - ", "AB=="),
                                with(" 42 1 2 - ", "AAB="),
                                with(" 42 1 2 - ", "AA==AAAA"),
                                with(" 42 1 2 - ", "A-AA"),
                                with(" 42 1 2 - ", "A{AA"),
                                with(" 42 1 2 + ", ""),
                                "1 " + string(31, 'a') + string(1, '\0') + good.substr(34),
                                with(" 42 1 2 - ", string("A\0AA", 4)),
                                with(" 42 1 1  ", ""),
                                with(" 42 1 1", ""),
                                with(" 42 1 2 - ", string(8000, 'A'))}) {
    INFO(payload.substr(0, 100));
    Message message(payload);
    CHECK_FALSE(message.good);
    CHECK(message.frames.data == nullptr);
  }
}

TEST_CASE("Messages without memory", "[changes][memory]") {
  pgc_snapshot to;
  REQUIRE(snapshot("7:7:", &to));
  const string frames = frame(0, string(2400, 'x'));
  const string payload = written(frames, 6, to)[0];
  CHECK(test::fail_each_allocation([&] {
          pgc_message message;
          const bool good = pgc_message_parse(&message, payload.data(), payload.size());
          pgc_buffer_clear(&message.frames);
          return good ? PGCACHE_OK : PGCACHE_NO_MEMORY;
        }) == 1);
  CHECK(test::fail_each_allocation([&] {
          pgc_buffer buffer = PGC_BUFFER_INIT;
          uint32_t parts;
          const bool good = pgc_messages_write(
              &buffer, &parts, nonce, 6, &to, reinterpret_cast<const unsigned char *>(frames.data()), frames.size(), 9);
          pgc_buffer_clear(&buffer);
          return good ? PGCACHE_OK : PGCACHE_NO_MEMORY;
        }) > 1);
}
