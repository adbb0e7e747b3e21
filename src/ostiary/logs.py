"""Logging: structlog on standard error, one line per decision, for a person or as JSON.

What may never be in a line: a token, a key, a plaintext or its digest. Values that hold such
things hide them in their `repr`; file content is never logged at all.
"""

import logging
import os
import sys
from contextlib import suppress
from typing import Final, Literal

import structlog

_STANDARD_ERROR: Final = 2


class _StandardError:
    """Writes lines to standard error. Where nobody takes them any more, the gateway works on.

    A log collector that died, or a full disk, must neither turn verdicts into errors nor end us.
    """

    def __init__(self, *_: object) -> None: ...

    def msg(self, line: str) -> None:
        """Write one line, unbuffered: what a buffer can't get rid of would spoil the exit code."""
        data = f"{line}\n".encode(errors="backslashreplace")
        with suppress(OSError):
            while data:
                data = data[os.write(_STANDARD_ERROR, data) :]

    debug = info = warning = error = exception = critical = msg


def configure(level: str, style: Literal["console", "json"]) -> None:
    """Set up logging for this process; colour only on a terminal."""
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if style == "json":
        # Local variables stay out: tokens, keys and plaintext live there.
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        processors += [
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(),
        ]
    else:
        plain = structlog.dev.plain_traceback
        processors.append(
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
        )
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_StandardError,
        cache_logger_on_first_use=True,
    )
    # Libraries (aiohttp's server above all) speak through the standard library.
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
