/*
 * pickle.cpp - tests of reading pickles that no Python made; tests/cli/import.bash has those that one did.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <sstream>

extern "C" {
#include "cli/pickle.h"
#include "cli/text.h"
}

namespace {

/* The JSON, or why there is none. */
std::string read(const std::string &pickle, size_t most = 1000) {
  static const char *const reasons[] = {"ok", "damaged", "object", "not json", "too large", "no memory"};
  pickle_value value;
  pickle_status status = pickle_read(&value, pickle.data(), pickle.size(), most);
  CHECK((status == PICKLE_OK || value.data == nullptr));
  std::string text = status == PICKLE_OK ? std::string(reinterpret_cast<char *>(value.data), value.size)
                                         : std::string("<") + reasons[status] + ">";
  pgc_free(value.data);
  return text;
}

/* Of the instructions between the protocol and the end. */
std::string read_steps(const std::string &steps, size_t most = 1000) {
  return read("\x80\x04" + steps + ".", most);
}

std::string bytes(const char *text, size_t size) {
  return std::string(text, size);
}

} // namespace

TEST_CASE("a pickle that is wrong is refused, whatever stands in it", "[pickle]") {
  std::istringstream all(
      "NN ( (N a Na NNa ]a ](a e (e N(e ](Nes s }s }Ns ]NNs u (u }(Nu }(NNuu t \x85 N\x86 NN\x87 (N\x86 (]Na "
      "h h\x01 Nh\x01 q\x01 Nq\x01 (q\x01 \x94 (\x94N j\x01 K M\x01 J\x01\x01\x01 G\x01 \x8a \x8a\x02\x01 "
      "\x8c\x05"
      "abc X\x01 C\x01 \x95\x01 (Nt( N(");
  for (std::string steps; all >> steps;) {
    INFO("instructions " << steps);
    CHECK(read_steps(steps) == "<damaged>");
  }
  CHECK(read_steps("") == "<damaged>");
  CHECK(read("") == "<damaged>");
  CHECK(read("N.") == "<damaged>");
  CHECK(read("\x80") == "<damaged>");
  CHECK(read("\x80\x01N.") == "<damaged>");
  CHECK(read("\x80\x06N.") == "<damaged>");
  CHECK(read("\x80\x04N") == "<damaged>");
  CHECK(read("\x80\x04N..") == "<damaged>");
  CHECK(read("\x80\x04N.") == "null");
}

TEST_CASE("instructions that make more than plain data are refused", "[pickle]") {
  std::string known = "(.\x80\x95N\x88\x89JKM\x8aG\x8cX\x8d"
                      "CB\x8e]ae)\x85\x86\x87t}su\x94qrhj";
  for (int instruction = 0; instruction < 256; instruction++) {
    if (known.find(static_cast<char>(instruction)) != std::string::npos)
      continue;
    INFO("instruction " << instruction);
    CHECK(read_steps("NN" + std::string(1, static_cast<char>(instruction))) == "<object>");
  }
  CHECK(read_steps("N\x80\x04") == "<object>"); /* the protocol is told once */
}

TEST_CASE("lengths that are larger than the pickle", "[pickle]") {
  CHECK(read_steps(bytes("\x8d\xff\xff\xff\xff\x00\x00\x00\x00", 9)) == "<damaged>");
  CHECK(read_steps(bytes("\x8d\x00\x00\x00\x00\x01\x00\x00\x00", 9)) == "<too large>");
  CHECK(read_steps(bytes("\x8e\xff\xff\xff\xff\xff\xff\xff\xff", 9)) == "<too large>");
  CHECK(read_steps(bytes("B\xff\xff\xff\xff", 5)) == "<damaged>");
  CHECK(read_steps(bytes("Nr\xff\xff\xff\xff", 6)) == "<damaged>");
  CHECK(read_steps(bytes("j\xff\xff\xff\xff", 5)) == "<damaged>");
}

TEST_CASE("the value may be as long as it was told, and no longer", "[pickle]") {
  CHECK(read_steps("\x8c\x03"
                   "abc",
                   5) == "\"abc\"");
  CHECK(read_steps("\x8c\x03"
                   "abc",
                   4) == "<too large>");
  CHECK(read_steps("C\x03"
                   "abc",
                   3) == "abc");
  CHECK(read_steps("C\x03"
                   "abc",
                   2) == "<too large>");
  CHECK(read_steps("N", 0) == "<too large>");
  CHECK(read_steps(bytes("C\x00", 2), 0).empty());
}

TEST_CASE("what a pickle may do and Python does not", "[pickle]") {
  CHECK(read_steps(bytes("Nq\x00]h\x00"
                         "ah\x00"
                         "a\x85",
                         11)) == "<damaged>"); /* two values are left */
  CHECK(read_steps(bytes("]q\x00h\x00h\x00"
                         "aa",
                         9)) == "<too large>"); /* a list that holds itself, twice */
  CHECK(read_steps(bytes("]q\x00K\x05q\x00h\x00"
                         "aa",
                         11)) == "<damaged>");
  CHECK(read_steps(bytes("]q\x00K\x05q\x00"
                         "a",
                         8)) == "[5]"); /* the memo's place is used again */
  CHECK(read_steps(bytes("}(\x8c\x01"
                         "aK\x01\x8c\x01"
                         "aK\x02u",
                         13)) == "{\"a\":1,\"a\":2}");
  CHECK(read_steps("}(u") == "{}");
  CHECK(read_steps("](e") == "[]");
  CHECK(read_steps("(t") == "[]");
  CHECK(read_steps(bytes("\x8a\x00", 2)) == "0");
  CHECK(read_steps(bytes("\x8a\x03\x05\x00\x00", 5)) == "5");
  CHECK(read_steps(bytes("\x8a\x03\xfb\xff\xff", 5)) == "-5");
  CHECK(read_steps(bytes("\x8a\x01\x80", 3)) == "-128");
  CHECK(read_steps("\x8a\xff" + std::string(255, '\xff')) == "-1");
  std::string most = read_steps("\x8a\xff" + std::string(254, '\0') + "\x80");
  CHECK(most.size() == 615); /* -2 to the power of 2039 */
  CHECK(most.substr(0, 6) == "-63119");
}

TEST_CASE("without memory nothing is read, and nothing is left", "[pickle][allocation]") {
  std::string pickle = "\x80\x04](";
  for (int i = 0; i < 100; i++)
    pickle += "(}\x8c\x01"
              "a\x94K\x01s\x94\x85t";
  pickle += "e.";
  std::string whole = read(pickle, 10000);
  CHECK(whole.size() > 1000);
  CHECK(whole.substr(0, 20) == "[[[{\"a\":1}]],[[{\"a\":");
  long points = test::fail_each_allocation([&] {
    std::string got = read(pickle, 10000);
    CHECK((got == whole || got == "<no memory>"));
    return got == whole ? PGCACHE_OK : PGCACHE_NO_MEMORY;
  });
  CHECK(points >= 10);
}
