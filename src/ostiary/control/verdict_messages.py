"""What the commands about verdicts take and give: the words of `ostiary verdicts`.

Nothing here tells whether bytes came encrypted: who made an entry is not kept with it. For that reason a
summary does not say what type the bytes are (see `ostiary.control.verdicts`).
"""

from typing import Annotated, Final

from pydantic import Field

from ostiary.control.protocol import Arguments, Result
from ostiary.model import Result as Judgement

LIST: Final = "verdicts.list"
SHOW: Final = "verdicts.show"
FORGET: Final = "verdicts.forget"

PAGE: Final = 500
"""Entries that one answer holds at most."""

_LONGEST: Final = 1024

TargetText = Annotated[str, Field(max_length=_LONGEST)]
"""What `ostiary.control.targets` parses."""


class ListArguments(Arguments):
    """Which entries; `after` is where the answer before ended. Only those with this `result`, if any."""

    limit: Annotated[int, Field(ge=1, le=PAGE)] = PAGE
    after: Annotated[str | None, Field(max_length=_LONGEST)] = None
    result: Annotated[Judgement | None, Field(strict=False)] = None


class Summary(Result):
    """One entry: the verdict as of now for a request that declares nothing.

    `engine` and `name` say who decided and why, as in the log. `counts`: the engines of now stand by it;
    what they don't is inspected again before it is served. `age` and `left` in seconds; `versions` are of
    the engines that made it.
    """

    digest: str
    result: Judgement
    served: bool
    engine: str | None
    name: str | None
    counts: bool
    age: float
    left: float
    versions: dict[str, str]


class Listing(Result):
    """Some entries, and where to go on; null at the end. There may be none of them before the end."""

    entries: tuple[Summary, ...]
    after: str | None


class TargetArguments(Arguments):
    """What `show` and `forget` are about."""

    target: TargetText


class ForgetArguments(Arguments):
    """What to forget; null: everything, also what inspections under way will find."""

    target: TargetText | None


class Word(Result):
    """What one engine said; `detail` is for causes. `keep`: seconds that it counts at most, null: any."""

    engine: str
    finding: str
    name: str | None
    detail: str | None
    version: str
    required: bool
    shadow: bool
    keep: float | None


class Shown(Result):
    """All that is known of one target. Where nothing is: `summary` is null, and `why` says why.

    `type` and `embedded` are null where the target is a keyed digest.
    """

    summary: Summary | None
    words: tuple[Word, ...] = ()
    type: str | None = None
    embedded: tuple[str, ...] | None = None
    why: str | None = None


class Forgotten(Result):
    """How many entries went, and why none did where that needs saying."""

    count: int
    why: str | None = None
