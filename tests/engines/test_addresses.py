"""Addresses that rest: only what can't answer a probe does, and it is taken back by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ostiary.engines import addresses
from ostiary.engines.addresses import Addresses
from ostiary.errors import EngineError
from tests.engines.asking import until


class Servers:
    """Which addresses refuse, and which are silent; counts the probes."""

    def __init__(self) -> None:
        self.refusing: set[str] = set()
        self.silent: set[str] = set()
        self.probes: list[str] = []

    async def probe(self, address: str) -> None:
        """Answer as that server would."""
        self.probes.append(address)
        if address in self.silent:
            await asyncio.sleep(3600)
        if address in self.refusing:
            raise EngineError("refused")


@asynccontextmanager
async def watched(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, *names: str
) -> AsyncIterator[Addresses[str]]:
    """Give the addresses, with short patience."""
    monkeypatch.setattr(addresses, "PROBE_SECONDS", 0.02)
    monkeypatch.setattr(addresses, "PAUSES", (0.0, 0.01))
    found = Addresses("engine", names, servers.probe, rest=0.05)
    try:
        yield found
    finally:
        await found.close()


async def test_a_doubt_alone_rests_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers a probe stays, however often a file took it too long."""
    servers = Servers()
    async with watched(servers, monkeypatch, "a") as found:
        for _ in range(20):
            found.doubt("a")
            await asyncio.sleep(0)
        await until(lambda: bool(servers.probes))
        await asyncio.sleep(0.05)
        assert found.awake() == ("a",)
        assert not found.resting()


async def test_a_silent_one_rests_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked no more, not even while it is the only one, and is back soon after it answers."""
    servers = Servers()
    servers.silent.add("a")
    async with watched(servers, monkeypatch, "a") as found:
        found.doubt("a")
        await until(lambda: found.resting() == ("a",))
        assert found.awake() == ()
        servers.silent.clear()
        await until(lambda: found.awake() == ("a",))
        assert not found.resting()


async def test_one_that_refuses_is_tried_while_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its failure costs nobody time, and whoever asks first finds it back."""
    servers = Servers()
    servers.refusing.add("a")
    async with watched(servers, monkeypatch, "a") as found:
        found.doubt("a")
        await until(lambda: found.resting() == ("a",))
        assert found.awake() == ("a",)


async def test_others_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one rests the next ones are asked, in their order; then the first again."""
    servers = Servers()
    servers.refusing.add("a")
    async with watched(servers, monkeypatch, "a", "b", "c") as found:
        assert found.awake() == ("a", "b", "c")
        found.doubt("a")
        await until(lambda: found.awake() == ("b", "c"))
        servers.refusing.clear()
        await until(lambda: found.awake() == ("a", "b", "c"))


async def test_no_storm_of_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand doubts start one watch, and its pauses grow while another address answers."""
    servers = Servers()
    servers.refusing.add("a")
    monkeypatch.setattr(addresses, "LONGEST_REST", 3600)
    async with watched(servers, monkeypatch, "a", "b") as found:
        for _ in range(1000):
            found.doubt("a")
            await asyncio.sleep(0)
        await asyncio.sleep(0.7)
        assert len(servers.probes) <= 2 + 6  # 0.025 to 0.05 s, then twice that, and so on


async def test_only_who_is_vouched_for_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that is required: at first nobody, and after a rest it has to be said again."""
    servers = Servers()
    async with watched(servers, monkeypatch, "a", "b") as found:
        found.require_vouching()
        assert (found.awake(), found.unvouched()) == ((), ("a", "b"))
        found.vouch("a", good=True)
        found.vouch("b", good=True)
        assert found.awake() == ("a", "b")
        servers.refusing.add("a")
        found.doubt("a")
        await until(lambda: found.awake() == ("b",))
        servers.refusing.clear()
        await until(lambda: not found.resting())
        assert (found.awake(), found.unvouched()) == (("b",), ("a",))
