/*
 * fuzz_changes.c - what other roles of the database may send: the same bytes as a message, as frames and as a snapshot. What
 * is read is written again as it was.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "fuzz.h"

#include "pure/changes.h"

static void count_change(void *context, const pgc_change *change) {
  REQUIRE(change->kind >= PGC_CHANGE_ENTRIES && change->kind <= PGC_CHANGE_RELEASED);
  ++*(size_t *)context;
}

/* What was written as messages is read back, part by part. */
static void write_and_read(const unsigned char *frames, size_t size) {
  static const unsigned char nonce[PGC_NONCE_SIZE] = {1, 2, 3};
  pgc_snapshot to;
  REQUIRE(pgc_snapshot_parse(&to, "5:9:5,7", 7));
  pgc_buffer out = PGC_BUFFER_INIT;
  uint32_t parts;
  REQUIRE(pgc_messages_write(&out, &parts, nonce, 4, &to, frames, size, UINT32_MAX));
  const char *payload = (const char *)out.data;
  size_t read = 0;
  for (uint32_t part = 1; part <= parts; part++) {
    pgc_message message;
    REQUIRE(strlen(payload) <= PGC_MESSAGE_MAX);
    REQUIRE(pgc_message_parse(&message, payload, strlen(payload)));
    REQUIRE(message.part == part && message.parts == parts && message.from == 4 && message.frames.size <= size - read);
    REQUIRE(message.frames.size == 0 || memcmp(frames + read, message.frames.data, message.frames.size) == 0);
    read += message.frames.size;
    pgc_buffer_clear(&message.frames);
    payload += strlen(payload) + 1;
  }
  REQUIRE(read == size && payload == (const char *)out.data + out.size);
  pgc_buffer_clear(&out);
}

static void apply(const uint8_t *data, size_t size) {
  size_t changes = 0;
  bool good = pgc_changes_apply(data, size, count_change, &changes);
  REQUIRE(good || changes == 0);
  REQUIRE(changes <= size / 6 + 1);
  if (good && size > 0)
    write_and_read(data, size);
}

static void take_snapshot(const char *text, size_t size) {
  pgc_snapshot snapshot;
  if (!pgc_snapshot_parse(&snapshot, text, size))
    return;
  REQUIRE(strlen(snapshot.text) == size && memcmp(snapshot.text, text, size) == 0);
  REQUIRE(snapshot.position >= 0 && (uint64_t)snapshot.position + snapshot.in_progress == snapshot.xmax);
}

static void take_message(const char *payload, size_t size) {
  pgc_message message;
  bool good = pgc_message_parse(&message, payload, size);
  REQUIRE(good || message.frames.data == NULL);
  if (good) {
    REQUIRE(message.from >= 0 && message.part >= 1 && message.part <= message.parts);
    REQUIRE((message.to.text[0] != '\0') == (message.part == message.parts));
    size_t changes = 0;
    pgc_changes_apply(message.frames.data, message.frames.size, count_change, &changes);
  }
  pgc_buffer_clear(&message.frames);
}

/* The input stands at the very end of its memory, so that the sanitizer sees a read beyond it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *exact = malloc(size > 0 ? size : 1);
  REQUIRE(exact != NULL);
  if (size > 0)
    memcpy(exact, data, size);
  apply(exact, size);
  take_snapshot((const char *)exact, size);
  take_message((const char *)exact, size);
  free(exact);
  return 0;
}
