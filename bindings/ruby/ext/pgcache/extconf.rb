# Makes the extension: the raw layer over libpgcache, which pkg-config has to know. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require "mkmf"

unless pkg_config("pgcache")
  abort "pgcache: pkg-config does not know libpgcache. Install it first; where it is installed elsewhere than the system's " \
        "packages, PKG_CONFIG_PATH has to name the folder of pgcache.pc."
end
abort "pgcache: a C++ compiler is needed to build this gem" unless RbConfig::CONFIG["CXX"]

# What SWIG writes is not warned about.
$CXXFLAGS << " -std=c++17 -fvisibility=hidden -Wno-register"
create_makefile("pgcache/raw")
