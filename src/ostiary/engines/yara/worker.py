"""A scan process: compiles rules, or loads compiled ones and scans what it is handed.

yara_x holds Python's global lock for the whole of a scan and of a compilation (measured, 1.22),
so a thread would stop the gateway's event loop as long. A process does not, can be killed at a
deadline, and takes a crash on hostile bytes upon itself. It knows no settings and no secrets (its
environment is empty), may not write files or dump core, and ends when the gateway's end of its
socket closes. One frame in, one frame out; `ostiary.engines.yara.process` is the other end.
"""

import io
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yara_x

from ostiary.core_dumps import forbid_core_dumps
from ostiary.engines.frames import Frame, FrameError, receive_frame, send_frame

MATCH_LIMIT: Final = 70_000
"""Matches kept per pattern and file, 28 bytes each. The built-in rules walk over 65,536 at most, and
take a flood of what they look for as a finding."""

_WARNINGS: Final = 20

Head = Mapping[str, Any]


def main() -> None:
    """Serve the socket that is our standard input until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the gateway, which lets requests end
    forbid_core_dumps()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it has nothing to write
    with socket.socket(fileno=os.dup(0)) as connection:
        first = receive_frame(connection)
        if first is None:
            return
        if first.head.get("job") == "compile":
            send_frame(connection, *compile_rules(json.loads(first.body)))
        else:
            silence(2)
            serve(connection, first)


def silence(descriptor: int) -> None:
    """Send what a library prints to nowhere: the text of a panic can quote what is scanned."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def compile_rules(sources: Sequence[tuple[str, str, str]]) -> tuple[Head, bytes]:
    """Compile (namespace, origin, text) triples.

    The head holds `rules`: namespace, name and `finding` of each rule in order, and `warnings`; or
    `error`, with the `origin` and the line where known. The body is the compiled form.
    """
    compiler = yara_x.Compiler(includes_enabled=False)
    for namespace, origin, text in sources:
        compiler.new_namespace(namespace)
        try:
            compiler.add_source(text, origin=origin)
        except yara_x.CompileError:
            return {"error": _complaint(origin, compiler.errors()[0])}, b""
    warnings = [_complaint("", warning) for warning in compiler.warnings()[:_WARNINGS]]
    rules = compiler.build()
    body = io.BytesIO()
    rules.serialize_into(body)
    return {"rules": [list(entry) for entry in _entries(rules)], "warnings": warnings}, body.getvalue()


def serve(connection: socket.socket, first: Frame) -> None:
    """Load the compiled rules of the first frame, then scan frame by frame."""
    rules = yara_x.Rules.deserialize_from(io.BytesIO(first.body))
    timeout = int(first.head["timeout"])
    scanner = _scanner(rules, timeout)
    send_frame(connection, {"ready": True})
    while frame := receive_frame(connection):
        reply = _scan(scanner, frame)
        if frame.descriptor is not None:
            scanner = _scanner(rules, timeout)  # the old one kept the last file mapped
        send_frame(connection, reply)
        if "panic" in reply:
            return  # the scanner's state is anybody's guess


def _scanner(rules: "yara_x.Rules", timeout: int) -> "yara_x.Scanner":
    scanner = yara_x.Scanner(rules)
    scanner.set_timeout(timeout)
    scanner.max_matches_per_pattern(MATCH_LIMIT)
    return scanner


def _scan(scanner: "yara_x.Scanner", frame: Frame) -> Head:
    """Scan the frame's body, or the file that came with it; the reply repeats the bytes seen."""
    try:
        if frame.descriptor is None:
            size = len(frame.body)
            found = scanner.scan(frame.body)
        else:
            size = os.fstat(frame.descriptor).st_size
            found = scanner.scan_file(f"/proc/self/fd/{frame.descriptor}")
    except yara_x.TimeoutError:
        return {"timeout": True}
    except yara_x.ScanError as error:
        return {"error": str(error)}
    except BaseException as error:  # noqa: BLE001  (a panic is no Exception, and its text may quote content)
        return {"panic": type(error).__name__}
    finally:
        if frame.descriptor is not None:
            os.close(frame.descriptor)
    return {"size": size, "matches": [[rule.namespace, rule.identifier] for rule in found.matching_rules]}


def _entries(rules: "yara_x.Rules") -> Iterator[tuple[str, str, str | None]]:
    for rule in rules:
        meta = dict(rule.metadata)
        finding = meta.get("finding")
        yield rule.namespace, rule.identifier, None if finding is None else str(finding)


def _complaint(origin: str, error: Mapping[str, Any]) -> str:
    """Say where and what is wrong in one line."""
    labels = [label for label in error["labels"] if label["text"]]
    place = origin or next((str(label["code_origin"]) for label in labels), "")
    details = "; ".join(label["text"] for label in labels)
    return f"{place}, line {error.get('line', '?')}: {error['title']}" + (f" ({details})" if details else "")


if __name__ == "__main__":
    try:
        main()
    except FrameError:
        sys.exit(1)
