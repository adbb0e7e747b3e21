"""One scan in a thread, with a scan process that is taken over or started for it.

The thread and the event loop meet here: `stop`, called from the loop, kills the process, so that
`run` ends at once; what `run` has finished, `stop` leaves alone.
"""

import threading
from typing import Final

from ostiary.blob import Blob
from ostiary.engines.yara.process import CompiledRules, Process, finding_of
from ostiary.errors import EngineError
from ostiary.model import Cause, Finding, Unscannable

KILL_GRACE: Final = 2.0
"""Seconds that a process gets past the scan's timeout before it is killed."""


class Job:
    """One scan; `process` is the process it uses while that is fit for use, else None."""

    def __init__(self, rules: CompiledRules, timeout: int, process: Process | None) -> None:
        self._rules = rules
        self._timeout = timeout
        self._guard = threading.Lock()
        self._stopped = False
        self._finished = False
        self.process = process

    def run(self, blob: Blob) -> Finding:
        """Scan, blocking this thread; EngineError if the scan was stopped or could not be done."""
        try:
            reply = self._ready().scan(blob, self._timeout + KILL_GRACE)
            finding = finding_of(reply, self._rules, blob.size)
        except TimeoutError:
            self._discard()
            return Unscannable(Cause.TIMEOUT, "the YARA rules took too long")
        except OSError as error:
            self._discard()
            raise EngineError(f"no scan process: {error}") from error
        except BaseException:
            self._discard()
            raise
        self._finish()
        return finding

    def stop(self) -> None:
        """Make `run` end at once, from another thread."""
        with self._guard:
            self._stopped = True
            if self.process is not None and not self._finished:
                self.process.kill()

    def _ready(self) -> Process:
        if self.process is not None:
            return self.process
        process = Process()
        with self._guard:
            self.process = process
            if self._stopped:
                process.kill()
        process.load(self._rules, self._timeout)
        return process

    def _finish(self) -> None:
        with self._guard:
            self._finished = True
            killed = self._stopped
        if killed:
            self._discard()

    def _discard(self) -> None:
        with self._guard:
            process, self.process = self.process, None
        if process is not None:
            process.end()
