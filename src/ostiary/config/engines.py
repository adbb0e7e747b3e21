"""The `engines` list: who looks at the bytes. All must call a file clean.

One class a type, told apart by `type`. Types that are settled but not built are refused by name:
an engine that does not run must never be taken for one that does.
"""

import ipaddress
import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from ostiary.config.fields import FilePath, Flag, Name, Text, Whole
from ostiary.config.section import Kind, Section, complaint, shown
from ostiary.config.values import PositiveDuration

BUILT: Final = ("clamd", "yara", "script")
NOT_BUILT: Final = ("icap", "hashlist", "perceptual", "hma", "filetype")

Concurrency = Annotated[Whole, Field(ge=1, le=1000)]

_LABEL: Final = r"[A-Za-z0-9_-]{1,63}"
_LITERAL: Final = r"[0-9A-Fa-f:.]{2,45}(?:%[0-9A-Za-z._-]{1,15})?"  # with a zone if need be
_TCP: Final = re.compile(
    rf"tcp:(?:\[(?P<literal>{_LITERAL})\]|{_LABEL}(?:\.{_LABEL})*\.?):(?P<port>[0-9]{{1,5}})"
)
_SOCKET_PATH_LIMIT: Final = 107  # unix(7): sun_path holds 108 bytes, with the NUL at its end


def _address(value: str) -> str:
    """Refuse what `ostiary.engines.clamd_address` would refuse, with the line that it stands in."""
    fault = _fault_of_unix(value) if value.startswith("unix:") else _fault_of_tcp(value)
    if fault is not None:
        raise complaint(f"{shown(value)}: {fault}")
    return value


def _fault_of_unix(value: str) -> str | None:
    path = value.removeprefix("unix:")
    if not path.startswith("/") or not path.isprintable():
        return "a unix socket's path begins with /"
    if len(path.encode()) > _SOCKET_PATH_LIMIT:
        return f"a unix socket's path has at most {_SOCKET_PATH_LIMIT} bytes"
    return None


def _fault_of_tcp(value: str) -> str | None:
    found = _TCP.fullmatch(value)
    if found is None or not 0 < int(found["port"]) < 1 << 16:
        return "expected unix:/path/to/socket, tcp:host:port or tcp:[address]:port"
    if found["literal"] is not None:
        try:
            ipaddress.IPv6Address(found["literal"])
        except ValueError:
            return "its IPv6 address can't be read"
    return None


def _one_or_more(value: Any) -> Any:  # noqa: ANN401  (whatever a file holds)
    return (value,) if isinstance(value, str) else value


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise complaint("the list is empty")
    if len(set(values)) != len(values):
        raise complaint("the list holds an entry twice")
    return values


Address = Annotated[str, AfterValidator(_address), Kind("address")]

Addresses = Annotated[
    tuple[Address, ...],
    BeforeValidator(_one_or_more),
    AfterValidator(_distinct),
    WithJsonSchema({
        "anyOf": [
            {"type": "string", "pattern": "^(unix|tcp):"},
            {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^(unix|tcp):"}},
        ]
    }),
    Kind("address or list of addresses"),
]  # fmt: skip

Rules = Annotated[tuple[Text, ...], AfterValidator(_distinct), Kind("list of paths, or builtin")]


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

    name: Name | None = None
    """What logs, metrics and verdicts call it; unique. Default: its type, then type-2, type-3."""

    required: Flag = True
    """false: its errors are logged and do not decide; what it finds does."""

    shadow: Flag = False
    """true: what it finds is recorded and never decides."""

    timeout: PositiveDuration = 30.0
    """The time for one file."""

    proof: Proof = "auto"
    """How `ostiary check` proves that the engine works: `auto` (the EICAR test file, where the engine
    should know it), `none`, or samples of your own. A running gateway does not prove its engines yet."""


class ClamdSettings(CommonSettings):
    """ClamAV's daemon."""

    type: Literal["clamd"]
    """Which engine it is."""

    address: Addresses
    """Where clamd listens: `unix:/path`, `tcp:host:port`, `tcp:[::1]:3310`, or a list of them,
    tried in order."""

    concurrency: Concurrency = 8
    """Files that it scans at the same time; not more than clamd's `MaxThreads`."""


class YaraSettings(CommonSettings):
    """YARA rules, run by YARA-X in scan processes of ours."""

    type: Literal["yara"]
    """Which engine it is."""

    rules: Rules = ("builtin",)
    """Rule files and folders of them; `builtin`: the rules that come with Ostiary."""

    concurrency: Concurrency | None = None
    """Files that it scans at the same time; null: one for each CPU."""


class ScriptSettings(CommonSettings):
    """A program of the operator's, as `scan.script`."""

    type: Literal["script"]
    """Which engine it is."""

    path: FilePath
    """The program, called as `scan.script` is."""

    concurrency: Concurrency = 4
    """Programs at the same time."""


def _of_a_built_type(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, CommonSettings):
        return value
    if not isinstance(value, dict):
        raise complaint("expected a mapping with a type, as {type: yara}")
    kind = value.get("type")
    if kind in NOT_BUILT:
        raise complaint(f"{kind} is not in this release; it has {', '.join(BUILT)}", "type")
    if kind not in BUILT:
        got = "is missing" if kind is None else f"{shown(kind)} is none"
        raise complaint(f"{got}: one of {', '.join(BUILT)}", "type")
    return value


def _engine_tag(value: Any) -> str:  # noqa: ANN401
    return f"={value['type'] if isinstance(value, dict) else value.type}"


EngineSettings = Annotated[
    Annotated[ClamdSettings, Tag("=clamd")]
    | Annotated[YaraSettings, Tag("=yara")]
    | Annotated[ScriptSettings, Tag("=script")],
    Discriminator(_engine_tag),
    BeforeValidator(_of_a_built_type),
]
"""One engine, of the type that its `type` names."""
