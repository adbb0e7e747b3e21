"""Every metric's name, once. All series exist from the start, at 0 (Prometheus best practice).

`scans_total` counts every request that got a judgement; `infected_total` and
`scan_duration_seconds` count inspections that ran. Labels come from closed sets: nothing that a
client or a file chooses ever becomes a label.
"""

from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from ostiary.model import Result, Verdict

ERROR_KINDS: Final = (
    "malformed",
    "not_found",
    "unauthorized",
    "decryption",
    "envelope",
    "too_large",
    "homeserver",
    "refused",
    "engine",
    "overloaded",
    "internal",
)
"""The values of `content_scanner_errors_total{kind}`."""

SHADOW_FINDINGS: Final = ("infected", "forbidden", "unscannable")
"""The values of `content_scanner_shadow_findings_total{finding}`."""

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The gateway's metrics, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series for nobody
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.scans = Counter(
            "content_scanner_scans_total",
            "Requests that got a judgement, by result",
            ["result"],
            registry=self.registry,
        )
        self.infected = Counter(
            "content_scanner_infected_total",
            "Inspections that found an infection",
            registry=self.registry,
        )
        self.scan_duration = Histogram(
            "content_scanner_scan_duration_seconds",
            "How long an inspection by all engines took",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.cache_hits = Counter(
            "content_scanner_cache_hits_total",
            "Judgements given without an inspection",
            registry=self.registry,
        )
        self.errors = Counter(
            "content_scanner_errors_total",
            "Requests that ended without a judgement or with a failed scan, by kind",
            ["kind"],
            registry=self.registry,
        )
        self.unscanned_served = Counter(
            "content_scanner_unscanned_served_total",
            "Files served although they could not be scanned, because the configuration says serve",
            registry=self.registry,
        )
        self.observed = Counter(
            "content_scanner_observed_total",
            "Files served that would have been refused, because the gateway only observes, by result",
            ["result"],
            registry=self.registry,
        )
        self.shadow_findings = Counter(
            "content_scanner_shadow_findings_total",
            "What engines in shadow mode found, by kind; it decided nothing",
            ["finding"],
            registry=self.registry,
        )
        self.engine_errors = Counter(
            "content_scanner_engine_errors_total",
            "Questions that an engine did not answer, by engine and cause (error, timeout, untrusted)",
            ["engine", "cause"],
            registry=self.registry,
        )
        self.proofs = Counter(
            "content_scanner_proofs_total",
            "Proofs of scan, by engine and result (passed, failed)",
            ["engine", "result"],
            registry=self.registry,
        )
        for kind in SHADOW_FINDINGS:
            self.shadow_findings.labels(kind)
        for result in Result:
            self.scans.labels(result.value)
            if result is not Result.CLEAN:
                self.observed.labels(result.value)
        for kind in ERROR_KINDS:
            self.errors.labels(kind)

    def count(self, verdict: Verdict, *, known: bool) -> None:
        """Count one request that got a judgement; `known`: without an inspection of its own."""
        self.scans.labels(verdict.result.value).inc()
        if known:
            self.cache_hits.inc()
        if verdict.result is Result.ERROR:
            self.errors.labels("engine").inc()
        if verdict.observed:
            self.observed.labels(verdict.result.value).inc()
        elif verdict.release and verdict.result is not Result.CLEAN:
            self.unscanned_served.inc()

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is asked for at each scrape."""
        Gauge(f"content_scanner_{name}", text, registry=self.registry).set_function(value)

    def watch_engines(self, name: str, text: str, values: Mapping[str, Callable[[], float]]) -> None:
        """Add a gauge with one series an engine, by its name; NaN where nothing is known."""
        gauge = Gauge(f"content_scanner_{name}", text, ["engine"], registry=self.registry)
        for engine, value in values.items():
            gauge.labels(engine).set_function(value)

    def exposition(self) -> bytes:
        """Return the Prometheus text format 0.0.4."""
        return generate_latest(self.registry)
