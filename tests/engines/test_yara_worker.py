"""The scan process from inside: what it compiles, loads and scans, and what it says of faults."""

import os
import socket
import threading
from typing import Any

import pytest
import yara_x

from ostiary.engines.frames import Frame, receive_frame, send_frame
from ostiary.engines.yara.worker import compile_rules, serve, silence

SOURCE = ("file0", "x.yar", 'rule a { meta: finding = 7 strings: $a = "needle" condition: $a }')


def _answers(*requests: Frame, rules: bytes) -> list[Any]:
    """Return what a worker in a thread of this process answers, until it ends."""
    ours, theirs = socket.socketpair()
    first = Frame({"timeout": 5}, rules)
    thread = threading.Thread(target=serve, args=(theirs, first))
    with ours, theirs:
        thread.start()
        for request in requests:
            send_frame(ours, request.head, request.body, request.descriptor)
        ours.shutdown(socket.SHUT_WR)
        thread.join()
        theirs.shutdown(socket.SHUT_WR)
        return [frame.head for frame in iter(lambda: receive_frame(ours), None)]


def test_compiling() -> None:
    """Rules come back in order with their kind as text; a doubtful one is a warning, not an error."""
    head, body = compile_rules([SOURCE, ("file1", "y.yar", "rule b { condition: true }")])
    assert head["rules"] == [["file0", "a", "7"], ["file1", "b", None]]
    assert len(head["warnings"]) == 1
    assert head["warnings"][0].startswith("y.yar, line 1: ")
    assert body


def test_a_fault_says_where() -> None:
    """File, line and what is wrong, in one line."""
    head, body = compile_rules([SOURCE, ("file1", "y.yar", "rule b {\n condition:\n  $x\n}")])
    assert head == {
        "error": "y.yar, line 3: unknown pattern `$x` (this pattern is not declared in the `strings` section)"
    }
    assert body == b""


def test_serving() -> None:
    """Bytes and files are scanned alike, and each answer repeats how much was seen."""
    rules = compile_rules([SOURCE])[1]
    descriptor = os.memfd_create("test")
    os.write(descriptor, b"a needle")
    answers = _answers(Frame({}, b"needle"), Frame({}, b"x"), Frame({}, descriptor=descriptor), rules=rules)
    os.close(descriptor)
    assert answers == [
        {"ready": True},
        {"size": 6, "matches": [["file0", "a"]]},
        {"size": 1, "matches": []},
        {"size": 8, "matches": [["file0", "a"]]},
    ]


def test_a_file_that_cannot_be_mapped() -> None:
    """What can't be scanned is an error with its reason, and the process goes on."""
    rules = compile_rules([SOURCE])[1]
    folder = os.open("/", os.O_RDONLY)
    answers = _answers(Frame({}, descriptor=folder), Frame({}, b"x"), rules=rules)
    os.close(folder)
    assert "directory" in answers[1]["error"]
    assert answers[2] == {"size": 1, "matches": []}


class _PanicError(BaseException):
    """As pyo3's PanicException, which is no Exception."""


class _Panicking:
    """A scanner with a bug; the real one has none that we know."""

    def __init__(self, _rules: yara_x.Rules) -> None: ...
    def set_timeout(self, _seconds: int) -> None: ...
    def max_matches_per_pattern(self, _count: int) -> None: ...
    def scan(self, data: bytes) -> None:
        raise _PanicError(data)


def test_a_panic_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a panic it says so, without the panic's words, and serves no more."""
    rules = compile_rules([SOURCE])[1]
    monkeypatch.setattr("ostiary.engines.yara.worker.yara_x.Scanner", _Panicking)
    assert _answers(Frame({}, b"content"), Frame({}, b"x"), rules=rules) == [
        {"ready": True},
        {"panic": "_PanicError"},
    ]


def test_silence() -> None:
    """What a library prints goes nowhere."""
    read, write = os.pipe()
    silence(write)
    os.write(write, b"a piece of somebody's letter")
    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)
