"""Probes: `/health` says that the process lives, `/ready` that it wants traffic."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from aiohttp import web

from ostiary.web.answers import json_answer


class State(StrEnum):
    """Where a gateway is in its life, and what keeps it from being useful."""

    LOADING = "loading"
    READY = "ready"
    UNTRUSTED = "untrusted"
    STALE = "stale"
    DRAINING = "draining"


class Standing(Protocol):
    """What proof of scan says of the engines that decide."""

    @property
    def settled(self) -> bool:
        """Whether the first proof of each has ended."""
        ...

    @property
    def untrusted(self) -> Sequence[str]:
        """Those that are not trusted."""
        ...

    @property
    def stale(self) -> Sequence[str]:
        """Those whose signatures are too old."""
        ...


class Load(Protocol):
    """What can be full: so many in use of so many, and so many who wait."""

    @property
    def what(self) -> str:
        """Its name."""
        ...

    @property
    def used(self) -> int:
        """How much is in use."""
        ...

    @property
    def total(self) -> int:
        """How much there is."""
        ...

    @property
    def waiting(self) -> int:
        """How many callers wait for their share."""
        ...


@dataclass(slots=True)
class Health:
    """What `/ready` tells: the loads, the engines' `standing`, and where in its life the gateway is.

    Without `gates` an engine that is not trusted shows in the body alone. `app` sets the rest.
    """

    loads: tuple[Load, ...]
    standing: Standing
    gates: bool = True
    loaded: bool = False
    draining: bool = False

    @property
    def state(self) -> State:
        """The worst that is to be said."""
        if self.draining:
            return State.DRAINING
        if not self.loaded or not self.standing.settled:
            return State.LOADING
        if self.standing.untrusted:
            return State.UNTRUSTED
        return State.STALE if self.standing.stale else State.READY

    def live(self) -> web.Response:
        """Answer `/health`: green as long as anything answers at all."""
        return json_answer({"status": "ok"})

    def ready(self) -> web.Response:
        """Answer `/ready`: 503 while it should get no traffic. Overload is in the body, not the status."""
        load = {
            budget.what: {"used": budget.used, "total": budget.total, "waiting": budget.waiting}
            for budget in self.loads
        }
        state = self.state
        tolerated = () if self.gates else (State.UNTRUSTED, State.STALE)
        status = 200 if state in {State.READY, *tolerated} else 503
        engines = {"untrusted": list(self.standing.untrusted), "stale": list(self.standing.stale)}
        return json_answer({"status": state.value, "engines": engines, "load": load}, status)
