"""Django's own tests of cache backends, done with ours; see django_suite.py. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import json
import subprocess

import django
import pytest

NOT_FOR_US = {"test_cull", "test_zero_cull", "test_cull_delete_when_store_empty"}
"""A write culls nothing: janitors keep the limits of a namespace, see `Cache.set_limits()`."""


def test_django_s_own_tests(django_suite: list[subprocess.Popen[str]], capsys: pytest.CaptureFixture[str]) -> None:
    ran, skipped = 0, {}
    for process in django_suite:
        output, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        told = json.loads(output)
        assert told["failed"] == {}, "\n".join(told["failed"].values())
        ran += told["ran"]
        skipped.update(told["skipped"])
    assert ran > 50
    assert skipped.keys() == NOT_FOR_US
    with capsys.disabled():
        print(f"\nDjango {django.__version__}: {ran} tests of backends; skipped: {skipped}")
