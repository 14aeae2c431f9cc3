"""Builds the raw layer, pgcache._pgcache, of C that SWIG generated; all else stands in pyproject.toml. SPDX-License-Identifier: MIT

The library is found by pkg-config, or where PGCACHE_CFLAGS and PGCACHE_LIBS say.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


def flags(variable: str, option: str) -> list[str]:
    given = os.environ.get(variable)
    if given is not None:
        return shlex.split(given)
    try:
        return shlex.split(subprocess.check_output(["pkg-config", option, "pgcache"], text=True))
    except (OSError, subprocess.CalledProcessError):
        sys.exit("pgcache: the library is not found: install it first, or set PGCACHE_CFLAGS and PGCACHE_LIBS")


class BuildExt(build_ext):
    def build_extension(self, ext: Extension) -> None:
        ext.extra_compile_args += [*flags("PGCACHE_CFLAGS", "--cflags"), "-fvisibility=hidden"]
        ext.extra_link_args += flags("PGCACHE_LIBS", "--libs")
        super().build_extension(ext)


sources = sorted(str(path) for path in Path("raw").glob("*.c"))
setup(ext_modules=[Extension("pgcache._pgcache", sources)], cmdclass={"build_ext": BuildExt})
