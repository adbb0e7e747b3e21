"""One question to Ostiary and its outcome: asked over HTTP, timed, and judged at once."""

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass

from demo.checks import Check, Seen, Unexpected
from peers.gateway import Answer


@dataclass(frozen=True, slots=True)
class Case:
    """One question; it is asked again for `patience` seconds until the answer is right."""

    subject: str
    asked: str
    send: Callable[[], Answer]
    check: Check
    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """A case that was asked: what was seen, or the problem; `milliseconds` of the last answer."""

    case: Case
    milliseconds: float
    seen: Seen | None
    problem: str = ""


def ask(case: Case) -> Row:
    """Ask and judge the answer."""
    deadline = time.monotonic() + case.patience
    while (row := _ask_once(case)).seen is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return row


def _ask_once(case: Case) -> Row:
    started = time.perf_counter()
    try:
        answer = case.send()
    except (OSError, http.client.HTTPException, LookupError, ValueError) as error:
        return Row(case, _since(started), None, f"no answer of use: {error!r}")
    milliseconds = _since(started)
    try:
        return Row(case, milliseconds, case.check(answer))
    except Unexpected as problem:
        return Row(case, milliseconds, None, str(problem))


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
