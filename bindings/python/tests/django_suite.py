"""Django's own tests of cache backends, done with ours: those that all of its backends have to pass, from its source distribution.

Usage: python django_suite.py FOLDER ONLY...    FOLDER: Django's tests; ONLY: names of tests, or all others with - before each
Prints JSON: how many ran, which were skipped and why, and what failed.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import json
import os
import sys
import unittest

import django
from django.conf import settings


def main(folder: str, *only: str) -> int:
    sys.path.insert(0, folder)
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=["cache"],
        SECRET_KEY="of the tests",
        USE_TZ=False,
    )
    django.setup()
    from cache.tests import BaseCacheTests, caches_setting_for_tests
    from django.test import TestCase, override_settings
    from django.test.runner import DiscoverRunner

    # Each run has a part of its own: the tests empty theirs. There is no culling by numbers of entries when one is stored.
    options = {"schema": os.environ["PGCACHE_SCHEMA"], "namespace": f"django-{os.getpid()}", "janitor": None, "on_error": "error"}
    caches = caches_setting_for_tests(
        BACKEND="pgcache.django.PgcacheBackend", LOCATION=os.environ["PGCACHE_TEST_URL"], OPTIONS=options, exclude={"cull", "zero_cull"}
    )

    @override_settings(CACHES=caches)
    class PgcacheTests(BaseCacheTests, TestCase):  # type: ignore[misc]
        pass

    names = unittest.defaultTestLoader.getTestCaseNames(PgcacheTests)
    left_out = {name.removeprefix("-") for name in only if name.startswith("-")}
    chosen = [name for name in names if name not in left_out] if left_out else list(only)
    runner = DiscoverRunner(verbosity=0, interactive=False)
    runner.setup_test_environment()
    databases = runner.setup_databases()
    result = unittest.TestResult()
    unittest.TestSuite(map(PgcacheTests, chosen)).run(result)
    runner.teardown_databases(databases)
    told = {
        "ran": result.testsRun,
        "skipped": {str(test).split()[0]: why for test, why in result.skipped},
        "failed": {str(test): why for test, why in result.failures + result.errors},
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
