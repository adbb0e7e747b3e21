"""Single flight under any traffic: callers come, go and are cancelled, runs land and fail, in any order."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from tests.flow.fakes import settled
from tests.flow.port import Caller, FaultError, Port


class Traffic(RuleBasedStateMachine):
    """Callers come, go, are cancelled; runs land and fail, in any order."""

    callers = Bundle("callers")
    keys = st.sampled_from("ab")

    @initialize()
    def open(self) -> None:
        """Begin with an empty port."""
        self.runner = asyncio.Runner()
        self.port = self._do(self._opened)
        self.present: list[Caller] = []
        self.failed: set[int] = set()

    async def _opened(self) -> Port:
        return await Port().__aenter__()

    def _do(self, work: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401
        async def all_of_it() -> Any:  # noqa: ANN401
            result = await work()
            await settled()
            return result

        return self.runner.run(all_of_it())

    @rule(target=callers, key=keys)
    def come(self, key: str) -> Caller:
        """Somebody wants it; nobody waits for two runs of one key, but those whose leader failed."""

        async def come() -> Caller:
            called: Caller = self.port.call(key)
            return called

        caller: Caller = self._do(come)
        self.present.append(caller)
        return caller

    @rule(caller=consumes(callers), cancel=st.booleans())
    def go(self, caller: Caller, *, cancel: bool) -> None:
        """Somebody goes, in order or not: at once, wherever it was, and without another's error."""

        async def go() -> None:
            if cancel or caller.got is None:
                caller.task.cancel()
            caller.leave.set()
            await asyncio.wait([caller.task], timeout=5)
            assert caller.task.done()

        done = caller.task.done()
        self._do(go)
        self.present.remove(caller)
        if not caller.task.cancelled():
            error = caller.task.exception()
            assert done == (error is not None)
            assert error is None or (isinstance(error, FaultError) and error.args == (caller.run.number,))

    @rule(data=st.data(), well=st.booleans())
    def end(self, data: st.DataObject, *, well: bool) -> None:
        """A run ends, well or not."""
        running = [run for run in self.port.runs if run.started and not run.gate.done() and not run.ended]
        if not running:
            return
        run = data.draw(st.sampled_from(running))

        async def end() -> None:
            if well:
                run.land()
            else:
                run.fail()

        self._do(end)

    @invariant()
    def everybody_has_what_is_open(self) -> None:
        """Who has a result has an open one, its own only if it says so; nobody hears of another's error."""
        for caller in self.present:
            if caller.got is not None:
                number, ours = caller.got
                assert self.port.runs[number].open
                assert ours == (number == caller.run.number)
            elif caller.task.done():
                error = caller.task.exception()
                assert isinstance(error, FaultError)
                assert error.args == (caller.run.number,)

    @invariant()
    def nothing_runs_for_nobody(self) -> None:
        """A run goes on while somebody wants it, and no longer; one that has a result takes nobody in."""
        wanted = {caller.got[0] for caller in self.present if caller.got is not None}
        assert {run.number for run in self.port.runs if run.open} == wanted
        waiting = [caller for caller in self.present if caller.got is None and not caller.task.done()]
        running = [run for run in self.port.runs if run.started and not run.ended and not run.open]
        assert bool(waiting) == bool(running)
        assert len(running) <= len(waiting)
        assert len(self.port.flights._flights) <= len(running)
        assert len(self.port.background._tasks) <= len(running) + len(wanted)

    def teardown(self) -> None:
        """When all have gone nothing is left, and the loop has nothing to complain about."""
        if not hasattr(self, "runner"):
            return
        for caller in list(self.present):
            self.go(caller, cancel=True)
        self._do(self.port.__aexit__)
        self.runner.close()


Traffic.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
TestTraffic = Traffic.TestCase
