/*
 * codec.cpp - tests of buffers and of PostgreSQL's binary formats.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <vector>

namespace {

struct Buffer : pgc_buffer {
  Buffer() : pgc_buffer PGC_BUFFER_INIT {}
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  ~Buffer() {
    pgc_buffer_clear(this);
  }
  std::string bytes() const {
    return std::string(reinterpret_cast<const char *>(data), size);
  }
};

} // namespace

TEST_CASE("a buffer grows with what is written", "[buffer]") {
  Buffer buffer;
  std::string expected;
  for (int i = 0; i < 2000; i++) {
    std::string piece(static_cast<size_t>(i % 37), static_cast<char>('a' + i % 26));
    pgc_buffer_append(&buffer, piece.data(), piece.size());
    expected += piece;
  }
  pgc_buffer_append_text(&buffer, "end");
  pgc_buffer_append_text(&buffer, "");
  CHECK(buffer.bytes() == expected + "end");
  CHECK_FALSE(buffer.failed);
  CHECK(buffer.capacity >= buffer.size);
  pgc_buffer_clear(&buffer);
  CHECK(buffer.size == 0);
  CHECK(buffer.data == nullptr);
}

TEST_CASE("a buffer takes what was reserved without moving", "[buffer]") {
  Buffer buffer;
  pgc_buffer_reserve(&buffer, 10000);
  const unsigned char *place = buffer.data;
  for (int i = 0; i < 10000; i++)
    pgc_buffer_append(&buffer, "x", 1);
  CHECK(buffer.data == place);
  CHECK(buffer.size == 10000);
}

TEST_CASE("a buffer that failed stays failed and keeps what it has", "[buffer][allocation]") {
  long points = test::fail_each_allocation([] {
    Buffer buffer;
    for (int i = 0; i < 100; i++) {
      pgc_buffer_append_text(&buffer, "0123456789");
      pgc_buffer_append_u32(&buffer, 1);
      pgc_buffer_append_u64(&buffer, 2);
    }
    CHECK(buffer.failed == (buffer.size < 2200));
    return buffer.failed ? PGCACHE_NO_MEMORY : PGCACHE_OK;
  });
  CHECK(points >= 2);
}

TEST_CASE("numbers are big-endian", "[buffer][codec]") {
  Buffer buffer;
  pgc_buffer_append_u32(&buffer, 0x01020304u);
  pgc_buffer_append_u64(&buffer, 0xF1F2F3F4F5F6F7F8u);
  CHECK(buffer.bytes() == "\x01\x02\x03\x04\xF1\xF2\xF3\xF4\xF5\xF6\xF7\xF8");
  CHECK(pgc_load_u32(buffer.data) == 0x01020304u);
  CHECK(pgc_load_u64(buffer.data + 4) == 0xF1F2F3F4F5F6F7F8u);
  CHECK(pgc_load_u32(buffer.data + 1) == 0x020304F1u); /* not aligned */
  unsigned char bytes[8];
  pgc_store_u64(bytes, UINT64_MAX - 1);
  CHECK(pgc_load_u64(bytes) == UINT64_MAX - 1);
}

TEST_CASE("numbers from the server have the right length or are refused", "[codec]") {
  const unsigned char bytes[] = {0xFF, 0xFF, 0xFF, 0xFE, 0, 0, 0, 1, 0x80};
  for (int size = -1; size <= 9; size++) {
    INFO("size " << size);
    bool truth = false;
    int32_t four = 42;
    int64_t eight = 42;
    CHECK(pgc_decode_bool(bytes, size, &truth) == (size == 1));
    CHECK(truth == (size == 1));
    CHECK(pgc_decode_int4(bytes, size, &four) == (size == 4));
    CHECK(four == (size == 4 ? -2 : 42));
    CHECK(pgc_decode_int8(bytes, size, &eight) == (size == 8));
    CHECK(eight == (size == 8 ? -8589934591 : 42));
  }
  bool truth = true;
  CHECK(pgc_decode_bool(bytes + 4, 1, &truth));
  CHECK_FALSE(truth);
  int32_t least = 0;
  CHECK(pgc_decode_int4("\x80\0\0\0", 4, &least));
  CHECK(least == INT32_MIN);
}

TEST_CASE("an array begins as array_recv() wants it", "[codec]") {
  Buffer buffer;
  pgc_encode_array_header(&buffer, PGC_OID_UUID, 1000);
  CHECK(buffer.bytes() == std::string("\0\0\0\1\0\0\0\0\0\0\x0B\x86\0\0\x03\xE8\0\0\0\1", 20));
}

TEST_CASE("an array of uuids is read back, and nothing else is one", "[codec]") {
  Buffer buffer;
  pgc_encode_array_header(&buffer, PGC_OID_UUID, 2);
  for (char c : {'a', 'b'}) {
    pgc_buffer_append_u32(&buffer, PGC_UUID_SIZE);
    pgc_buffer_append(&buffer, std::string(PGC_UUID_SIZE, c).data(), PGC_UUID_SIZE);
  }
  const std::string good = buffer.bytes();
  const auto count = [](const std::string &bytes) {
    const unsigned char *first = nullptr;
    /* on the heap, and no longer than it is: a sanitizer sees who reads behind it */
    const std::vector<char> exact(bytes.begin(), bytes.end());
    return pgc_decode_uuids(exact.data(), static_cast<int>(exact.size()), &first);
  };
  const unsigned char *first = nullptr;
  REQUIRE(pgc_decode_uuids(good.data(), static_cast<int>(good.size()), &first) == 2);
  CHECK(first[0] == 'a');
  CHECK(first[PGC_UUID_STRIDE] == 'b');
  CHECK(count(std::string(12, '\0')) == 0);
  CHECK(count("") == SIZE_MAX);
  for (size_t length = 0; length < good.size(); length++)
    CHECK(count(good.substr(0, length)) == SIZE_MAX);
  CHECK(count(good + "x") == SIZE_MAX); /* more than it says */
  for (size_t i = 0; i < 24; i++) {
    if ((i >= 4 && i < 8) || (i >= 16 && i < 20))
      continue; /* the hint, and the first subscript */
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x40);
    CHECK(count(bad) == SIZE_MAX);
  }
}
