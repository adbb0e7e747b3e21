"""What the gateway makes of the things a process that decodes images says."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.blob import Blob
from ostiary.engines.frames import Frame, send_frame
from ostiary.engines.perceptual.process import Index, Process, finding_of, open_list
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Cause, Clean, Infected, Unscannable

LIMIT = Cause.LIMIT


@pytest.mark.parametrize(
    ("reason", "match", "image", "finding"),
    [
        (None, None, True, Clean()),
        (None, [3, "a"], True, Infected("a")),
        ("damaged", [3, "a"], False, Infected("a")),
        ("format", None, False, Clean()),
        ("format", None, True, Unscannable(LIMIT, "an image in a format that can't be compared")),
        ("pixels", None, False, Unscannable(LIMIT, "an image of too many pixels")),
        ("memory", None, False, Unscannable(LIMIT, "an image that takes too much memory to decode")),
        ("damaged", None, False, Unscannable(LIMIT, "a damaged image, which viewers may show in part")),
    ],
)
def test_findings(reason: str | None, match: object, image: bool, finding: object) -> None:  # noqa: FBT001
    """A match counts however much was seen; only what is no image is clean unseen."""
    assert finding_of({"size": 5, "reason": reason, "match": match}, 5, image=image) == finding


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"size": 5, "match": None},
        {"size": 5, "reason": None},
        {"size": 4, "reason": None, "match": None},
        {"size": True, "reason": None, "match": None},
        {"size": 5, "reason": None, "match": None, "x": 1},
        {"size": 5, "reason": "other", "match": None},
        {"size": 5, "reason": 1, "match": None},
        {"size": 5, "reason": [], "match": None},
        {"size": 5, "reason": None, "match": []},
        {"size": 5, "reason": None, "match": [1, ""]},
        {"size": 5, "reason": None, "match": [1, "a", 2]},
        {"size": 5, "reason": None, "match": ["1", "a"]},
        {"size": 5, "reason": None, "match": "ab"},
        {"size": 5, "reason": None, "match": [1, "x" * 300]},
    ],
)
def test_anything_else_is_an_error(head: Mapping[str, Any]) -> None:
    """Only a reply in every detail right is a finding."""
    with pytest.raises(EngineError):
        finding_of(head, 5, image=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.sampled_from(["format", "damaged", "a", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["size", "reason", "match", "x"]), JSON))
def test_clean_is_said_in_one_way_only(head: dict[str, Any]) -> None:
    """No other reply than no match and no reason over all bytes is clean, and none breaks us."""
    try:
        finding = finding_of(head, 5, image=True)
    except EngineError:
        return
    if finding == Clean():
        assert head == {"size": 5, "reason": None, "match": None}


class _Impostor(Process):
    """A process of which we play the other end; faults that the real one will not show."""

    def __init__(self, *replies: Frame) -> None:
        super().__init__()
        self._connection, self.other = socket.socketpair()
        for reply in replies:
            send_frame(self.other, reply.head, reply.body, reply.descriptor)

    def end(self) -> None:
        """Close both ends."""
        super().end()
        self.other.close()


def test_a_process_that_sends_a_descriptor_is_refused() -> None:
    """It has no business handing us files, except an index."""
    index = Index(os.open(os.devnull, os.O_RDONLY), 0, "")
    with socket.socket() as some:
        reply = Frame({"ready": True}, descriptor=some.fileno())
        process = _Impostor(reply, reply)
        with pytest.raises(EngineError, match="did not take the list"):
            process.load(index, 31)
        with Blob.of(b"x") as blob, pytest.raises(EngineError, match="descriptor"):
            process.judge(blob, 5, image=True)
        process.end()
    index.close()


def test_a_process_that_gives_no_index() -> None:
    """Whatever it says instead of an index is a fault of the list."""
    for head, message in (({"error": "line 1: x"}, "line 1: x"), ({"x": 1}, "could not be made")):
        process = _Impostor(Frame(head))
        with pytest.raises(ConfigError, match=message):
            process.make_index(0, b"")
        process.end()


def test_a_process_that_was_killed_before_it_began_does_not_begin() -> None:
    """`kill` may come first."""
    process = Process()
    process.kill()
    with Blob.of(b"x") as blob, pytest.raises(EngineError, match="was ended"):
        process.judge(blob, 5, image=True)
    assert not process.alive
    process.end()


def test_no_process_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started, that is an error."""
    monkeypatch.setattr("sys.executable", "/nonexistent")
    process = Process()
    with Blob.of(b"x") as blob, pytest.raises(EngineError, match="No such file"):
        process.judge(blob, 5, image=True)
    process.end()


def test_an_index_closes_itself() -> None:
    """When nobody holds it any more, its descriptor is closed."""
    index = Index(os.memfd_create("x"), 0, "")
    descriptor = index.descriptor
    os.fstat(descriptor)
    del index
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_list_too_long_to_be_one(tmp_path: Path) -> None:
    """A file of more than a gigabyte is not read."""
    path = tmp_path / "list"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(ConfigError, match="no file of up to 1024 MiB"):
        open_list(path)
