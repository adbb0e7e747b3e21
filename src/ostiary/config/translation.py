"""The keys of a legacy configuration by their names here: the first step of a migration. Pure.

Each key is translated by itself (`ostiary.config.legacy` has the table), since those of the two formats
never collide; whom to ask for media is settled here too. Values are judged later, by the sections.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ostiary.config import legacy
from ostiary.config.document import Value
from ostiary.config.draft import ENGINES, MAX_UNKNOWN, Change, Draft, Key, Old
from ostiary.config.layers import Layer
from ostiary.config.section import KeyPath
from ostiary.config.settings import Settings, known_keys

_NEAR: Final = 0.7
_LONGEST_KEY: Final = 64
_KEY: Final = 2  # a section and a name

_HOMESERVER: Final[Key] = ("download", "base_homeserver_url")
_DIRECT: Final[Key] = ("download", "allow_direct")
_FORWARD: Final[Key] = ("download", "headers_to_forward")
_HEADERS: Final[Key] = ("download", "additional_headers")

_WHOM: Final = (
    "the old scanner then asked the server that each media's URI names, and gave it the caller's token; "
    "decide: --homeserver URL (your homeserver, for all media) or --direct (those servers, public media "
    "only, no tokens)"
)


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator decided: see `ostiary migrate --help`. `directory` is absolute."""

    homeserver: str | None = None
    direct: bool = False
    secret_path: Path | None = None
    directory: Path | None = None
    keep_pickle: bool = False


def translated(layer: Layer, choices: Choices) -> Draft:
    """Return what the old file says, under our names and unchecked, with a note on all that has none."""
    draft = Draft()
    for path, value in _entries(layer.data):
        _take(draft, Old(path, layer.place(path).line), value)
    _request_headers(draft, layer)
    _homeserver(draft, layer, choices)
    return draft


def _entries(data: Mapping[str, Value]) -> Iterator[tuple[KeyPath, Value]]:
    """Yield each key that holds a value rather than keys."""
    for name, section in data.items():
        if not isinstance(section, dict) or name not in _sections():
            yield (name,), section
            continue
        for key, value in section.items():
            if isinstance(value, dict) and legacy.holds_keys((name, key)):
                yield from (((name, key, inner), found) for inner, found in value.items())
            else:
                yield (name, key), value


def _sections() -> frozenset[str]:
    return legacy.SECTIONS | {name for name in Settings.model_fields if name != "engines"}


def _take(draft: Draft, old: Old, value: Value) -> None:
    path = old.path
    key = _key(path)
    if key is not None:
        draft.take(key, value, old)
    elif path in {legacy.DIRECT, legacy.USER_AGENT, legacy.X_FORWARD}:
        return  # each has a function of its own
    elif legacy.holds_keys(path) or (len(path) == 1 and path[0] in _sections()):
        if value is not None:
            draft.note(Change.UNDECIDED, f"{old.name}: expected a section with keys", old.line)
    else:
        _unknown(draft, old)


def _key(path: KeyPath) -> Key | None:
    """Return what the key is called here, None where it is nothing of ours."""
    if path == ("engines",):
        return ENGINES
    if path in legacy.RENAMED:
        return legacy.RENAMED[path]
    if len(path) != _KEY:
        return None
    section, name = "download" if path[0] == "proxy" else str(path[0]), str(path[1])
    return (section, name) if name in known_keys().get(section, ()) else None


def _unknown(draft: Draft, old: Old) -> None:
    draft.unknown += 1
    if draft.unknown > MAX_UNKNOWN:
        return
    names = [".".join(map(str, path)) for path in legacy.RENAMED]
    names += [f"{section}.{key}" for section, keys in known_keys().items() if section for key in keys]
    near = (
        difflib.get_close_matches(old.name, names, n=1, cutoff=_NEAR) if len(old.name) <= _LONGEST_KEY else ()
    )
    hint = f"did you mean {near[0]}?" if near else "correct it or remove it"
    text = f"{old.name}: no scanner documents such a key, and Ostiary has none: {hint}"
    draft.note(Change.UNDECIDED, text, old.line)


def _request_headers(draft: Draft, layer: Layer) -> None:
    """Translate the older scanner's two headers."""
    section = layer.data.get("requestHeader")
    if not isinstance(section, dict):
        return
    agent, source = section.get("userAgent"), section.get("xForward")
    forwarded: list[Value] = []
    line = layer.place(legacy.USER_AGENT).line
    if agent == legacy.ORIGIN:
        forwarded.append("user-agent")
    elif agent is not None:
        draft.take(_HEADERS, {"user-agent": agent}, Old(legacy.USER_AGENT, line))
    if source is not None:
        forwarded.append(_forwarded(draft, source, layer.place(legacy.X_FORWARD).line))
    if forwarded:
        draft.take(_FORWARD, forwarded, Old(("requestHeader",), layer.place(("requestHeader",)).line))


def _forwarded(draft: Draft, source: Value, line: int) -> Value:
    """Return the header to pass on, with a note where that is not all that the old scanner did."""
    name = "requestHeader.xForward"
    if source == legacy.ORIGIN:
        text = f"{name}: the X-Forwarded-For of the reverse proxy is passed on; Ostiary makes none up"
        draft.note(Change.ATTENTION, text, line)
        return "x-forwarded-for"
    if isinstance(source, str) and source.lower() != "x-forwarded-for":
        text = f"{name}: this header is passed on under its own name, no longer as X-Forwarded-For"
        draft.note(Change.ATTENTION, text, line)
    return source


def _homeserver(draft: Draft, layer: Layer, choices: Choices) -> None:
    """Settle whom to ask: the old scanners could ask the server that a URI names, with the caller's token."""
    scan = layer.data.get("scan")
    direct = scan.get("directDownload") if isinstance(scan, dict) else None
    line = layer.place(legacy.DIRECT).line if direct is not None else 0
    if choices.homeserver is not None:
        _choose(draft, _HOMESERVER, choices.homeserver, "--homeserver")
    elif choices.direct:
        _choose(draft, _DIRECT, True, "--direct")
    elif direct is True:
        draft.note(Change.UNDECIDED, f"scan.directDownload: {_WHOM}", line)
        return
    elif draft.values.get(_HOMESERVER) is None and draft.values.get(_DIRECT) is not True:
        draft.note(Change.UNDECIDED, f"no homeserver is named: {_WHOM}")
    if isinstance(direct, bool):
        text = "true is download.allow_direct" if choices.direct else "Ostiary asks the one homeserver"
        draft.note(Change.DROPPED, f"scan.directDownload: {text}", line)
    elif direct is not None:
        draft.note(Change.UNDECIDED, "scan.directDownload: expected true or false", line)


def _choose(draft: Draft, key: Key, value: Value, option: str) -> None:
    """Let an option decide, whatever the old file says."""
    for replaced in (_HOMESERVER, _DIRECT):
        draft.values.pop(replaced, None)
        old = draft.origins.pop(replaced, None)
        if old is not None:
            draft.note(Change.DROPPED, f"{old.name}: {option} replaces it", old.line)
    draft.take(key, value, Old((option,), 0))
