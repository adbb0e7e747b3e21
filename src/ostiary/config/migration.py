"""A legacy scanner's configuration in, ours out, with a note for every key. Pure.

Takes the keys as `ostiary.config.translation` names them, and lets the sections themselves judge values, so
nothing passes here that `load` would refuse. What has no safe meaning here is `undecided`:
it is left out of the new text, and the command line hands that text out only if the operator insists.
What would loosen the scanning if it were left out is `final`, and nobody can insist. No note and no
remark repeats a secret. Reads no file: the key file's conversion is up to the command line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from ostiary.config import legacy, writing
from ostiary.config.crypto import CryptoSettings
from ostiary.config.document import Value, parse
from ostiary.config.draft import (
    ENGINES,
    FINAL,
    Change,
    Draft,
    Key,
    Note,
    Old,
    name_of,
    remark_on,
)
from ostiary.config.layers import Layer, shown_path
from ostiary.config.load import without_nulls
from ostiary.config.problems import problems_of
from ostiary.config.section import KeyPath, Section
from ostiary.config.settings import Settings, inert, known_keys
from ostiary.config.translation import Choices, translated
from ostiary.config.values import format_duration, format_size, parse_duration, parse_size
from ostiary.errors import ConfigError

_ROUNDS: Final = 10  # of checking, each without what the one before refused
_LONGEST_DURATION: Final = 20  # characters; longer ones say less than what they were written as

_HEADERS: Final[Key] = ("download", "additional_headers")
_SECRET: Final[Key] = ("crypto", "request_secret_path")
_METRICS: Final[Key] = ("metrics", "port")
_PICKLE: Final[tuple[Key, ...]] = (
    ("crypto", "pickle_path"), ("crypto", "pickle_key"), ("crypto", "pickle_key_path"),
)  # fmt: skip

_SAFE_HEADERS: Final = frozenset({"user-agent"})  # never a secret


@dataclass(frozen=True, slots=True)
class Migration:
    """The new configuration, as settings and as text, and the report.

    `pickle` names the key file that is still to be converted into `settings.crypto.request_secret_path`;
    `private` says that the text holds secrets.
    """

    settings: Settings
    text: str = field(repr=False)
    notes: tuple[Note, ...]
    pickle: CryptoSettings | None
    private: bool
    javascript: bool


def migrate(layer: Layer, choices: Choices) -> Migration:
    """Return the new configuration; ConfigError where the old file makes no sense as a whole."""
    draft = translated(layer, choices)
    _checked(draft)
    _convert(draft, choices.directory)
    pickle = _move_key(draft, choices)
    settings = _apart_from_metrics(draft, _checked(draft))
    javascript = legacy.is_javascript(layer.data)
    text = _text(draft, settings, javascript=javascript)
    notes = [*draft.notes, *draft.key_notes(), *_notes_on_settings(draft, settings)]
    notes.sort(key=lambda note: (not note.line, note.line))
    return Migration(settings, text, tuple(notes), pickle, _private(settings), javascript)


def _checked(draft: Draft) -> Settings:
    """Return the settings, once what they refuse is out of the draft."""
    for _ in range(_ROUNDS):
        try:
            return Settings.model_validate(without_nulls(draft.document()))
        except ValidationError as error:
            for at, text in problems_of(error, known_keys()):
                _refuse(draft, at, text)
    raise ConfigError("too much is wrong with this file: mend what it says first, then migrate")


def _refuse(draft: Draft, at: KeyPath, text: str) -> None:
    key = ENGINES if at[:1] == ENGINES[:1] else (str(at[0]), str(at[1]))
    draft.values.pop(key, None)
    old = draft.origins.pop(key, None)
    if old is not None:  # its first problem is enough
        renamed = "" if key in {old.path, ENGINES} or not old.line else f" (now {name_of(key)})"
        final = key in FINAL or not old.line
        name = shown_path(at) if key == ENGINES else old.name
        draft.note(Change.UNDECIDED, f"{name}{renamed}: {text}", old.line, final=final)


def _convert(draft: Draft, directory: Path | None) -> None:
    """Write durations and sizes as we do, and relative paths whole where we know from where they count."""
    _canonical_duration(draft)
    _canonical_size(draft)
    for key in legacy.PATHS if directory is not None else ():
        value = draft.values.get(key)
        if isinstance(value, str) and directory is not None and not Path(value).is_absolute():
            _replace(draft, key, str(directory / value))


def _canonical_duration(draft: Draft) -> None:
    key = ("result_cache", "ttl")
    if draft.values.get(key) is not None:
        seconds = parse_duration(draft.values[key])
        text = format_duration(seconds)
        if len(text) < _LONGEST_DURATION and parse_duration(text) == seconds:
            _replace(draft, key, text)


def _canonical_size(draft: Draft) -> None:
    key = ("result_cache", "max_file_size")
    if draft.values.get(key) is not None:
        _replace(draft, key, format_size(parse_size(draft.values[key])))


def _replace(draft: Draft, key: Key, value: Value) -> None:
    before, old = draft.values[key], draft.origins[key]
    if before != value:
        draft.values[key], draft.origins[key] = value, Old(old.path, old.line, before)


def _move_key(draft: Draft, choices: Choices) -> CryptoSettings | None:
    """Put a request secret in the key file's place, and return what opens that file; None where all stays."""
    crypto = _checked(draft).crypto
    if crypto.pickle_path is None or choices.keep_pickle:
        if choices.secret_path is not None:
            draft.values[_SECRET] = str(choices.secret_path)
            draft.origins[_SECRET] = Old(("--secret",), 0)
        return None
    for key in _PICKLE[1:]:
        draft.values.pop(key, None)
        passphrase = draft.origins.pop(key, None)
        if passphrase is not None:
            text = f"{passphrase.name}: a request secret has no passphrase, its mode (0600) guards it"
            draft.note(Change.DROPPED, text, passphrase.line)
    old = draft.origins.pop(_PICKLE[0])
    draft.values.pop(_PICKLE[0])
    target = choices.secret_path or crypto.request_secret_path
    if choices.secret_path is None and _SECRET not in draft.values:
        target = _beside(crypto.pickle_path)
    draft.values[_SECRET], draft.origins[_SECRET] = str(target), old
    return crypto


def _beside(pickle: Path) -> Path:
    """Return where the new secret goes when nobody says: the old scanner's place was fit for a key."""
    return pickle.parent / ("ostiary_request_secret" if pickle.name == "request_secret" else "request_secret")


def _apart_from_metrics(draft: Draft, settings: Settings) -> Settings:
    """Give our metrics another port where the old scanner's API has theirs, as its sample file does."""
    port = settings.web.port
    if port and port == settings.metrics.port and draft.values.get(_METRICS) is None:
        draft.values[_METRICS] = port + 1
        text = f"metrics.port: {port + 1}, since the API keeps {port}, where metrics are by default"
        draft.note(Change.ADDED, text)
        return _checked(draft)
    return settings


def _notes_on_settings(draft: Draft, settings: Settings) -> Iterator[Note]:
    """Yield what the old file does not say, and an operator should know."""
    yield from _notes_on_types(draft, settings)
    script = settings.scan.script
    for key, text in legacy.DEFAULTS.items():
        if draft.values.get(key) is None and (script or key != ("scan", "error_exit_codes")):
            yield Note(Change.DEFAULT, 0, f"{name_of(key)} is {text}")
    if script is not None and len(str(script).split()) > 1:
        text = "scan.script: Ostiary runs one program, without a shell: put a command line into a script"
        yield Note(Change.ATTENTION, 0, text)
    if script is None and ENGINES not in draft.values:
        text = "no scan.script: the built-in YARA rules alone would decide, and they are no antivirus"
        yield Note(Change.ATTENTION, 0, f"{text}; add an engine (docs/setup/clamav.md)")
    yield from (Note(Change.ATTENTION, 0, line) for line in inert(settings))


def _notes_on_types(draft: Draft, settings: Settings) -> Iterator[Note]:
    for name in ("allowed_mimetypes", "blocked_mimetypes"):
        old, listed = draft.origins.get(("scan", name)), getattr(settings.scan, name) or ()
        for wrong in dict.fromkeys(listed):
            right = legacy.NEVER_DETECTED.get(wrong)
            if old is not None and right is not None:
                hint = f"{right} is listed too: remove it" if right in listed else f"write {right}"
                text = f"{old.name}: {wrong} is no registered type and never detected; {hint}"
                yield Note(Change.ATTENTION, old.line, text)


def _text(draft: Draft, settings: Settings, *, javascript: bool) -> str:
    """Return the new file, which is sure to mean what was checked."""
    language = "JavaScript" if javascript else "Python"
    head = [
        f"Ostiary's configuration, made by `ostiary migrate` from the {language} matrix-content-scanner's.",
        "Every key is described in docs/reference/configuration.md; `ostiary check -c FILE` tries it.",
    ]
    head += [f"Left out: {note.text}" for note in draft.notes if note.change is Change.UNDECIDED]
    remarks = {key: remark for key, old in draft.origins.items() if (remark := remark_on(key, old))}
    data = draft.document()
    text = writing.document(head, data, remarks)
    read = parse(text)
    if read.faults or read.data != (data or None):
        raise ConfigError("some text in this file can't be written down again; please report it")
    if Settings.model_validate(without_nulls(data)) != settings:
        raise AssertionError
    return text


def _private(settings: Settings) -> bool:
    """Say whether the new file may hold a secret: a key that no `repr` shows is set, with few exceptions."""
    harmless: set[Key] = set()
    if "@" not in (settings.download.proxy or ""):
        harmless.add(("download", "proxy"))
    if {name.lower() for name in settings.download.additional_headers} <= _SAFE_HEADERS:
        harmless.add(_HEADERS)
    return any(
        (name, key) not in harmless and not part.repr and getattr(section, key) is not None
        for name, section in settings
        if isinstance(section, Section)
        for key, part in type(section).model_fields.items()
        if key in section.model_fields_set
    )
