"""The gauges: what is in use, and how the engines stand, asked for at each scrape."""

from collections.abc import Callable, Sequence
from functools import partial
from math import inf, nan

from ostiary.budget import Budget, Spool
from ostiary.library.memory import MemoryLibrary
from ostiary.metrics import Metrics
from ostiary.model import Cause
from ostiary.prover import Proofs, Prover
from ostiary.web.health import Load


def watch_loads(
    metrics: Metrics, spool: Spool, library: MemoryLibrary, requests: Budget, loads: Sequence[Load]
) -> None:
    """Show what is in use of what is bounded."""
    watch = metrics.watch
    watch("requests_in_flight", "Requests being answered", lambda: requests.used)
    watch("requests_waiting", "Requests that wait for anything", lambda: sum(one.waiting for one in loads))
    watch("memory_reserved_bytes", "Bytes of limits.memory in use", lambda: spool.memory.used)
    watch("disk_reserved_bytes", "Bytes of limits.disk in use", lambda: spool.disk.used)
    watch("library_bytes", "Bytes of library.memory in use", lambda: library.used)
    watch("library_copies", "Stored copies", lambda: len(library))


def watch_engines(metrics: Metrics, proofs: Proofs) -> None:
    """Show of each engine whether it is trusted, how far its word goes, and how old its signatures are."""
    for prover in proofs.provers:
        for cause in (Cause.ERROR, Cause.TIMEOUT, Cause.UNTRUSTED):
            metrics.engine_errors.labels(prover.name, cause.value)

    def each(name: str, text: str, value: Callable[[Prover], float]) -> None:
        values = {prover.name: partial(value, prover) for prover in proofs.provers}
        metrics.watch_engines(f"engine_{name}", text, values)

    each("trusted", "Whether the engine is trusted", lambda one: one.trust.trusted)
    each("archives", "Whether it was seen to look into archives", lambda one: one.trust.archives)
    each("largest_bytes", "Largest file that it was seen to look into; +Inf: any", _largest)
    each("signature_age_seconds", "Age of its signatures; NaN where it does not tell", _age)
    each("signatures_old", "1 past half of proof.max_signature_age, 2 past it", lambda one: one.wear)


def _largest(prover: Prover) -> float:
    return inf if prover.trust.largest is None else prover.trust.largest


def _age(prover: Prover) -> float:
    return nan if prover.signature_age is None else prover.signature_age
