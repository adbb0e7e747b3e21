"""Ctrl-C, SIGTERM and a closed terminal: each ends the demo, at any point, exactly once.

The first signal raises KeyboardInterrupt wherever the demo is; later ones are ignored, so that
none can break the tidying up that the first one caused.
"""

import signal
from types import FrameType
from typing import Final

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHELL_BASE: Final = 128  # a shell reports a command that a signal ended as 128 + its number


class Interrupts:
    """Which signal came, if any; `install` before anything is started."""

    def __init__(self) -> None:
        self._came: int | None = None
        self._ignoring = False

    def install(self) -> None:
        """Take over the signals; a demo started with nohup goes on without its terminal."""
        for number in _ENDING:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            signal.signal(number, self._arrived)

    def ignore(self) -> None:
        """From now on no signal does anything, not even while Python itself ends."""
        self._ignoring = True
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)

    def check(self) -> None:
        """Raise again what came before, where some callback swallowed it."""
        if self._came is not None:
            raise KeyboardInterrupt

    @property
    def exit_code(self) -> int:
        """The exit code that says which signal ended us."""
        return _SHELL_BASE + (self._came or signal.SIGINT)

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        if self._came is None and not self._ignoring:
            self._came = number
            raise KeyboardInterrupt
