# SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # The version of this gem, which is that of the library whose interface it was made from.
  VERSION = "1.0.0"
end
