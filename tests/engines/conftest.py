"""What the engines' tests share: both event loops that the gateway may run on, both ways to a clamd."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
import uvloop

from peers.clamd import Clamd

T = TypeVar("T")

ADDRESSES: dict[str, Callable[[Clamd], str]] = {
    "unix": lambda clamd: clamd.unix_address,
    "tcp": lambda clamd: clamd.tcp_address,
}


class LoopRunner:
    """Runs a coroutine on a new loop of one kind, as `asyncio.run` does."""

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._factory = factory

    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns."""
        with asyncio.Runner(loop_factory=self._factory) as runner:
            return runner.run(coroutine)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> LoopRunner:
    """Return what runs a coroutine: every test that uses it runs on asyncio's loop and on uvloop."""
    return LoopRunner(request.param)


@pytest.fixture(params=ADDRESSES)
def address_of(request: pytest.FixtureRequest) -> Callable[[Clamd], str]:
    """Return how to get a clamd's address: every test that uses it runs over both transports."""
    return ADDRESSES[request.param]


@pytest.fixture
def address(address_of: Callable[[Clamd], str], clamd: Clamd) -> str:
    """Return an address of the shared clamd."""
    return address_of(clamd)
