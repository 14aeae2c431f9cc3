"""Python's runner of the cases that all languages do, see tests/conformance/README.md.

Usage: conformance.py run|write|read|serve CASES [LANGUAGE...]

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

if "PGCACHE_BUILD" in os.environ:
    sys.path.insert(0, str(Path(os.environ["PGCACHE_BUILD"]) / "python" / "lib"))

import pgcache
from pgcache import ABSENT, NEVER, Cache, Encoded, Load, errors

Step = dict[str, Any]
MISSING = object()


class Differs(Exception):
    pass


class MyLoadFailed(Exception):
    pass


def need(true: object, *words: object) -> None:
    if not true:
        raise Differs(" ".join(str(word) for word in words))


def data(given: Any) -> Any:
    """BYTES: text, or bytes."""
    if isinstance(given, str):
        return given
    return bytes.fromhex(given["hex"]) * given.get("times", 1)


def as_bytes(given: Any) -> bytes:
    found = data(given)
    return found.encode() if isinstance(found, str) else found


def ttl_of(milliseconds: Any) -> float | None:
    return None if milliseconds == "default" else NEVER if milliseconds == "never" else milliseconds / 1000


def value_of(step: Step) -> Any:
    """What is to be written."""
    if "json" in step:
        return step["json"]
    return as_bytes(step["value"]) if step.get("format", 0) == 0 else Encoded(as_bytes(step["value"]), step["format"])


def same(found: Any, wanted: Any) -> bool:
    """Equal documents: numbers as numbers, but a boolean is none."""
    if isinstance(found, bool) or isinstance(wanted, bool) or found is None or wanted is None:
        return found is wanted
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in wanted)
    return isinstance(found, (int, float)) == isinstance(wanted, (int, float)) and found == wanted


def check_value(gives: Step, found: Any) -> None:
    if "value" in gives:
        need(isinstance(found, bytes) and found == as_bytes(gives["value"]), "another value, of type", type(found).__name__)
    if "json" in gives:
        need(not isinstance(found, bytes) and same(found, gives["json"]), "another document, of type", type(found).__name__)


SPANS = ("ttl", "stale", "fail_safe", "throttle", "absent_ttl", "lease", "wait")
HOW = {**{f"{name}_ms": name for name in SPANS}, "jitter_percent": "jitter_percent", "early_percent": "early_percent"}


class Scene:
    """The handles of a case, its leases, and what it saved."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.settings = settings
        self.caches: dict[str, Cache] = {}
        self.loads: dict[str, Load] = {}
        self.janitors: dict[str, pgcache.Janitor] = {}
        self.saved: dict[str, int] = {}
        self.ran: dict[int, int] = {}  # how often the loader of a step did, by the step's identity
        self.lock = threading.Lock()

    def open(self, settings: dict[str, str]) -> Cache:
        given = {**self.settings, **settings}
        return Cache(given.pop("url", None), janitor=None, **given)

    def cache(self, name: str) -> Cache:
        with self.lock:
            if name not in self.caches:
                self.caches[name] = self.open({})
            return self.caches[name]

    def close(self) -> None:
        self.loads.clear()
        for cache in self.caches.values():
            cache.close()

    # ---- A step --------------------------------------------------------------------------------------------------------------

    def do(self, step: Step, *, together: bool = False) -> None:
        """Does a step as often as it says. together: of several languages, where others may load, too."""
        until = time.monotonic() + step.get("within_ms", 0) / 1000
        while True:
            try:
                return self._once(step, together)
            except Differs:
                if time.monotonic() >= until:
                    raise
            time.sleep(0.005)

    def _once(self, step: Step, together: bool) -> None:
        before = self.runs(step)
        callers = step.get("callers", 1)
        faults: list[BaseException] = []

        def call(number: int) -> None:
            try:
                self._call(step, number)
            except BaseException as fault:
                faults.append(fault)

        if callers == 1:
            self._call(step, 0)
        else:
            threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if faults:
            raise faults[0]
        loads = step.get("gives", {}).get("loads")
        if loads is not None and not together:
            need(self.runs(step) - before == loads, "the loader ran", self.runs(step) - before, "times, not", loads)

    def runs(self, step: Step) -> int:
        """How often the loader of a step ran."""
        return self.ran.get(id(step), 0)

    def _call(self, step: Step, number: int) -> None:
        taken = Taken(step)
        expected = taken.get("expect", "ok")
        operation = getattr(self, f"do_{taken.get('do')}", None)
        need(operation is not None, "no such operation:", step["do"])
        taken.skip("by", "within_ms", "callers", "sqlstate", "gives", "save", "newer")
        assert operation is not None
        try:
            outcome, version = operation(taken, self.cache(step.get("by", "a")), step.get("gives", {}), number)
        except errors.Error as failure:
            need(expected == failure.status.name.lower(), "it raised", type(failure).__name__, failure)
            return
        except MyLoadFailed:
            need(expected == "failed", "the loader's error came back")
            return
        taken.all_known()
        need(outcome == expected, "the outcome is", outcome, "not", expected)
        if "newer" in step:
            need(version is not None and version > self.saved[step["newer"]], "the version is not newer")
        if "save" in step:
            need(version, "there is no version to save")
            self.saved[step["save"]] = version

    def _options(self, taken: Taken, *, reads: bool = False) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if "namespace" in taken.left:
            options["namespace"] = data(taken.get("namespace"))
        if "deadline_ms" in taken.left:
            options["deadline"] = taken.get("deadline_ms") / 1000
        if "span_name" in taken.left:
            options["span_name"] = data(taken.get("span_name"))
        if reads and taken.get("read", "near") == "store":
            options["from_store"] = True
        return options

    def _writes(self, taken: Taken) -> dict[str, Any]:
        tags, keys = taken.get("tags", []), taken.get("depends_on", [])
        return {**self._options(taken), "tags": [data(tag) for tag in tags], "keys": [data(key) for key in keys]}

    def _how(self, taken: Taken) -> dict[str, Any]:
        how = self._writes(taken)
        for member, name in HOW.items():
            if member in taken.left:
                given = taken.get(member)
                how[name] = given if member.endswith("percent") else ttl_of(given)
        return how

    # ---- Operations: (outcome, version) ----------------------------------------------------------------------------------------

    def do_get(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        found = cache.get(data(step.get("key")), MISSING, **self._options(step, reads=True))
        if found is MISSING:
            return "miss", None
        check_value(gives, found)
        return "ok", None

    def do_get_entry(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        return self._entry(cache.get_entry(data(step.get("key")), **self._options(step, reads=True)), gives)

    def do_peek(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        return self._entry(cache.peek(data(step.get("key")), **self._options(step)), gives)

    def _entry(self, entry: pgcache.Entry | None, gives: Step) -> Any:
        if entry is None:
            return "miss", None
        check_value(gives, entry.value)
        need(gives.get("format", entry.format) == entry.format, "the format is", entry.format)
        need(gives.get("stale", entry.stale) == entry.stale, "stale is", entry.stale)
        if "version" in gives:
            need(entry.version == self.saved[gives["version"]], "another version")
        if gives.get("ttl_ms") == "never":
            need(entry.ttl == NEVER, "it expires")
        elif "ttl_ms" in gives:
            need(gives["ttl_ms"][0] <= entry.ttl * 1000 <= gives["ttl_ms"][1], "it lives for", entry.ttl)
        return "ok", entry.version

    def do_get_many(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        keys, values = self._batch(step, number)
        found = cache.get_many(keys, **self._options(step, reads=True))
        if values is not None:
            need([found.get(key) for key in keys] == values, "other values")
        for key, wanted in zip(keys, gives.get("values", ())):
            need((key in found) == (wanted is not None), "there, or not, otherwise than wanted")
            if wanted is not None:
                document = isinstance(wanted, dict) and "json" in wanted
                check_value({"json": wanted["json"]} if document else {"value": wanted}, found[key])
        return "ok", None

    def _batch(self, step: Taken, number: int) -> tuple[list[Any], list[bytes] | None]:
        if "numbered" not in step.left:
            return [data(key) for key in step.get("keys")], None
        order = range(step.get("numbered"))
        numbers = list(reversed(order) if number % 2 else order)
        return [f"k{n}" for n in numbers], [b"v%d" % n for n in numbers]

    def do_put(self, step: Taken, cache: Cache, gives: Step, number: int, write: Any = None) -> Any:
        key, value = data(step.get("key")), step.value()
        version = (write or cache.put)(key, value, ttl_of(step.get("ttl_ms", "default")), **self._writes(step))
        return "ok", version

    def do_add(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        _, version = self.do_put(step, cache, gives, number, cache.add)
        return "exists" if version is None else "ok", version

    def do_replace(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        _, version = self.do_put(step, cache, gives, number, cache.replace)
        return "miss" if version is None else "ok", version

    def do_compare_and_swap(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        expected = self.saved[step.get("expected")]
        key, value, ttl = data(step.get("key")), step.value(), ttl_of(step.get("ttl_ms", "default"))
        swap = cache.compare_and_swap(key, value, expected, ttl, **self._writes(step))
        return "ok" if swap else "exists" if swap.exists else "miss", swap.version

    def do_remove(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        return "ok" if cache.remove(data(step.get("key")), **self._options(step)) else "miss", None

    def do_exists(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        return "ok" if cache.exists(data(step.get("key")), **self._options(step, reads=True)) else "miss", None

    def do_touch(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        version = cache.touch(data(step.get("key")), ttl_of(step.get("ttl_ms", "default")), **self._options(step))
        return "miss" if version is None else "ok", version

    def do_increment(self, step: Taken, cache: Cache, gives: Step, number: int, count: Any = None) -> Any:
        initial, ttl = step.get("initial", 0), ttl_of(step.get("ttl_ms", "default"))
        key, delta = data(step.get("key")), step.get("delta", 1)
        found = (count or cache.increment)(key, delta, initial=initial, ttl=ttl, **self._options(step))
        return self._number(found, gives)

    def do_decrement(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        return self.do_increment(step, cache, gives, number, cache.decrement)

    def _number(self, found: float, gives: Step) -> Any:
        need(gives.get("number", found) == found, "the number is", found)
        return "ok", None

    def do_put_many(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        if "numbered" in step.left:
            keys, values = self._batch(step, number)
            entries: list[Any] = list(zip(keys, values or ()))
        else:
            entries = [(data(item["key"]), value_of(item)) for item in step.get("items")]
        cache.put_many(entries, ttl_of(step.get("ttl_ms", "default")), **self._writes(step))
        return "ok", None

    def do_remove_many(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        keys, _ = self._batch(step, number)
        return self._number(cache.remove_many(keys, **self._options(step)), gives)

    def _names(self, step: Taken) -> dict[str, Any]:
        return {"tags": [data(tag) for tag in step.get("tags", [])], "keys": [data(key) for key in step.get("keys", [])]}

    def do_invalidate(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        cache.invalidate(**self._names(step), **self._options(step))
        return "ok", None

    def do_dependents(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        found = cache.dependents(**self._names(step), **self._options(step)).entries
        need(gives.get("entries", found) == found, "the entries are", found)
        return "ok", None

    def do_fence(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        cache.fence(**self._options(step))
        return "ok", None

    def do_init(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        return "ok" if cache.init(**self._options(step)) else "exists", None

    def do_flush(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        return self._number(cache.flush(all=step.get("scope", "namespace") == "all", **self._options(step)), gives)

    def do_cleanup(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        return self._number(cache.cleanup(**self._options(step)), gives)

    def do_stats(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        stats = cache.stats(**self._options(step))
        for name in ("entries", "expired"):
            found = getattr(stats, name)
            need(gives.get(name, found) == found, name, "are", found)
        return "ok", None

    def do_keys(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        found = [info.key for info in cache.keys(data(step.get("prefix", "")), **self._options(step))]
        need([as_bytes(key) for key in gives.get("keys", [])] == found or "keys" not in gives, "other keys")
        return "ok", None

    def do_sample(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        name, labels = step.get("name"), step.get("labels", {})
        found = [one.value for one in cache.snapshot() if one.name == name and labels.items() <= one.labels.items()]
        return self._number(sum(found), gives) if found else ("miss", None)

    def do_open(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        self.open(step.get("settings")).close()
        return "ok", None

    def do_janitor_start(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        given = step.get("interval_ms")
        interval = {"nan": math.nan, "infinity": math.inf}.get(given)
        self.janitors[step.step.get("by", "a")] = cache.janitor(given / 1000 if interval is None else interval)
        return "ok", None

    def do_janitor_stop(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        stopped = self.janitors[step.step.get("by", "a")].stop(step.get("timeout_ms", 5000) / 1000)
        return "ok" if stopped else "timeout", None

    def do_load_begin(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        load = cache.load_begin(data(step.get("key")), **self._how(step))
        self.loads[step.get("load")] = load
        if load.entry is not None:
            check_value(gives, load.entry.value)
        need(gives.get("lease", load.leased) == load.leased, "the lease is ours, or not, otherwise than wanted")
        return load.status.name.lower(), load.entry.version if load.entry else None

    def do_load_fill(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        names = {"tags": [data(tag) for tag in step.get("tags", [])], "keys": [data(key) for key in step.get("depends_on", [])]}
        version = self.loads[step.get("load")].fill(step.value(), **names)
        return "refused" if version is None else "ok", version

    def do_load_fill_absent(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        return "ok" if self.loads[step.get("load")].fill_absent() else "refused", None

    def do_load_abandon(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        self.loads[step.get("load")].abandon()
        return "ok", None

    def do_load_fail(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        entry = self.loads[step.get("load")].fail()
        if entry is None:
            return "miss", None
        check_value(gives, entry.value)
        return "stale", entry.version

    def do_load_extend(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        return "ok" if self.loads[step.get("load")].extend(step.get("lease_ms") / 1000) else "refused", None

    def do_get_or_load(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        loader = Taken(step.get("loader"))

        def load() -> Any:
            with self.lock:
                self.ran[id(step.step)] = self.runs(step.step) + 1
            time.sleep(loader.get("sleep_ms", 0) / 1000)
            for inner in loader.get("steps", []):
                self.do(inner)
            if loader.get("fails", False):
                raise MyLoadFailed
            return ABSENT if loader.get("absent", False) else loader.value()

        found = cache.get_or_load(data(step.get("key")), load, MISSING, **self._how(step))
        if found is MISSING:
            return "miss", None
        check_value(gives, found)
        return "ok", None

    def do_sleep(self, step: Taken, cache: Cache, gives: Step, number: int) -> Any:
        time.sleep(step.get("ms") / 1000)
        return "ok", None


class Taken:
    """A step's members; what nobody takes is not known here."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.left = set(step)

    def get(self, *name_and_default: Any) -> Any:
        self.left.discard(name_and_default[0])
        if len(name_and_default) == 1:
            need(name_and_default[0] in self.step, "the member is missing:", name_and_default[0])
            return self.step[name_and_default[0]]
        return self.step.get(*name_and_default)

    def value(self) -> Any:
        self.skip("value", "json", "format")
        return value_of(self.step)

    def skip(self, *names: str) -> None:
        self.left -= set(names)

    def all_known(self) -> None:
        need(not self.left, "members that are not known here:", ", ".join(sorted(self.left)))


# ---- The table ---------------------------------------------------------------------------------------------------------------


class Runner:
    def __init__(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:
            self.table = json.load(file)
        if self.table.keys() != {"settings", "cases", "values", "digests"}:
            raise SystemExit("the table has other members than settings, cases, values and digests")

    def plain(self) -> Cache:
        return Cache(janitor=None, on_error="error")

    def report(self, cases: Iterable[Step], work: Callable[[Step], None], prefix: str = "") -> bool:
        passed = failed = 0
        for case in cases:
            name = prefix + case["name"]
            reason = case.get("without", {}).get("python")
            if reason:
                print(f"skipped {name}: {reason}")
                continue
            try:
                work(case)
                passed += 1
                print(f"ok {name}")
            except Exception as difference:
                failed += 1
                print(f"not ok {name}: {line_of(difference)}")
        print(f"{passed} passed, {failed} failed", flush=True)
        return failed == 0

    def scene(self, case: Step) -> Scene:
        return Scene({**self.table["settings"], **case.get("settings", {})})

    def run(self) -> bool:
        with self.plain() as cache:
            cache.init()

        def work(case: Step) -> None:
            with self.plain() as cache:
                cache.flush(all=True)
            scene = self.scene(case)
            try:
                for number, step in enumerate(case["steps"]):
                    try:
                        scene.do(step)
                    except Differs as difference:
                        raise Differs(f"step {number}, {step['do']}: {difference}") from None
            finally:
                scene.close()

        return self.report(self.table["cases"], work)

    def write(self) -> bool:
        with self.plain() as cache:
            cache.init()
            for vector in self.table["values"]:
                if "python" in vector.get("from", ["python"]) and "python" not in vector.get("without", {}):
                    cache.put(data(vector["key"]), value_of(vector), NEVER, namespace="python")
            for digest in self.table["digests"]:
                cache.put(data(digest["key"]), b"python", NEVER, namespace=data(digest["namespace"]))
        return True

    def read(self, languages: list[str]) -> bool:
        passed = []
        with self.plain() as cache:
            cache.init()
            for language in languages:

                def work(vector: Step, language: str = language) -> None:
                    read_vector(cache, vector, language)

                vectors = [
                    vector
                    for vector in self.table["values"]
                    if language in vector.get("from", [language]) and language not in vector.get("without", {})
                ]
                passed.append(self.report(vectors, work, f"{language}: "))
        return all(passed)

    def serve(self) -> bool:
        scene: Scene | None = None
        for line in sys.stdin:
            words = line.split()
            try:
                if words[0] == "begin":
                    if scene is not None:
                        scene.close()
                    scene = self.scene(self.table["cases"][int(words[1])])
                    answer = "ok"
                else:
                    need(words[0] == "step" and scene is not None, "there is no such command")
                    assert scene is not None
                    answer = self.step(scene, words[1:])
            except Exception as difference:
                answer = f"not ok: {line_of(difference)}"
            print(answer, flush=True)
        if scene is not None:
            scene.close()
        return True

    def step(self, scene: Scene, words: list[str]) -> str:
        step = self.table["cases"][int(words[0])]["steps"][int(words[1])]
        for pair in words[2:]:
            name, number = pair.split("=")
            scene.saved[name] = int(number)
        ran = scene.runs(step)
        scene.do(step, together=True)
        gives = {step["save"]: scene.saved[step["save"]]} if "save" in step and step["save"] in scene.saved else {}
        if "loader" in step:
            gives["loads"] = scene.runs(step) - ran
        return " ".join(["ok", *(f"{name}={number}" for name, number in gives.items())])


def read_vector(cache: Cache, vector: Step, language: str) -> None:
    format = vector.get("format", 1 if "json" in vector else 0)
    key = data(vector["key"])
    if vector.get("unreadable") or format not in (0, 1):
        try:
            cache.get(key, namespace=language)
        except errors.SerializationError as failure:
            unknown = isinstance(failure, errors.UnknownFormat)
            need(unknown == (format not in (0, 1)), "it raised", type(failure).__name__)
            need(not unknown or str(format) in str(failure), "the message does not name the format")
            return
        raise Differs("it can be read")
    entry = cache.get_entry(key, namespace=language)
    need(entry is not None, "there is no entry")
    assert entry is not None
    check_value({"json": vector["json"]} if "json" in vector else {"value": vector["value"]}, entry.value)
    need(entry.format == format, "the format is", entry.format)
    need(entry.ttl == NEVER, "it expires")


def line_of(failure: BaseException) -> str:
    words = " ".join(str(failure).split())
    return words if isinstance(failure, Differs) else f"{type(failure).__name__}: {words}"


def main(mode: str, cases: str, *languages: str) -> int:
    runner = Runner(cases)
    works: dict[str, Callable[[], bool]] = {
        "run": runner.run,
        "write": runner.write,
        "read": lambda: runner.read(list(languages)),
        "serve": runner.serve,
    }
    return 0 if works[mode]() else 1


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("run", "write", "read", "serve"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
