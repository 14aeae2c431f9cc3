/*
 * doctor_near.c - can the near cache hear of changes, and if not, why. Must never: start a listener, which a process that only
 * writes does not have.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <inttypes.h>

#include "store/doctor.h"
#include "store/listener.h"

/* What a fence waits for at most: a poll of a healthy listener takes milliseconds. */
#define FENCE_MS 2000

static void add_pooler(pgc_doctor *self, const char *evidence) {
  pgc_findings_add(
      &self->findings,
      (pgc_finding){PGC_SEVERITY_WARNING, "near", "the near cache stays off: a connection pooler stands in between",
                    evidence,
                    "let the setting listen_url name the server itself, past the pooler; or set near_max_bytes=0"});
}

static void add_elsewhere(pgc_doctor *self, const char *evidence) {
  pgc_findings_add(&self->findings,
                   (pgc_finding){PGC_SEVERITY_WARNING, "near",
                                 "the near cache stays off: listen_url leads elsewhere than url, or through a pooler",
                                 evidence,
                                 "let listen_url name the server and the database of url; or set near_max_bytes=0"});
}

/* A listener is at work: what it says, with a poll of this moment. */
static void judge_listener(pgc_doctor *self) {
  pgc_listener *listener = self->op->u.doctor.listener;
  pgcache_error failure = PGCACHE_ERROR_INIT;
  pgc_deadline until = pgc_deadline_in(FENCE_MS);
  if (until > self->session->deadline)
    until = self->session->deadline;
  pgcache_status status = pgc_listener_fence(listener, until, &failure);
  if (status == PGCACHE_OK)
    pgc_findings_add_format(
        &self->findings, (pgc_finding){PGC_SEVERITY_OK, "near", "the near cache hears of every change", NULL, ""},
        "its connection has answered; this process is %s", pgc_listener_is_relay(listener) ? "the relay" : "no relay");
  else if (status == PGCACHE_BAD_SETTING && self->op->u.doctor.listens_elsewhere)
    add_elsewhere(self, failure.message);
  else if (status == PGCACHE_BAD_SETTING)
    add_pooler(self, failure.message);
  else
    pgc_findings_add(&self->findings,
                     (pgc_finding){PGC_SEVERITY_WARNING, "near",
                                   "the near cache hears of nothing, reads ask the server", failure.message,
                                   "see to its connection: the evidence says what is wrong with it"});
}

void pgc_doctor_near(pgc_doctor *self) {
  int64_t max_bytes = self->op->u.doctor.near_max_bytes;
  bool elsewhere = self->op->u.doctor.listens_elsewhere;
  if (max_bytes == 0)
    pgc_findings_add(&self->findings, (pgc_finding){PGC_SEVERITY_OK, "near", "the near cache is switched off",
                                                    "near_max_bytes is 0, or coherence=off", ""});
  else if (self->op->u.doctor.listener != NULL)
    judge_listener(self);
  else if (self->pooler && !elsewhere)
    add_pooler(self, "see the finding pooler; listen_url is not set");
  else
    pgc_findings_add_format(&self->findings,
                            (pgc_finding){PGC_SEVERITY_OK, "near",
                                          elsewhere ? "the near cache will listen at listen_url; nobody has read yet"
                                                    : "the near cache will listen at the url; nobody has read yet",
                                          NULL, ""},
                            "near_max_bytes is %" PRId64, max_bytes);
}
