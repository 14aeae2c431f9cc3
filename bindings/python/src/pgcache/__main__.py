"""`python -m pgcache`: the command pgcache. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def command() -> str | None:
    """The command that came with this package, or else the one that is installed."""
    carried = Path(__file__).parent / "_command" / "pgcache"
    return str(carried) if carried.exists() else shutil.which("pgcache")


def main() -> None:
    """Becomes the command."""
    found = command()
    if found is None:
        sys.exit("pgcache: the command is not installed; `make install` of pgcache installs it")
    os.execv(found, ["pgcache", *sys.argv[1:]])


if __name__ == "__main__":
    main()
