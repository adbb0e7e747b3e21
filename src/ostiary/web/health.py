"""Probes: `/health` says that the process lives, `/ready` that it wants traffic."""

from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web

from ostiary.budget import Budget
from ostiary.web.answers import json_answer


class State(StrEnum):
    """Where a gateway is in its life."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


@dataclass(slots=True)
class Health:
    """The state, which `app` changes, and the budgets, whose load `/ready` shows."""

    budgets: tuple[Budget, ...]
    state: State = State.LOADING

    def live(self) -> web.Response:
        """Answer `/health`: green as long as anything answers at all."""
        return json_answer({"status": "ok"})

    def ready(self) -> web.Response:
        """Answer `/ready`: 503 while loading and draining. Overload is in the body, not the status."""
        load = {
            budget.what: {"used": budget.used, "total": budget.total, "waiting": budget.waiting}
            for budget in self.budgets
        }
        status = 200 if self.state is State.READY else 503
        return json_answer({"status": self.state.value, "load": load}, status)
