"""What all tests share: the real components, two users, and the rules of a run.

Nothing starts unless a test asks for it by fixture. A test that needs a component which this
machine lacks is skipped with the reason; with CI set in the environment it fails instead.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

import peers.c_icap
import peers.chromium
import peers.clamd
import peers.node
import peers.pdqhash
import peers.synapse
from peers.c_icap import CIcap
from peers.chromium import Chromium
from peers.clamd import Clamd
from peers.node import NodePeer
from peers.synapse import Synapse, User

PEERS: Final[Mapping[str, Callable[[], bool]]] = {
    "c_icap": peers.c_icap.available,
    "chromium": peers.chromium.available,
    "clamd": peers.clamd.available,
    "node": peers.node.available,
    "pdqhash": peers.pdqhash.available,
    "synapse": peers.synapse.available,
}
"""The real components, by the name that the marker `peer` and the fixtures use: is it here?"""

# Every run tries the same examples: a failure in CI fails at the desk too. `soak` looks for new ones.
settings.register_profile(
    "test",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "soak",
    settings.get_profile("test"),
    derandomize=False,
    max_examples=int(os.environ.get("SOAK_EXAMPLES", "10000")),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail in CI, before a test that needs a missing component."""
    needed = {name for mark in item.iter_markers("peer") for name in mark.args}
    needed |= PEERS.keys() & set(getattr(item, "fixturenames", ()))
    missing = ", ".join(name for name in sorted(needed) if not PEERS[name]())
    if missing and os.environ.get("CI"):
        pytest.fail(f"missing here: {missing}; `make test` says how to get it", pytrace=False)
    if missing:
        pytest.skip(f"missing here: {missing}; `make test` says how to get it")


@pytest.fixture(scope="session", autouse=True)
def no_child_left() -> Iterator[None]:
    """Fail the run when tests leave processes behind: whoever starts one stops it."""
    yield
    left = dict(_children_of(os.getpid()))
    assert not left, f"tests left processes running: {left}"


def _children_of(parent: int) -> Iterator[tuple[int, str]]:
    """Yield process ID and name of each child that runs; one that ended and was not waited for is none."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found = re.match(r"(\d+) \((.*)\) (\S) (\d+) ", path.read_text(errors="replace"), re.DOTALL)
        except OSError:
            continue  # it ended meanwhile
        if found and found[3] != "Z" and int(found[4]) == parent:
            yield int(found[1]), found[2]


@pytest.fixture(scope="session")
def synapse() -> Iterator[Synapse]:
    """A real homeserver with authenticated media, shared by all tests: don't stop it."""
    with Synapse() as server:
        yield server


@pytest.fixture(scope="session")
def clamd() -> Iterator[Clamd]:
    """A real clamd with our signatures, shared by all tests: don't stop it."""
    with Clamd() as daemon:
        yield daemon


@pytest.fixture(scope="session")
def c_icap(clamd: Clamd) -> Iterator[CIcap]:
    """A real c-icap before the shared clamd, shared by all tests: don't stop it."""
    with CIcap(clamd) as server:
        yield server


@pytest.fixture(scope="session")
def node() -> Iterator[NodePeer]:
    """The real clients' crypto (npm packages), behind one Node process."""
    with NodePeer() as process:
        yield process


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """A real browser on a page of another site than all servers here, shared by all tests: don't stop it."""
    with Chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def alice(synapse: Synapse) -> User:
    """Return a user of the shared homeserver: the one who uploads, by custom."""
    return synapse.register("alice")


@pytest.fixture(scope="session")
def bob(synapse: Synapse) -> User:
    """Return another user of the shared homeserver: the one who downloads."""
    return synapse.register("bob")
