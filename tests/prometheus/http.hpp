/*
 * http.hpp - as much of an HTTP client as the tests of the endpoint need. Waits for nothing longer than five seconds.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_HTTP_HPP
#define PGCACHE_TESTS_HTTP_HPP

#include <arpa/inet.h>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

namespace test {

struct Response {
  int status = 0;
  std::string head;
  std::string body;
  std::string header(const std::string &name) const {
    const size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos)
      return "";
    const size_t start = at + name.size() + 4;
    return head.substr(start, head.find("\r\n", start) - start);
  }
};

class Connection {
public:
  explicit Connection(int port) : fd_(connect_to(port)) {
    if (fd_ < 0)
      throw std::runtime_error("cannot connect to the endpoint");
    const timeval limit = {5, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  Connection(const Connection &) = delete;
  Connection &operator=(const Connection &) = delete;
  ~Connection() {
    close(fd_);
  }
  static bool refused(int port) {
    const int fd = connect_to(port);
    if (fd >= 0)
      close(fd);
    return fd < 0;
  }
  void send(const std::string &bytes) {
    (void)::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); /* it may be closed before all of it was taken */
  }
  /* Sends a request and reads the whole answer. */
  Response ask(const std::string &request) {
    send(request);
    Response response;
    std::string text;
    size_t end;
    while ((end = text.find("\r\n\r\n")) == std::string::npos)
      more(text);
    response.head = text.substr(0, end + 2);
    response.status = std::stoi(text.substr(9, 3));
    const size_t length = request.rfind("HEAD", 0) == 0 ? 0 : std::stoul(response.header("Content-Length"));
    while (text.size() < end + 4 + length)
      more(text);
    response.body = text.substr(end + 4);
    return response;
  }
  /* The other side has ended it. */
  bool is_closed() {
    char byte;
    return recv(fd_, &byte, 1, 0) <= 0 && errno != EAGAIN && errno != EWOULDBLOCK;
  }

private:
  static int connect_to(int port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in where = {};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<uint16_t>(port));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, reinterpret_cast<const sockaddr *>(&where), sizeof where) == 0)
      return fd;
    close(fd);
    return -1;
  }
  void more(std::string &text) {
    char bytes[16384];
    const ssize_t count = recv(fd_, bytes, sizeof bytes, 0);
    if (count <= 0)
      throw std::runtime_error("the endpoint gave no whole answer: " + text);
    text.append(bytes, static_cast<size_t>(count));
  }
  int fd_;
};

/* The address that something listens on at this port, as /proc says: eight hexadecimal digits. */
inline std::string listening_address(int port) {
  char wanted[8];
  snprintf(wanted, sizeof wanted, ":%04X", static_cast<unsigned>(port));
  std::ifstream table("/proc/net/tcp");
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string number, local, remote, state;
    words >> number >> local >> remote >> state;
    if (state == "0A" && local.size() == 13 && local.substr(8) == wanted)
      return local.substr(0, 8);
  }
  return "";
}

} // namespace test

#endif
