"""What the gateway makes of the things a scan process says."""

import socket
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.blob import Blob
from ostiary.engines.frames import Frame, receive_frame, send_frame
from ostiary.engines.yara.canary import KEY, Canary
from ostiary.engines.yara.job import Job
from ostiary.engines.yara.process import KINDS, CompiledRules, Process, compile_in, finding_of
from ostiary.engines.yara.sources import RuleSource
from ostiary.errors import EngineError
from ostiary.model import Cause, Clean, Infected, Unscannable

RULES = CompiledRules(
    b"",
    "digest",
    {("file0", "a"): (0, 1), ("file0", "b"): (0, 0), ("file1", "a"): (3, 2), KEY: (len(KINDS), 3)},
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.sampled_from(["file0", "file1", "a", "b", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)


def some_rules() -> CompiledRules:
    """Return rules with one that always matches."""
    with Process() as process:
        return compile_in(process, [RuleSource("file0", "x.yar", "rule a { condition: true }")], Canary())


@pytest.mark.parametrize(
    ("head", "finding"),
    [
        ({"size": 5, "matches": []}, Clean()),
        ({"size": 5, "matches": [["file0", "a"]]}, Infected("a")),
        ({"size": 5, "matches": [["file0", "a"], ["file0", "b"]]}, Infected("b")),
        ({"size": 5, "matches": [["file1", "a"]]}, Unscannable(Cause.MACRO, "rule a")),
        ({"size": 5, "matches": [list(KEY)]}, Infected("Ostiary.Canary")),
        ({"size": 5, "matches": [list(KEY), ["file1", "a"]]}, Unscannable(Cause.MACRO, "rule a")),
        ({"timeout": True}, Unscannable(Cause.TIMEOUT, "the YARA rules took too long")),
    ],
)
def test_findings(head: Mapping[str, Any], finding: object) -> None:
    """Of several rules the strongest kind decides, then the order of the files; the canary is the weakest."""
    assert finding_of(Frame(head), RULES, 5) == finding


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"matches": []},
        {"size": 5},
        {"size": 4, "matches": []},
        {"size": True, "matches": []},
        {"size": 5, "matches": None},
        {"size": 5, "matches": ["ab"]},
        {"size": 5, "matches": [[["file0"], "a"]]},
        {"size": 5, "matches": [["file0", "other"]]},
        {"size": 5, "matches": [], "error": "cannot map"},
        {"panic": "PanicException"},
    ],
)
def test_anything_else_is_an_error(head: Mapping[str, Any]) -> None:
    """Only a reply in every detail right is a finding."""
    with pytest.raises(EngineError):
        finding_of(Frame(head), RULES, 5)


@given(st.dictionaries(st.sampled_from(["size", "matches", "timeout", "error", "x"]), JSON))
def test_clean_is_said_in_one_way_only(head: dict[str, Any]) -> None:
    """No other reply than an empty list of matches over all bytes is clean, and none breaks us."""
    try:
        finding = finding_of(Frame(head), RULES, 5)
    except EngineError:
        return
    if finding == Clean():
        assert head["size"] == 5
        assert head["matches"] == []


class _Impostor(Process):
    """A process of which we play the other end; a fault that the real one will not show."""

    def __init__(self, *replies: Frame) -> None:
        super().__init__()
        self._connection.close()
        self._connection, self.other = socket.socketpair()
        for reply in replies:
            send_frame(self.other, reply.head, reply.body, reply.descriptor)

    def end(self) -> None:
        super().end()
        self.other.close()


def test_a_process_that_sends_a_descriptor_is_refused() -> None:
    """A scan process has no business handing us files."""
    with socket.socket() as some, _Impostor(Frame({}, descriptor=some.fileno())) as process:
        with pytest.raises(EngineError, match="descriptor"):
            process.ask({}, seconds=5)
        assert receive_frame(process.other) == Frame({})


def test_a_process_that_does_not_load_is_refused() -> None:
    """A process serves only after it said that it has the rules."""
    with _Impostor(Frame({"ready": "maybe"})) as process, pytest.raises(EngineError, match="load"):
        process.load(RULES, 1)


def test_a_stopped_job_does_not_begin() -> None:
    """A job that was stopped before its process was there ends with an error, and so does the process."""
    job = Job(some_rules(), 1, None)
    job.stop()
    with pytest.raises(EngineError), Blob.of(b"x") as blob:
        job.run(blob)
    assert job.process is None


def test_a_job_stopped_after_its_end_gives_its_process_up_only_if_it_was_running() -> None:
    """What is finished is left alone: the process is fit for the next scan."""
    job = Job(some_rules(), 1, None)
    with Blob.of(b"x") as blob:
        assert job.run(blob) == Infected("a")
    job.stop()
    assert job.process is not None
    with job.process as process, Blob.of(b"x") as blob:
        assert process.scan(blob, 5).head["matches"] == [["file0", "a"]]


def test_a_process_killed_at_the_last_moment_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kill comes after the answer, the finding stands and the process goes."""
    job = Job(some_rules(), 1, None)
    monkeypatch.setattr(Process, "kill", lambda _process: None)  # it arrives too late
    job.stop()
    with Blob.of(b"x") as blob:
        assert job.run(blob) == Infected("a")
    assert job.process is None


def test_no_process_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started, rules are a start error and scans are errors."""
    rules = some_rules()
    monkeypatch.setattr("sys.executable", "/nonexistent")
    with pytest.raises(OSError, match="No such file"):
        Process()
    with pytest.raises(EngineError, match="no scan process"), Blob.of(b"x") as blob:
        Job(rules, 1, None).run(blob)
