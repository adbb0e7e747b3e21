"""The gateway's end of a scan process: start it, hand it work, kill it. All of this blocks.

One thread uses a process at a time; `kill` alone may be called from another, and makes every call
under way end at once with EngineError. What the process says is checked: only a reply that names
the number of bytes that the blob has, and rules that we loaded, is a finding.
"""

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from ostiary.blob import Blob
from ostiary.engines.child_process import command, environment
from ostiary.engines.frames import Frame, FrameError, receive_frame, send_frame
from ostiary.engines.yara.canary import KEY, SIGNATURE, Canary
from ostiary.engines.yara.sources import RuleSource, digest
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Cause, Clean, Finding, Forbidden, Infected, Unscannable

COMPILE_SECONDS: Final = 120.0
"""Patience for a compilation: ten thousand rules take some 3 s."""

START_SECONDS: Final = 30.0
"""Patience for a process to load compiled rules."""

KINDS: Final = ("infected", "forbidden", "encrypted_archive", "macro", "limit")
"""What a rule's meta `finding` may say, strongest first; without it a match is `infected`."""

_CANARY_RANK: Final = len(KINDS)  # whatever else matches is stronger


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """Rules ready to load. `order` ranks each, by (namespace, name): index into KINDS, then position."""

    data: bytes
    digest: str
    order: Mapping[tuple[str, str], tuple[int, int]]
    warnings: tuple[str, ...] = ()


class Process:
    """A running scan process and our end of its socket."""

    def __init__(self) -> None:
        """Start it; OSError if that can't be done."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._child = subprocess.Popen(  # noqa: S603  (our own module, no shell)
                    command("ostiary.engines.yara.worker"),
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=environment(),
                    process_group=0,
                )
            except BaseException:
                ours.close()
                raise
        self._connection = ours
        self.digest = ""

    @property
    def alive(self) -> bool:
        """Whether it runs: the kernel may have ended it while it was idle, for want of memory."""
        return self._child.poll() is None

    def load(self, rules: CompiledRules, timeout: int) -> None:
        """Have it take the rules and give up each scan after `timeout` seconds; EngineError."""
        reply = self.ask({"job": "scan", "timeout": timeout}, rules.data, seconds=START_SECONDS)
        if reply.head != {"ready": True}:
            raise EngineError("the scan process did not load the rules")
        self.digest = rules.digest

    def ask(
        self, head: Mapping[str, Any], body: bytes = b"", descriptor: int | None = None, *, seconds: float
    ) -> Frame:
        """Send one frame and return the answer; TimeoutError, or EngineError if it is gone."""
        self._connection.settimeout(seconds)
        try:
            send_frame(self._connection, head, body, descriptor)
            reply = receive_frame(self._connection)
        except FrameError as error:
            raise EngineError(f"the scan process failed: {error}") from error
        if reply is None:
            raise EngineError("the scan process ended before it answered")
        if reply.descriptor is not None:
            os.close(reply.descriptor)
            raise EngineError("the scan process sent a descriptor")
        return reply

    def scan(self, blob: Blob, seconds: float) -> Frame:
        """Have all bytes of the blob scanned; one that is a file is lent by descriptor, not read."""
        if blob.data is not None:
            return self.ask({}, blob.data, seconds=seconds)
        with _descriptor(blob) as descriptor:
            return self.ask({}, descriptor=descriptor, seconds=seconds)

    def kill(self) -> None:
        """End it at once, whatever it does. Any thread may call this."""
        self._child.kill()

    def end(self) -> None:
        """Kill it, wait until it is gone, and close our end. Safe to call twice."""
        self._child.kill()
        self._child.wait()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def compile_in(process: Process, sources: Sequence[RuleSource], canary: Canary) -> CompiledRules:
    """Compile in a new process, with the canary; ConfigError naming the file and line that is at fault."""
    triples = [(source.namespace, source.origin, source.text) for source in sources]
    body = json.dumps([*triples, canary.source], ensure_ascii=False).encode()
    try:
        reply = process.ask({"job": "compile"}, body, seconds=COMPILE_SECONDS)
    except (EngineError, OSError) as error:
        raise ConfigError(f"the YARA rules could not be compiled: {error}") from error
    if "error" in reply.head:
        raise ConfigError(str(reply.head["error"]))
    origins = {source.namespace: source.origin for source in sources}
    order = dict(_order(reply.head["rules"], origins))
    without_rules = origins.keys() - {namespace for namespace, _ in order}
    if without_rules:
        raise ConfigError(f"{origins[min(without_rules)]}: holds no rules")
    return CompiledRules(reply.body, digest(sources), order, tuple(reply.head["warnings"]))


def finding_of(reply: Frame, rules: CompiledRules, size: int) -> Finding:
    """Read the reply to a scan of `size` bytes; EngineError if it is none.

    Of several matches the strongest kind decides, then the first rule in the order of the files.
    """
    head = reply.head
    if head == {"timeout": True}:
        return Unscannable(Cause.TIMEOUT, "the YARA rules took too long")
    if "error" in head or "panic" in head:
        raise EngineError(f"YARA could not scan: {head.get('error', 'it crashed')}")
    matches = head.get("matches")
    if type(head.get("size")) is not int or head["size"] != size or not isinstance(matches, list):
        raise EngineError("the scan process did not scan all bytes")
    try:
        found = [(rules.order[namespace, name], name) for namespace, name in matches]
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError("the scan process named a rule that does not exist") from error
    if not found:
        return Clean()
    (rank, _), name = min(found)
    if rank == _CANARY_RANK:
        return Infected(SIGNATURE)
    match KINDS[rank]:
        case "infected":
            return Infected(name)
        case "forbidden":
            return Forbidden(name)
        case cause:
            return Unscannable(Cause(cause), f"rule {name}")


def _order(
    entries: Sequence[Sequence[Any]], origins: Mapping[str, str]
) -> Iterator[tuple[tuple[str, str], tuple[int, int]]]:
    for position, (namespace, name, finding) in enumerate(entries):
        if (namespace, name) == KEY:
            yield KEY, (_CANARY_RANK, position)
            continue
        kind = "infected" if finding is None else finding
        if kind not in KINDS:
            known = ", ".join(KINDS)
            raise ConfigError(f"{origins[namespace]}: rule {name}: finding {kind!r} is none of {known}")
        yield (namespace, name), (KINDS.index(kind), position)


@contextmanager
def _descriptor(blob: Blob) -> Iterator[int]:
    try:
        descriptor = blob.open_descriptor()
    except (OSError, ValueError) as error:
        raise EngineError(f"the bytes can't be read: {error}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
