"""Spans and metrics, as OpenTelemetry's SDK exports them. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import pgcache
from pgcache import errors
from pgcache.opentelemetry import OpenTelemetryProvider, PgcacheMetrics
from pgcache.prometheus import PgcacheCollector

METRICS = Path(__file__).resolve().parents[3] / "instrumentation" / "METRICS.md"


@pytest.fixture
def traced() -> tuple[TracerProvider, Callable[[], tuple[ReadableSpan, ...]]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter.get_finished_spans


def facts(span: ReadableSpan) -> tuple[str, dict[str, Any]]:
    assert span.kind is SpanKind.CLIENT
    attributes = dict(span.attributes or {})
    assert attributes.pop("db.system.name") == "postgresql"
    return span.name, attributes


def test_a61_spans(make: Callable[..., Any], traced: Any) -> None:
    tracers, spans = traced
    cache = make(providers=[OpenTelemetryProvider(tracers)])
    with tracers.get_tracer("test").start_as_current_span("request") as request:
        cache.put("k", b"v" * 10, span_name="my put")
        cache.get("k", span_name="my get")
        cache.get("none")
        cache.get_many(["a", b"\xff"])
        cache.get_or_load("load", lambda: b"loaded")
        cache.remove("k")
    told = [facts(span) for span in spans()[:-1]]
    operation = "db.operation.name"
    assert told == [
        ("my put", {operation: "put", "cache.key": ("k",), "cache.item_size": 10}),
        ("my get", {operation: "get", "cache.key": ("k",), "cache.hit": True, "cache.item_size": 10}),
        ("pgcache get", {operation: "get", "cache.key": ("none",), "cache.hit": False}),
        (
            "pgcache get_many",
            {
                operation: "get_many", "db.operation.batch.size": 2, "cache.key": ("a", "\\xff"), "cache.hit": False,
                "cache.item_size": 0,
            },
        ),
        ("pgcache load_begin", {operation: "load_begin", "cache.key": ("load",), "cache.hit": False}),
        ("pgcache load_fill", {operation: "load_fill", "cache.item_size": 6}),
        ("pgcache remove", {operation: "remove", "cache.key": ("k",)}),
    ]  # fmt: skip
    assert {span.parent.span_id for span in spans()[:-1]} == {request.get_span_context().span_id}


def test_a61_spans_of_failures_and_without_keys(make: Callable[..., Any], traced: Any) -> None:
    tracers, spans = traced
    cache = make(providers=[OpenTelemetryProvider(tracers, keys=False)], max_value_bytes=10)
    with pytest.raises(errors.TooLarge):
        cache.put("secret", b"v" * 11, namespace="other")
    (span,) = spans()
    assert facts(span) == (
        "pgcache put",
        {
            "db.operation.name": "put", "pgcache.namespace": "other",
            "error.type": "too_large",
        },
    )  # fmt: skip
    assert span.status.status_code is StatusCode.ERROR
    assert "secret" not in span.to_json()


def points(reader: InMemoryMetricReader) -> dict[str, list[tuple[dict[str, Any], float]]]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: [(dict(point.attributes or {}), point.value) for point in metric.data.data_points]  # type: ignore[union-attr]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_a60_metrics(plain: pgcache.Cache, cache: Any) -> None:
    reader = InMemoryMetricReader()
    caches = plain, getattr(cache, "_inner", cache)
    PgcacheMetrics(*caches, meter_provider=MeterProvider(metric_readers=[reader]))
    plain.put("k", b"v" * 100, span_name="writing")
    cache.put("k", b"v" * 10, span_name="writing")
    for one in (plain, cache):
        one.get("k", from_store=True)
        one.get("none", from_store=True)
    plain.flush()
    plain.cleanup()
    found = points(reader)
    assert [value for _, value in found["pgcache_handles"]] == [2]
    assert [value for labels, value in found["pgcache_hits_total"] if labels["source"] == "store"] == [2]
    assert [value for labels, value in found["pgcache_misses_total"] if labels["source"] == "store"] == [2]
    written = {"operation": "put", "span_name": "writing"}

    def sizes(part: str) -> list[tuple[dict[str, Any], float]]:
        return [one for one in found[f"pgcache_item_size_bytes_{part}"] if written.items() <= one[0].items()]

    assert [value for _, value in sizes("count") + sizes("sum")] == [2, 110]
    buckets = [(labels["le"], value) for labels, value in sizes("bucket")]
    assert buckets[:3] == [("64.0", 1), ("256.0", 2), ("1024.0", 2)]
    assert buckets[-1] == ("+Inf", 2)
    table = METRICS.read_text(encoding="utf-8").split("## Of the store")[0]
    listed = set(re.findall(r"^\| `(pgcache_\w+)` \| (?:counter|gauge|histogram) \|", table, re.MULTILINE))
    assert len(listed) > 40
    assert listed - {re.sub("_(bucket|count|sum)$", "", name) for name in found} - {"pgcache_near_flushes_total"} == set()


def test_a60_prometheus_has_the_same_names_by_way_of_opentelemetry(plain: pgcache.Cache) -> None:
    plain.put("k", b"v")
    plain.get("k", from_store=True)
    plain.flush()
    meters = MeterProvider(metric_readers=[PrometheusMetricReader()])
    PgcacheMetrics(plain, meter_provider=meters)
    sources = prometheus_client.REGISTRY, PgcacheCollector(plain)
    names = [{sample.name for family in source.collect() for sample in family.samples} for source in sources]
    meters.shutdown()
    assert {name for name in names[0] if name.startswith("pgcache_")} == names[1]
    assert "pgcache_operation_duration_seconds_sum" in names[1]


def test_a60_metrics_of_caches_that_are_closed(plain: pgcache.Cache) -> None:
    reader = InMemoryMetricReader()
    with pgcache.NullCache() as other:
        PgcacheMetrics(plain, other, meter_provider=MeterProvider(metric_readers=[reader]))
    assert [value for _, value in points(reader)["pgcache_handles"]] == [1]
    with pytest.raises(TypeError):
        PgcacheMetrics()
