# Where ActiveSupport looks for :pgcache_store. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require "pgcache/active_support"
