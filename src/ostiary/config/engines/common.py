"""What every engine's section has: its name, its weight, its time, its proof."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from ostiary.config.fields import FilePath, Flag, Name, Text, Whole
from ostiary.config.section import Kind, Section, complaint, shown
from ostiary.config.values import PositiveDuration

Concurrency = Annotated[Whole, Field(ge=1, le=1000)]
"""Files that an engine scans at the same time."""

DEFAULT_TIMEOUT: Final = 30.0
"""Seconds for one file."""

OWN_NAMES: Final = frozenset({"gateway", "policy"})
"""What verdicts and logs name in an engine's place, where Ostiary itself decided."""


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse an empty list, and one that holds an entry twice."""
    if not values:
        raise complaint("the list is empty")
    if len(set(values)) != len(values):
        raise complaint("the list holds an entry twice")
    return values


def _not_ours(value: str) -> str:
    """Refuse a name by which logs and verdicts mean Ostiary itself."""
    if value.lower() in OWN_NAMES:
        raise complaint(f"{shown(value)} is what verdicts and logs call a part of Ostiary: choose another")
    return value


EngineName = Annotated[Name, AfterValidator(_not_ours)]

Paths = Annotated[tuple[Text, ...], AfterValidator(distinct), Kind("list of paths")]


class ProofSamples(Section):
    """An operator's own samples for the proof of scan."""

    bad: FilePath
    """A file that the engine must find."""

    good: FilePath
    """A file that the engine must call clean."""


def _proof_tag(value: object) -> str:
    return "=samples" if isinstance(value, dict | ProofSamples) else "=word"


Proof = Annotated[
    Annotated[Literal["auto", "none"], Tag("=word")] | Annotated[ProofSamples, Tag("=samples")],
    Discriminator(_proof_tag),
    Kind("`auto`, `none`, or a mapping with `bad` and `good`"),
]


class CommonSettings(Section):
    """Keys that every engine has."""

    name: EngineName | None = None
    """What logs, metrics and verdicts call it; unique. Default: its type, then type-2, type-3."""

    required: Flag = True
    """false: its errors are logged and do not decide; what it finds does."""

    shadow: Flag = False
    """true: what it finds is recorded and never decides."""

    timeout: PositiveDuration = DEFAULT_TIMEOUT
    """The time for one file."""

    proof: Proof = "auto"
    """How it proves, again and again, that it still finds what it must find (docs/topics/proof.md): `auto`
    (EICAR for clamd and icap, a canary of ours for yara, hashlist and perceptual, nothing for the
    others), `none`, or samples of your own."""
