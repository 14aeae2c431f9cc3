/*
 * pickle.c - reading Python's pickles of plain data, as JSON.
 *
 * A pickle is a program for a machine with a stack and a memo, and Python's own reader runs whatever it asks for. This one
 * knows the instructions that make plain data, and refuses all others: it must never import, call or make anything. A
 * pickle comes from a table that others write, so nothing in it is believed, and both memory and time are bounded by its
 * size and that of the value.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pickle.h"

#include <string.h>

#include "pgcache.h"
#include "pickle_json.h"
#include "platform/memory.h"

/* An array that grows. */
typedef struct array {
  void *items;
  size_t count, room;
} array;

typedef struct reader {
  const unsigned char *at, *end;
  array nodes, links;       /* those number 0 stand for none */
  array stack, memo, marks; /* of uint32_t: nodes; nodes; how high the stack was */
  pickle_status status;     /* the first thing that was wrong */
} reader;

/* ---- Memory ---------------------------------------------------------------------------------------------------- */

static void fail(reader *self, pickle_status status) {
  if (self->status == PICKLE_OK)
    self->status = status;
}

/* A new item at the end, or NULL after fail(). */
static void *add(reader *self, array *to, size_t item_size) {
  if (to->count == to->room) {
    size_t room = to->room == 0 ? 64 : to->room * 2;
    void *items = room > UINT32_MAX ? NULL : pgc_realloc(to->items, room * item_size);
    if (items == NULL) {
      fail(self, PICKLE_NO_MEMORY);
      return NULL;
    }
    to->items = items;
    to->room = room;
  }
  return (char *)to->items + to->count++ * item_size;
}

static void add_number(reader *self, array *to, uint32_t number) {
  uint32_t *place = add(self, to, sizeof *place);
  if (place != NULL)
    *place = number;
}

static node *node_at(const reader *self, uint32_t index) {
  return (node *)self->nodes.items + index;
}

static uint32_t number_at(const array *from, size_t index) {
  return ((const uint32_t *)from->items)[index];
}

/* ---- The stack ------------------------------------------------------------------------------------------------- */

/* How much of the stack the last mark covers. */
static size_t floor_of(const reader *self) {
  return self->marks.count == 0 ? 0 : number_at(&self->marks, self->marks.count - 1);
}

static void push_node(reader *self, node value) {
  node *place = add(self, &self->nodes, sizeof *place);
  if (place == NULL)
    return;
  *place = value;
  add_number(self, &self->stack, (uint32_t)(self->nodes.count - 1));
}

static void push_data(reader *self, node_kind kind, const void *data, size_t size) {
  push_node(self, (node){.kind = kind, .size = (uint32_t)size, .of.data = data});
}

/* Hangs the node into the one that holds it. */
static void hang(reader *self, uint32_t holder, uint32_t held) {
  link *place = add(self, &self->links, sizeof *place);
  if (place == NULL)
    return;
  *place = (link){held, 0};
  uint32_t index = (uint32_t)(self->links.count - 1);
  node *into = node_at(self, holder);
  if (into->of.links.last == 0)
    into->of.links.first = index;
  else
    ((link *)self->links.items)[into->of.links.last].next = index;
  into->of.links.last = index;
}

/* Takes the last `count` values from the stack and hangs them into the one below them. */
static void collect(reader *self, node_kind kind, size_t count) {
  if (self->stack.count < floor_of(self) + count + 1) {
    fail(self, PICKLE_DAMAGED);
    return;
  }
  size_t first = self->stack.count - count;
  uint32_t holder = number_at(&self->stack, first - 1);
  if (node_at(self, holder)->kind != kind) {
    fail(self, PICKLE_DAMAGED);
    return;
  }
  for (size_t index = first; index < first + count; index++)
    hang(self, holder, number_at(&self->stack, index));
  self->stack.count = first;
}

/* Takes the last `count` values from the stack and puts a tuple of them there. */
static void make_tuple(reader *self, node_kind kind, size_t count) {
  if (self->stack.count < floor_of(self) + count) {
    fail(self, PICKLE_DAMAGED);
    return;
  }
  size_t first = self->stack.count - count;
  node *place = add(self, &self->nodes, sizeof *place);
  if (place == NULL)
    return;
  *place = (node){.kind = kind};
  uint32_t tuple = (uint32_t)(self->nodes.count - 1);
  for (size_t index = first; index < first + count; index++)
    hang(self, tuple, number_at(&self->stack, index));
  self->stack.count = first;
  add_number(self, &self->stack, tuple);
}

/* How many values stand above the last mark, which is taken away. */
static size_t take_mark(reader *self) {
  if (self->marks.count == 0) {
    fail(self, PICKLE_DAMAGED);
    return 0;
  }
  size_t count = self->stack.count - floor_of(self);
  self->marks.count--;
  return count;
}

static void memo_put(reader *self, size_t index) {
  if (self->stack.count == floor_of(self) || index > self->memo.count) {
    fail(self, PICKLE_DAMAGED); /* Python numbers them one after the other */
    return;
  }
  uint32_t top = number_at(&self->stack, self->stack.count - 1);
  if (index == self->memo.count)
    add_number(self, &self->memo, top);
  else
    ((uint32_t *)self->memo.items)[index] = top;
}

static void memo_get(reader *self, size_t index) {
  if (index < self->memo.count)
    add_number(self, &self->stack, number_at(&self->memo, index));
  else
    fail(self, PICKLE_DAMAGED);
}

/* ---- The instructions ------------------------------------------------------------------------------------------- */

/* The next bytes of the pickle, or NULL after fail(). */
static const unsigned char *take(reader *self, size_t size) {
  if ((size_t)(self->end - self->at) < size) {
    fail(self, PICKLE_DAMAGED);
    return NULL;
  }
  self->at += size;
  return self->at - size;
}

/* The next number, whose lowest byte comes first. 0 after fail(). */
static uint64_t take_number(reader *self, size_t size) {
  const unsigned char *bytes = take(self, size);
  uint64_t number = 0;
  for (size_t index = size; bytes != NULL && index-- > 0;)
    number = number << 8 | bytes[index];
  return number;
}

/* A value whose length, of so many bytes, stands before it. */
static void take_data(reader *self, node_kind kind, size_t length_size) {
  uint64_t size = take_number(self, length_size);
  if (size > UINT32_MAX) {
    fail(self, PICKLE_TOO_LARGE);
    return;
  }
  const unsigned char *bytes = take(self, size);
  if (bytes != NULL)
    push_data(self, kind, bytes, size);
}

static void take_fixed(reader *self, node_kind kind, size_t size) {
  const unsigned char *bytes = take(self, size);
  if (bytes != NULL)
    push_data(self, kind, bytes, size);
}

/* What the instructions do, with the kind and the number that stand beside them in the table. */

static void put_mark(reader *self, node_kind kind, size_t number) {
  (void)kind, (void)number;
  add_number(self, &self->marks, (uint32_t)self->stack.count);
}

static void skip(reader *self, node_kind kind, size_t number) {
  (void)kind;
  take(self, number);
}

static void push_word(reader *self, node_kind kind, size_t number) {
  static const char *const words[] = {"null", "true", "false"};
  push_data(self, kind, words[number], strlen(words[number]));
}

static void push_holder(reader *self, node_kind kind, size_t number) {
  (void)number;
  push_node(self, (node){.kind = kind});
}

static void make_marked_tuple(reader *self, node_kind kind, size_t number) {
  (void)number;
  make_tuple(self, kind, take_mark(self));
}

/* number: how many belong together. */
static void collect_marked(reader *self, node_kind kind, size_t number) {
  size_t count = take_mark(self);
  if (count % number != 0)
    fail(self, PICKLE_DAMAGED);
  else
    collect(self, kind, count);
}

static void memo_next(reader *self, node_kind kind, size_t number) {
  (void)kind, (void)number;
  memo_put(self, self->memo.count);
}

static void memo_put_number(reader *self, node_kind kind, size_t number) {
  (void)kind;
  memo_put(self, take_number(self, number));
}

static void memo_get_number(reader *self, node_kind kind, size_t number) {
  (void)kind;
  memo_get(self, take_number(self, number));
}

/* By their codes; the names are those of Python's pickletools. What is not here makes more than plain data. */
static const struct instruction {
  void (*run)(reader *self, node_kind kind, size_t number);
  node_kind kind;
  size_t number;
} instructions[256] = {
    ['('] = {put_mark, NODE_WORD, 0},           /* MARK */
    [0x95] = {skip, NODE_WORD, 8},              /* FRAME: the length of what follows, for readers of streams */
    ['N'] = {push_word, NODE_WORD, 0},          /* NONE */
    [0x88] = {push_word, NODE_WORD, 1},         /* NEWTRUE */
    [0x89] = {push_word, NODE_WORD, 2},         /* NEWFALSE */
    ['K'] = {take_fixed, NODE_NATURAL, 1},      /* BININT1 */
    ['M'] = {take_fixed, NODE_NATURAL, 2},      /* BININT2 */
    ['J'] = {take_fixed, NODE_INT, 4},          /* BININT */
    [0x8a] = {take_data, NODE_INT, 1},          /* LONG1 */
    ['G'] = {take_fixed, NODE_FLOAT, 8},        /* BINFLOAT */
    [0x8c] = {take_data, NODE_TEXT, 1},         /* SHORT_BINUNICODE */
    ['X'] = {take_data, NODE_TEXT, 4},          /* BINUNICODE */
    [0x8d] = {take_data, NODE_TEXT, 8},         /* BINUNICODE8 */
    ['C'] = {take_data, NODE_BYTES, 1},         /* SHORT_BINBYTES */
    ['B'] = {take_data, NODE_BYTES, 4},         /* BINBYTES */
    [0x8e] = {take_data, NODE_BYTES, 8},        /* BINBYTES8 */
    [']'] = {push_holder, NODE_LIST, 0},        /* EMPTY_LIST */
    ['a'] = {collect, NODE_LIST, 1},            /* APPEND */
    ['e'] = {collect_marked, NODE_LIST, 1},     /* APPENDS */
    [')'] = {make_tuple, NODE_TUPLE, 0},        /* EMPTY_TUPLE */
    [0x85] = {make_tuple, NODE_TUPLE, 1},       /* TUPLE1 */
    [0x86] = {make_tuple, NODE_TUPLE, 2},       /* TUPLE2 */
    [0x87] = {make_tuple, NODE_TUPLE, 3},       /* TUPLE3 */
    ['t'] = {make_marked_tuple, NODE_TUPLE, 0}, /* TUPLE */
    ['}'] = {push_holder, NODE_DICT, 0},        /* EMPTY_DICT */
    ['s'] = {collect, NODE_DICT, 2},            /* SETITEM */
    ['u'] = {collect_marked, NODE_DICT, 2},     /* SETITEMS */
    [0x94] = {memo_next, NODE_WORD, 0},         /* MEMOIZE */
    ['q'] = {memo_put_number, NODE_WORD, 1},    /* BINPUT */
    ['r'] = {memo_put_number, NODE_WORD, 4},    /* LONG_BINPUT */
    ['h'] = {memo_get_number, NODE_WORD, 1},    /* BINGET */
    ['j'] = {memo_get_number, NODE_WORD, 4},    /* LONG_BINGET */
};

/* Runs the pickle. What it says is then the only value on the stack. */
static void run(reader *self) {
  const unsigned char *code = take(self, 2);
  if (code != NULL && (code[0] != 0x80 /* PROTO */ || code[1] < 2 || code[1] > 5))
    fail(self, PICKLE_DAMAGED);
  while (self->status == PICKLE_OK && (code = take(self, 1)) != NULL && *code != '.' /* STOP */) {
    const struct instruction *instruction = &instructions[*code];
    if (instruction->run != NULL)
      instruction->run(self, instruction->kind, instruction->number);
    else
      fail(self, PICKLE_OBJECT);
  }
  if (self->stack.count != 1 || self->marks.count != 0 || self->at != self->end)
    fail(self, PICKLE_DAMAGED);
}

pickle_status pickle_read(pickle_value *out, const void *data, size_t size, size_t most) {
  reader self = {.at = data, .end = (const unsigned char *)data + size, .status = PICKLE_OK};
  *out = (pickle_value){NULL, 0, PGCACHE_FORMAT_JSON};
  add(&self, &self.nodes, sizeof(node));
  add(&self, &self.links, sizeof(link));
  if (self.status == PICKLE_OK)
    run(&self);
  if (self.status == PICKLE_OK) {
    const pickle_tree tree = {self.nodes.items, self.links.items, number_at(&self.stack, 0)};
    self.status = pickle_write(out, &tree, most);
  }
  pgc_free(self.nodes.items);
  pgc_free(self.links.items);
  pgc_free(self.stack.items);
  pgc_free(self.memo.items);
  pgc_free(self.marks.items);
  return self.status;
}
