"""Which versions count at one address, and how old signatures are by what VERSION says."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.engines.clamd.versions import WINDOW, LiveVersions, signed_at


def seen(*sightings: tuple[float, str]) -> LiveVersions:
    """Return what is known after these; each was answered a hundredth after it was asked."""
    versions = LiveVersions()
    for at, version in sightings:
        versions.note(version, at, at + 0.01)
    return versions


@pytest.mark.parametrize(
    ("sightings", "live"),
    [
        ([], ""),
        ([(0, "A")], "A"),
        ([(0, "A"), (10, "A"), (11, "B")], "B"),  # updated: A is stale at once
        ([(0, "A"), (11, "B"), (12, "A")], "AB"),  # they take turns
        ([(0, "A"), (11, "B"), (12, "A"), (13, "B")], "AB"),
        ([(0, "A"), (1, "B"), (2, "A"), (3, "C")], "C"),  # one of two updated: seen again, it counts again
        ([(0, "A"), (1, "B"), (2, "A"), (3, "C"), (4, "B")], "BC"),
        ([(0, "A"), (1, "B"), (2, "C"), (3, "D")], "D"),
        ([(0, "A"), (1, "B"), (2, "A"), (3 + WINDOW, "B")], "B"),  # A has not been seen for long
    ],
)
def test_which_count(sightings: list[tuple[float, str]], live: str) -> None:
    """What was seen again after the newest came up counts, and the newest."""
    assert seen(*sightings).live() == frozenset(live)


def test_an_answer_that_was_overtaken_is_no_turn() -> None:
    """A version asked before the new one was told, and read after it, does not come back to life."""
    versions = LiveVersions()
    versions.note("A", 0, 0.1)
    versions.note("B", 1, 1.1)
    versions.note("A", 1.05, 1.2)
    assert versions.live() == {"B"}


@given(st.lists(st.tuples(st.floats(0, 1e6), st.text(max_size=3)), max_size=200))
def test_bounded(sightings: list[tuple[float, str]]) -> None:
    """However many versions somebody makes up, few are remembered, and the last new one counts."""
    versions = seen(*sorted(sightings))
    assert len(versions.live()) <= 64
    assert bool(versions.live()) == bool(sightings)


def test_dates() -> None:
    """The date that clamd writes as ctime(3), whatever the locale."""
    for moment in (1_700_000_000, 1_762_400_000, 1_767_225_600):
        assert signed_at(f"ClamAV 1.4.6/27000/{time.ctime(moment)}") == moment
        assert signed_at(f"ClamAV 1.4.6/27000/{time.ctime(moment)} signatures 0123456789abcdef") == moment


@pytest.mark.parametrize(
    "version",
    [
        "ClamAV 1.4.6",
        "",
        "ClamAV 1.4.6/27000/",
        "ClamAV 1.4.6/27000/2026-11-20",
        "ClamAV 1.4.6/27000/Fri Nov 31 06:41:00 2026",
        "ClamAV 1.4.6/27000/Fri Now 20 06:41:00 2026",
        "ClamAV 1.4.6/27000/Fri Nov 20 26:41:00 2026",
        "ClamAV 1.4.6/27000/Fri Nov 20 06:41:61 2026",
        "ClamAV 1.4.6/27000/Fri Nov 20 06:41:00 0000",
        "ClamAV 1.4.6 signatures 0123456789abcdef",
    ],
)
def test_no_date(version: str) -> None:
    """What is no date is none."""
    assert signed_at(version) is None
