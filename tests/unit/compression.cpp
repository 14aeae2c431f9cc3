/*
 * compression.cpp - tests of the two codecs on the machine's own libraries, and of machines that do not have them.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <dlfcn.h>

#include <random>
#include <thread>
#include <vector>

namespace {

const pgc_codec codecs[] = {PGC_CODEC_LZ4, PGC_CODEC_ZSTD};

std::string noise(size_t size) {
  std::mt19937 random(5);
  std::string out(size, '\0');
  for (char &c : out)
    c = static_cast<char>(random());
  return out;
}

std::string compressed(pgc_codec codec, const std::string &value, size_t room) {
  std::string out(room + 8, '#');
  const size_t size = pgc_compress(codec, reinterpret_cast<unsigned char *>(&out[0]), room, value.data(), value.size());
  REQUIRE(size <= room);
  CHECK(out.substr(room) == "########"); /* nothing is written beyond the room */
  return out.substr(0, size);
}

bool decompresses(pgc_codec codec, const std::string &stored, size_t size, std::string *value = nullptr) {
  std::string out(size + 8, '#');
  const bool done = pgc_decompress(codec, &out[0], size, stored.data(), stored.size());
  CHECK(out.substr(size) == "########");
  if (value != nullptr)
    *value = out.substr(0, size);
  return done;
}

void *no_library(const char *) {
  return nullptr;
}

/* A library that has none of the functions. */
void *another_library(const char *) {
  return dlopen("libm.so.6", RTLD_NOW);
}

} // namespace

TEST_CASE("values become smaller and come back the same", "[compression]") {
  for (const pgc_codec codec : codecs) {
    INFO("codec " << codec);
    REQUIRE(pgc_codec_available(codec));
    for (const size_t size : {500u, 1024u, 65536u, 65537u, 1000000u}) {
      std::string value;
      while (value.size() < size)
        value += "{\"id\": " + std::to_string(value.size() * 7919 % 100000) + ", \"name\": \"somebody\"}, ";
      value.resize(size);
      const std::string stored = compressed(codec, value, size);
      REQUIRE(!stored.empty());
      CHECK(stored.size() < size);
      CHECK(pgc_compressed_claim(stored.data(), stored.size()) == size);
      std::string back;
      CHECK(decompresses(codec, stored, size, &back));
      CHECK(back == value);
      CHECK_FALSE(decompresses(codec, stored, size - 1)); /* exactly as long as claimed, or nothing */
      CHECK_FALSE(decompresses(codec, stored, size + 1));
    }
  }
}

TEST_CASE("what does not get smaller by a tenth is not compressed", "[compression]") {
  CHECK(pgc_compress_room(100) == 90);
  CHECK(pgc_compress_room(101) == 90);
  CHECK(pgc_compress_room(109) == 98);
  CHECK(pgc_compress_room(1) == 0);
  CHECK(pgc_compress_room(0) == 0);
  for (const pgc_codec codec : codecs) {
    for (const size_t size : {1u, 4u, 5u, 100u, 10000u}) {
      INFO("codec " << codec << ", size " << size);
      CHECK(compressed(codec, noise(size), pgc_compress_room(size)).empty());
    }
  }
}

TEST_CASE("damaged stored forms never become a value of another length", "[compression]") {
  std::mt19937 random(6);
  for (const pgc_codec codec : codecs) {
    INFO("codec " << codec);
    const std::string value(5000, 'v'), stored = compressed(codec, value + noise(200), 5000);
    REQUIRE(!stored.empty());
    for (size_t size = 0; size < stored.size(); size++)
      CHECK_FALSE(decompresses(codec, stored.substr(0, size), 5200));
    for (int i = 0; i < 2000; i++) {
      std::string damaged = stored;
      damaged[random() % damaged.size()] ^= static_cast<char>(1 + random() % 255);
      decompresses(codec, damaged, 5200); /* it may be another value; the sanitizer watches */
    }
  }
  CHECK(pgc_compressed_claim("\0\0\0\1", 4) == 0);
  CHECK(pgc_compressed_claim("", 0) == 0);
  CHECK_FALSE(decompresses(static_cast<pgc_codec>(3), std::string("\0\0\0\1x", 5), 1));
  CHECK_FALSE(decompresses(PGC_CODEC_NONE, std::string("\0\0\0\1x", 5), 1));
  /* More than the codecs' own numbers hold: refused before a byte is read. */
  unsigned char nothing[8] = {};
  const size_t beyond = static_cast<size_t>(INT32_MAX) + 1;
  CHECK_FALSE(pgc_decompress(PGC_CODEC_LZ4, nothing, beyond, nothing, sizeof nothing));
  CHECK_FALSE(pgc_decompress(PGC_CODEC_ZSTD, nothing, 1, nothing, beyond));
  CHECK(compressed(PGC_CODEC_NONE, std::string(1000, 'v'), 900).empty());
}

TEST_CASE("a machine without the libraries", "[compression]") {
  const std::string stored = compressed(PGC_CODEC_LZ4, std::string(1000, 'v'), 1000);
  for (auto *hook : {no_library, another_library}) {
    pgc_compression_forget();
    pgc_library_set_hook(hook);
    const bool lz4 = pgc_codec_available(PGC_CODEC_LZ4), zstd = pgc_codec_available(PGC_CODEC_ZSTD);
    const bool refused = compressed(PGC_CODEC_ZSTD, std::string(1000, 'v'), 1000).empty();
    const bool unreadable = !decompresses(PGC_CODEC_LZ4, stored, 1000);
    pgc_library_set_hook(nullptr);
    CHECK_FALSE(lz4);
    CHECK_FALSE(zstd);
    CHECK(refused);
    CHECK(unreadable);
  }
  CHECK(pgc_codec_available(PGC_CODEC_NONE));
  CHECK_FALSE(pgc_codec_available(static_cast<pgc_codec>(9)));
  CHECK(decompresses(PGC_CODEC_LZ4, stored, 1000)); /* installed meanwhile: it is looked for anew */
  CHECK(std::string(pgc_codec_package(PGC_CODEC_LZ4)) == "liblz4-1");
  CHECK(std::string(pgc_codec_package(PGC_CODEC_ZSTD)) == "libzstd1");
}

TEST_CASE("many threads need the libraries for the first time", "[compression][threads]") {
  pgc_compression_forget();
  std::vector<std::thread> threads;
  std::vector<int> good(16);
  for (size_t i = 0; i < good.size(); i++) {
    threads.emplace_back([&good, i] {
      unsigned char stored[100], value[1000] = {0}, back[1000];
      const pgc_codec codec = codecs[i % 2];
      const size_t size = pgc_compress(codec, stored, sizeof stored, value, sizeof value);
      good[i] = size > 0 && pgc_decompress(codec, back, sizeof back, stored, size);
    });
  }
  for (std::thread &thread : threads)
    thread.join();
  for (const int one : good)
    CHECK(one == 1);
}
