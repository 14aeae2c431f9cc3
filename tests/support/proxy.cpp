/*
 * proxy.cpp - see proxy.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/proxy.hpp"

#include "support/private_server.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace test {

namespace {

const size_t WAITING_MAX = 1 << 20; /* read no more from a source whose sink is that far behind */

int unix_socket(const std::string &path, sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (path.size() >= sizeof address->sun_path)
    throw std::runtime_error("socket path too long: " + path);
  memcpy(address->sun_path, path.c_str(), path.size());
  return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

void close_fd(int &fd) {
  if (fd >= 0)
    close(fd);
  fd = -1;
}

} // namespace

Proxy::Proxy(const std::string &server) : upstream_(conninfo_parts(server)) {
  static std::atomic<int> count{0};
  folder_ = scratch_folder() + "/p" + std::to_string(++count);
  if (mkdir(folder_.c_str(), 0755) != 0)
    throw std::runtime_error("mkdir failed");
  sockaddr_un address;
  listener_ = unix_socket(folder_ + "/.s.PGSQL.5432", &address);
  if (bind(listener_, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0 || listen(listener_, 64) != 0 ||
      pipe2(wake_, O_CLOEXEC | O_NONBLOCK) != 0) {
    throw std::runtime_error("the proxy cannot listen");
  }
  thread_ = std::thread([this] { loop(); });
}

Proxy::~Proxy() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake();
  thread_.join();
  for (auto &link : links_) {
    close_fd(link.fd[0]);
    close_fd(link.fd[1]);
  }
  close_fd(listener_);
  close_fd(wake_[0]);
  close_fd(wake_[1]);
  unlink((folder_ + "/.s.PGSQL.5432").c_str());
  rmdir(folder_.c_str());
}

std::string Proxy::conninfo(const std::map<std::string, std::string> &changes) const {
  std::map<std::string, std::string> all = upstream_;
  all["host"] = folder_;
  all["hostaddr"] = "";
  all["port"] = "5432";
  all["sslmode"] = "disable";
  for (const auto &[name, value] : changes)
    all[name] = value;
  return conninfo_with("", all);
}

void Proxy::wake() {
  if (write(wake_[1], "x", 1) < 0 && errno != EAGAIN)
    throw std::runtime_error("wake failed");
}

void Proxy::cut_after(Direction direction, int64_t n) {
  std::lock_guard<std::mutex> lock(mutex_);
  cut_after_[direction] = n;
  cuts_ = 0;
}

void Proxy::cut() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto &link : links_)
      link.dead = true;
  }
  wake();
}

void Proxy::half_close() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto &link : links_) {
    link.mute = true;
    shutdown(link.fd[TO_CLIENT], SHUT_WR);
  }
}

void Proxy::black_hole(bool on) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    black_hole_ = on;
  }
  wake();
}

void Proxy::strand() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto &link : links_)
      link.stranded = true;
  }
  wake();
}

void Proxy::hold_answers(bool on) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    hold_ = on;
  }
  wake();
}

void Proxy::refuse(bool on) {
  std::lock_guard<std::mutex> lock(mutex_);
  refuse_ = on;
}

void Proxy::delay(int milliseconds) {
  std::lock_guard<std::mutex> lock(mutex_);
  delay_ms_ = milliseconds;
}

void Proxy::rewrite(std::function<void(Direction, std::string &)> function) {
  std::lock_guard<std::mutex> lock(mutex_);
  rewrite_ = std::move(function);
}

void Proxy::say(const std::string &bytes) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto &link : links_)
      link.waiting[TO_CLIENT] += bytes;
  }
  wake();
}

int Proxy::connect_upstream() const {
  const auto part = [&](const char *name, const char *fallback) {
    const auto found = upstream_.find(name);
    return found != upstream_.end() ? found->second : std::string(fallback);
  };
  const std::string host = part("host", "/var/run/postgresql");
  const std::string port = part("port", "5432");
  int fd = -1;
  if (host[0] == '/') {
    sockaddr_un address;
    fd = unix_socket(host + "/.s.PGSQL." + port, &address);
    fcntl(fd, F_SETFL, 0);
    if (connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0)
      close_fd(fd);
  } else {
    addrinfo hints = {};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo *found = nullptr;
    if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0)
      return -1;
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, found->ai_addr, found->ai_addrlen) != 0)
      close_fd(fd);
    freeaddrinfo(found);
  }
  if (fd >= 0)
    fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

void Proxy::accept_one() {
  int client = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (client < 0)
    return;
  accepted_++;
  if (refuse_) {
    close_fd(client);
    return;
  }
  Link link;
  link.fd[TO_CLIENT] = client;
  if (!black_hole_) {
    link.fd[TO_SERVER] = connect_upstream();
    link.dead = link.fd[TO_SERVER] < 0;
  }
  links_.push_back(std::move(link));
}

/* Direction's source is the other end's descriptor. */
void Proxy::receive(Link &link, Direction direction) {
  char buffer[65536];
  const ssize_t n = recv(link.fd[1 - direction], buffer, sizeof buffer, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0) {
    link.ended[direction] = true;
    return;
  }
  std::string data(buffer, static_cast<size_t>(n));
  if (delay_ms_ > 0)
    sleep_ms(delay_ms_);
  if (rewrite_)
    rewrite_(direction, data);
  link.waiting[direction] += data;
}

void Proxy::send_on(Link &link, Direction direction) {
  std::string &data = link.waiting[direction];
  if (link.mute && direction == TO_CLIENT)
    data.clear();
  int64_t &left = cut_after_[direction];
  while (!data.empty()) {
    size_t size = data.size();
    if (left >= 0 && static_cast<int64_t>(size) > left)
      size = static_cast<size_t>(left);
    const ssize_t n = size == 0 ? 0 : send(link.fd[direction], data.data(), size, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno != EAGAIN && errno != EINTR)
        link.dead = true;
      return;
    }
    bytes_[direction] += n;
    data.erase(0, static_cast<size_t>(n));
    if (left >= 0) {
      left -= n;
      if (left == 0) {
        left = -1;
        cuts_++;
        link.dead = true;
        return;
      }
    }
  }
  if (link.ended[direction])
    link.dead = true;
}

void Proxy::loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    std::vector<pollfd> fds = {{listener_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
    std::vector<std::pair<Link *, int>> owners; /* and which end of it */
    for (auto &link : links_) {
      for (int end = 0; end < 2; end++) {
        if (link.fd[end] < 0 || black_hole_ || link.stranded)
          continue;
        short events = 0;
        if (!link.ended[1 - end] && link.waiting[1 - end].size() < WAITING_MAX)
          events |= POLLIN;
        if (!link.waiting[end].empty() && !(hold_ && end == TO_CLIENT))
          events |= POLLOUT;
        fds.push_back({link.fd[end], events, 0});
        owners.push_back({&link, end});
      }
    }
    lock.unlock();
    poll(fds.data(), fds.size(), -1);
    lock.lock();
    char drain[64];
    while (read(wake_[0], drain, sizeof drain) > 0) {
    }
    if (fds[0].revents != 0)
      accept_one();
    for (size_t i = 2; i < fds.size() && !black_hole_; i++) {
      Link &link = *owners[i - 2].first;
      const int end = owners[i - 2].second;
      if (!link.dead && !link.stranded && (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        receive(link, static_cast<Direction>(1 - end));
      }
    }
    for (auto it = links_.begin(); it != links_.end();) {
      Link &link = *it;
      if (!black_hole_ && !link.dead && !link.stranded) {
        send_on(link, TO_SERVER);
        if (!link.dead && !hold_)
          send_on(link, TO_CLIENT);
      }
      if (link.dead) {
        close_fd(link.fd[0]);
        close_fd(link.fd[1]);
        it = links_.erase(it);
      } else {
        ++it;
      }
    }
  }
}

} // namespace test
