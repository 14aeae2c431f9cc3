/*
 * common.hpp - what nearly every test includes. The build compiles it once; nothing includes it, and no file may rely on it: each
 * includes what it uses.
 *
 * SPDX-License-Identifier: MIT
 */
#include "support/catch.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>
