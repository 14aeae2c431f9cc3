/*
 * local_place.c - the folder of a local server: where it is, whose it is, and who works on it.
 *
 * Owns the folder itself, the change of account and the lock. As root it must never do more than make the folder and
 * hand it to the server's account: everything inside is done as that account, so that nothing there can lead root
 * astray. It must never take over a folder that holds something else.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "local_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local_process.h"
#include "output.h"
#include "watch.h"

/* How long a start or stop waits for another one of the same folder. */
#define LOCK_WAIT_MS 300000

/* How long root waits for another start that makes the same folder to hand it over. */
#define HAND_OVER_WAIT_MS 900

/* The account that PostgreSQL's packages make. */
#define SERVER_ACCOUNT "postgres"

/* ---- Where ----------------------------------------------------------------------------------------------------- */

/* Makes "local:/path" from the argument of --dir. The path is not resolved: it may not be there yet. */
static int address_of_dir(char *url, size_t size, const char *dir) {
  char here[4096] = "";
  while (strncmp(dir, "./", 2) == 0)
    dir += 2 + strspn(dir + 2, "/");
  if (dir[0] != '/' && getcwd(here, sizeof here) == NULL) {
    out_error("cannot tell the working directory: %s", strerror(errno));
    return CLI_ERROR;
  }
  if (strcmp(dir, ".") == 0)
    dir = "";
  const char *slash = here[0] != '\0' && dir[0] != '\0' ? "/" : "";
  int length = snprintf(url, size, "local:%s%s%s", here, slash, dir);
  if ((size_t)length < size && pgc_address_problem(url) == NULL)
    return CLI_OK;
  out_error("--dir cannot be used, because the path of a Unix socket is short: the folder must be an absolute path of "
            "at most %d bytes (it has %zu), other than /, without commas and control characters",
            PGC_LOCAL_DIR_MAX, strlen(here) + strlen(slash) + strlen(dir));
  return CLI_ERROR;
}

int place_find(local_place *out, const cli_session *session) {
  char url[8192] = "local:";
  const char *configured = pgcache_config_get(session->config, "url");
  memset(out, 0, sizeof *out);
  out->lock_descriptor = -1;
  if (cli_given(session, OPTION_DIR)) {
    int code = address_of_dir(url, sizeof url, session->values[OPTION_DIR]);
    if (code != CLI_OK)
      return code;
  } else if (strncmp(configured, "local:", 6) == 0) {
    snprintf(url, sizeof url, "%s", configured); /* the library has checked its length */
  }
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_status status = pgc_address_parse(&out->address, url, &error);
  if (status != PGCACHE_OK)
    return out_failure(status, &error);
  const char *dir = out->address.local_dir;
  snprintf(out->url, sizeof out->url, "local:%s", dir);
  snprintf(out->data, sizeof out->data, "%s/data", dir);
  snprintf(out->data_new, sizeof out->data_new, "%s/data.tmp", dir);
  snprintf(out->socket, sizeof out->socket, "%s/socket", dir);
  snprintf(out->log, sizeof out->log, "%s/log", dir);
  snprintf(out->log_old, sizeof out->log_old, "%s/log.old", dir);
  snprintf(out->lock, sizeof out->lock, "%s/lock", dir);
  return CLI_OK;
}

void place_clear(local_place *place) {
  if (place->lock_descriptor >= 0)
    close(place->lock_descriptor);
  place->lock_descriptor = -1;
  pgc_address_clear(&place->address);
}

/* ---- Whose ----------------------------------------------------------------------------------------------------- */

static int failed(const char *what, const char *path) {
  out_error("cannot %s %s: %s", what, path, strerror(errno));
  return CLI_ERROR;
}

/* Makes the folder and those above it; *made says that it was not there. */
static int make_folders(const char *path, bool *made) {
  char part[PLACE_PATH_SIZE];
  mode_t mask = umask(0022);
  *made = false;
  for (size_t length = 1;; length++) {
    if (path[length] != '/' && path[length] != '\0')
      continue;
    memcpy(part, path, length);
    part[length] = '\0';
    bool last = path[length] == '\0';
    if (mkdir(part, last ? 0700 : 0755) == 0) {
      *made = last;
    } else if (errno != EEXIST) {
      umask(mask);
      return failed("make the folder", part);
    }
    if (last)
      break;
  }
  umask(0077); /* for everything that is made from here on */
  return CLI_OK;
}

/* Opens the folder itself, never what a link in its place leads to: that would be somebody else's. Gives the
   descriptor, or prints a line and gives -1. */
static int open_folder(const char *path) {
  struct stat facts;
  int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor >= 0)
    return descriptor;
  int reason = errno;
  if (lstat(path, &facts) == 0 && S_ISLNK(facts.st_mode)) {
    out_error("%s is a symbolic link; name the folder itself with --dir", path);
  } else {
    errno = reason;
    failed("open the folder", path);
  }
  return -1;
}

/* True if the working directory holds nothing, or our mark. */
static bool is_ours(void) {
  bool empty = true;
  bool marked = false;
  DIR *folder = opendir(".");
  if (folder == NULL)
    return false;
  for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
      continue;
    empty = false;
    marked = marked || strcmp(entry->d_name, "lock") == 0;
  }
  closedir(folder);
  return empty || marked;
}

/* Becomes an account for good. */
static int become(uid_t user, gid_t group) {
  const struct passwd *account = getpwuid(user);
  int groups = account != NULL ? initgroups(account->pw_name, group) : setgroups(1, &group);
  if (groups != 0 || setgid(group) != 0 || setuid(user) != 0) {
    out_error("cannot become the account that the server belongs to: %s", strerror(errno));
    return CLI_ERROR;
  }
  return CLI_OK;
}

/* As root: gives a folder that this run has made to the server's account, then becomes the folder's owner. Any other
   folder of root's stays root's, even an empty one: it may be /srv, or what a link leads to. */
static int settle_as_root(const char *path, int descriptor, bool made, struct stat *facts) {
  /* Another start may have made it and be about to hand it over. */
  int64_t since = process_now_ms();
  while (!made && facts->st_uid == 0 && process_now_ms() - since < HAND_OVER_WAIT_MS) {
    process_pause(since, "waiting for another start");
    fstat(descriptor, facts);
  }
  if (facts->st_uid == 0) {
    const struct passwd *account = getpwnam(SERVER_ACCOUNT);
    if (account == NULL) {
      out_error("PostgreSQL does not run as root, and there is no account " SERVER_ACCOUNT
                "; install PostgreSQL's server package, or run this as another user");
      return CLI_ERROR;
    }
    if (!made) {
      out_error("%s belongs to root, and PostgreSQL does not run as root; choose with --dir a folder that is not there "
                "yet, or an empty one of the account " SERVER_ACCOUNT,
                path);
      return CLI_ERROR;
    }
    if (fchown(descriptor, account->pw_uid, account->pw_gid) != 0)
      return failed("hand over the folder", path);
    fstat(descriptor, facts);
  }
  return become(facts->st_uid, facts->st_gid);
}

/* What place_make() and place_enter() have in common, once the folder is open. */
static int settle(const char *path, int descriptor, bool made, bool *ours) {
  struct stat facts;
  *ours = false;
  fstat(descriptor, &facts); /* of an open descriptor it cannot fail */
  if (geteuid() == 0) {
    int code = settle_as_root(path, descriptor, made, &facts);
    if (code != CLI_OK)
      return code;
  } else if (facts.st_uid != geteuid()) {
    out_error("%s belongs to another account; choose a folder of your own with --dir", path);
    return CLI_ERROR;
  }
  /* Everything is done from inside: the caller's working directory may be closed to this account, and the server's
     programs complain about that. */
  if (chdir(path) != 0 || access(".", R_OK | W_OK) != 0) {
    out_error("the account that %s belongs to cannot enter it: %s; the folders above it must be open to that account, "
              "or choose another with --dir",
              path, strerror(errno));
    return CLI_ERROR;
  }
  *ours = is_ours();
  return CLI_OK;
}

int place_make(const local_place *place) {
  const char *path = place->address.local_dir;
  bool made = false;
  bool ours = false;
  int code = make_folders(path, &made);
  if (code != CLI_OK)
    return code;
  int descriptor = open_folder(path);
  if (descriptor < 0)
    return CLI_ERROR;
  code = settle(path, descriptor, made, &ours);
  close(descriptor);
  if (code == CLI_OK && !ours) {
    out_error("%s holds something else; choose a folder of its own with --dir", path);
    return CLI_ERROR;
  }
  return code;
}

int place_enter(const local_place *place, bool *there) {
  const char *path = place->address.local_dir;
  *there = false;
  struct stat facts;
  if (lstat(path, &facts) != 0 && (errno == ENOENT || errno == ENOTDIR))
    return CLI_OK;
  int descriptor = open_folder(path);
  if (descriptor < 0)
    return CLI_ERROR;
  int code = CLI_OK;
  /* A folder of root's never held a server. */
  if (geteuid() != 0 || facts.st_uid != 0)
    code = settle(path, descriptor, false, there);
  close(descriptor);
  return code;
}

/* ---- The lock -------------------------------------------------------------------------------------------------- */

int place_lock(local_place *place) {
  int64_t since = process_now_ms();
  place->lock_descriptor = open(place->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (place->lock_descriptor < 0)
    return failed("open", place->lock);
  while (flock(place->lock_descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK)
      return failed("lock", place->lock);
    if (watch_signal() != 0) {
      out_error("interrupted");
      return CLI_ERROR;
    }
    if (process_now_ms() - since > LOCK_WAIT_MS) {
      out_error("another start or stop of this server has been at work for %d s; gave up waiting", LOCK_WAIT_MS / 1000);
      return CLI_ERROR;
    }
    process_pause(since, "waiting for another start or stop");
  }
  out_progress_clear();
  return CLI_OK;
}
