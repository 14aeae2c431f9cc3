/*
 * changes.h - the change stream as bytes: what a poll of the table `changes` gives, what the relay sends as notifications,
 * and the position of a snapshot. All input is hostile: a notification can be sent by any role of the database.
 *
 * A frame is what one row of `changes` says: int2 kind, int4 length, then its events, all big-endian:
 *   ENTRIES      n * (digest 16 bytes, version 8 bytes): these entries have changed
 *   INVALIDATED  n * (digest 16 bytes): whatever depends on these digests, of keys or tags, is not valid any more
 *   EVERYTHING   no bytes: all entries of all namespaces were removed
 *   RELEASED     n * (digest 16 bytes): leases on these keys were released; nothing for a near cache
 * A message is the payload of a notification, in ASCII, at most PGC_MESSAGE_MAX bytes:
 *   1 <nonce, 32 hex digits> <from> <part> <parts> <to> <frames in base64>
 * from and to are positions, in decimal; to is the snapshot's text in the last part and - in the others.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_CHANGES_H
#define PGC_PURE_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/buffer.h"
#include "pure/digest.h"

typedef enum pgc_change_kind {
  PGC_CHANGE_ENTRIES,
  PGC_CHANGE_INVALIDATED,
  PGC_CHANGE_EVERYTHING,
  PGC_CHANGE_RELEASED
} pgc_change_kind;

typedef struct pgc_change {
  pgc_change_kind kind;
  pgc_digest digest; /* but of EVERYTHING */
  int64_t version;   /* of ENTRIES */
} pgc_change;

/* Hands each change of a run of frames to `apply`. False, and nothing was applied, if the bytes are no frames; kinds that are not
   known are passed over. */
bool pgc_changes_apply(const unsigned char *frames, size_t size, void (*apply)(void *context, const pgc_change *change),
                       void *context);

/* A snapshot, from the text of a pg_snapshot "xmin:xmax:xip,xip": the cursor is the whole of it. */
#define PGC_SNAPSHOT_TEXT_MAX 4000
typedef struct pgc_snapshot {
  uint64_t xmax;
  size_t in_progress;                   /* how many */
  int64_t position;                     /* xmax less those: grows with every transaction that ends */
  char text[PGC_SNAPSHOT_TEXT_MAX + 1]; /* "" : none was taken yet */
} pgc_snapshot;

/* False if it is none, or has too many transactions in progress for a message; *out is then as it was. */
bool pgc_snapshot_parse(pgc_snapshot *out, const char *text, size_t size);

/* The longest payload that PostgreSQL takes is 7,999 bytes (PostgreSQL documentation, NOTIFY). */
#define PGC_MESSAGE_MAX 7999
#define PGC_NONCE_SIZE 16

typedef struct pgc_message {
  unsigned char nonce[PGC_NONCE_SIZE];
  int64_t from;
  uint32_t part, parts; /* 1 .. parts */
  pgc_snapshot to;      /* of the last part; text "" in the others */
  pgc_buffer frames;    /* to be cleared by the caller */
} pgc_message;

/* Reads a payload. False if it is none, or memory ran out; frames is then empty. */
bool pgc_message_parse(pgc_message *out, const char *payload, size_t size);

/* Writes frames as messages: each payload with its NUL behind the one before in `out`, and how many in *parts. False when the
   frames are none, need more than parts_max messages, or memory ran out. */
bool pgc_messages_write(pgc_buffer *out, uint32_t *parts, const unsigned char nonce[PGC_NONCE_SIZE], int64_t from,
                        const pgc_snapshot *to, const unsigned char *frames, size_t size, uint32_t parts_max);

#endif
