"""Probes: `/health` says that the process lives, `/ready` that it wants traffic."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from aiohttp import web

from ostiary.web.answers import json_answer


class State(StrEnum):
    """Where a gateway is in its life."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


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
    """The state, which `app` changes, and what has a load, which `/ready` shows."""

    loads: tuple[Load, ...]
    state: State = State.LOADING

    def live(self) -> web.Response:
        """Answer `/health`: green as long as anything answers at all."""
        return json_answer({"status": "ok"})

    def ready(self) -> web.Response:
        """Answer `/ready`: 503 while loading and draining. Overload is in the body, not the status."""
        load = {
            budget.what: {"used": budget.used, "total": budget.total, "waiting": budget.waiting}
            for budget in self.loads
        }
        status = 200 if self.state is State.READY else 503
        return json_answer({"status": self.state.value, "load": load}, status)
