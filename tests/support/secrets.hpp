/*
 * secrets.hpp - a planted secret, all the places of an address where one can stand, and whether a text shows any of it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_SECRETS_HPP
#define PGCACHE_TESTS_SECRETS_HPP

#include <string>
#include <vector>

namespace test {

/* No three letters of it occur in any word of ours. */
inline const std::string canary = "qZx7Jv9Kw3Yh5Bf1";

/* True if text shows three letters of the canary in a row: also a part of a password is a secret. */
inline bool shows_canary(const std::string &text) {
  for (size_t i = 0; i + 3 <= canary.size(); i++) {
    if (text.find(canary.substr(i, 3)) != std::string::npos)
      return true;
  }
  return false;
}

/* The canary as it is, and broken by whatever could end a password too early for the parser: quoted wrongly, not
   encoded, or typed by mistake. */
inline std::vector<std::string> broken_canaries() {
  std::vector<std::string> out = {canary};
  for (const char *breaker :
       {"@", ":",  "/", "?", "#",  "%", "%Z",   "%ZZ",  "%00", "'",  "\\", " ",   "=",  "[",  "]",
        ",", "\n", "&", "+", "\"", ";", "\x7f", "\xff", "://", "@@", "''", "\\'", "% ", "==", "?a"}) {
    for (size_t at : {size_t{0}, size_t{5}, size_t{8}, size_t{15}, canary.size()})
      out.push_back(canary.substr(0, at) + breaker + canary.substr(at));
  }
  return out;
}

/* Addresses, good and bad, with the secret in every place that somebody could have put it. */
inline std::vector<std::string> addresses_with(const std::string &secret) {
  const std::vector<std::string> forms = {
      "postgresql://u:$@h/d",
      "postgres://u:$@h:5432/d?sslmode=require",
      "postgresql://$@h/d",
      "postgresql://$:$@/d",
      "postgresql://u:$@",
      "postgresql://u:$",
      "postgresql://u:$@[::1/d",
      "postgresql://u:$@[::1]x/d",
      "postgresql://u:$@h:port/d",
      "postgresql://u:$@h:1,i:/d",
      "postgresql://u:$@h/d?connect_timeout=x",
      "postgresql://h/d?password=$",
      "postgresql://h/d?sslpassword=$&user=u",
      "postgresql://h/d?pasword=$",
      "postgresql://h/d?$=password",
      "postgresql://h/d?$",
      "postgresql://h/d?user=u&password=$&",
      "postgresql://h/d?sslmode=$",
      "postgresql://h/d?channel_binding=$",
      "postgresql://h/d?target_session_attrs=$",
      "postgresql://h/d?gssencmode=$",
      "postgresql://h/d?ssl_min_protocol_version=$",
      "postgresql://h/d?options=$",
      "postgresql://h/d?keepalives=$",
      "postgresql://h/d?client_encoding=$",
      "postgresql://h/d?sslcert=$",
      "postgresql://h/d?hostaddr=$",
      "postgresql://h:$/d",
      "postgresql://$/d",
      "postgresql://h/$",
      "postgresql://$",
      "postgresql:/u:$@h/d",
      "postgresq://u:$@h/d",
      "POSTGRESQL://u:$@h/d",
      "postgresql+psycopg://u:$@h/d",
      "redis://:$@h",
      "https://u:$@h/d",
      "host=h password=$",
      "password=$ host=h",
      "host=h password='$'",
      "host=h password='$",
      "host=h password=$ sslmode=never",
      "host=h pasword=$",
      "host=h password $",
      "host=h password = $ user",
      "host=h $",
      "$ host=h",
      "$=x host=h",
      "host=$ port=x",
      "host=h port=$",
      "host=a,b port=1,2,3 password=$",
      "host=h sslmode=$",
      "host=h target_session_attrs=$",
      "host=h channel_binding=$",
      "service=$",
      "host=h service=$",
      "user=u@$ dbname=postgresql://u:$@h/d",
      "$",
      "null:$",
      "null://u:$@h",
      "local:$",
      "local:/$,x",
      "local:/\n$",
      "local:$/postgresql://u:$@h",
  };
  std::vector<std::string> out;
  for (std::string form : forms) {
    for (size_t at = form.find('$'); at != std::string::npos; at = form.find('$', at + secret.size()))
      form.replace(at, 1, secret);
    out.push_back(form);
  }
  return out;
}

} // namespace test

#endif
