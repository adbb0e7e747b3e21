"""Which versions are live at one address, and what a VERSION says of the signatures' age.

Behind one address several clamds may take turns (a Kubernetes Service, haproxy), each with signatures of
its own: what was seen again after the newest came up is live. A clamd that was simply updated is never
seen with its old version again, so that one is stale at once.
"""

import re
from datetime import datetime
from typing import Final

WINDOW: Final = 60.0
"""Seconds after which a version that was not seen again is forgotten."""

_MOST: Final = 64  # versions remembered; each needs a clamd of its own
_DATE: Final = re.compile(
    r"ClamAV [^/]{1,64}/[0-9]{1,10}/"
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?P<month>[A-Z][a-z]{2}) (?P<day>[ 0-3]?[0-9]) "
    r"(?P<hour>[0-2][0-9]):(?P<minute>[0-5][0-9]):(?P<second>[0-6][0-9]) (?P<year>[0-9]{4})",
    re.ASCII,
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class LiveVersions:
    """The versions seen at one address; times are monotonic seconds."""

    def __init__(self) -> None:
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def note(self, version: str, asked: float, answered: float) -> None:
        """Note that a clamd there told its version."""
        self._first.setdefault(version, answered)
        self._last[version] = max(asked, self._last.get(version, asked))
        for old in [known for known, last in self._last.items() if last < answered - WINDOW]:
            self._forget(old)
        while len(self._last) > _MOST:
            self._forget(min(self._last, key=self._last.__getitem__))

    def live(self) -> frozenset[str]:
        """Return the versions that a clamd there may have now."""
        if not self._first:
            return frozenset()
        newest = max(self._first, key=self._first.__getitem__)
        again = {version for version, last in self._last.items() if last > self._first[newest]}
        return frozenset(again | {newest})

    def _forget(self, version: str) -> None:
        del self._first[version], self._last[version]


def signed_at(version: str) -> float | None:
    """Return when the signatures of that version were made, in seconds since 1970; None if it has no date.

    clamd writes it as ctime(3) does, in its local time, which is taken for ours.
    """
    match = _DATE.match(version)
    if match is None or match["month"] not in _MONTHS:
        return None
    day, hour, minute, second = (int(match[name]) for name in ("day", "hour", "minute", "second"))
    try:
        month = _MONTHS.index(match["month"]) + 1
        local = datetime(int(match["year"]), month, day, hour, minute, second)  # noqa: DTZ001  (local on purpose)
        return local.timestamp()
    except (ValueError, OverflowError):
        return None
