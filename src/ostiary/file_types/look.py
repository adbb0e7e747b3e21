"""The whole look: libmagic's guess and the bytes become one type, and the types of what else lies there.

In order: headers that decide, ISO base media by their brands, packages by their members, texts by their
look; then archives, programs and documents that lie in the same bytes.
"""

from dataclasses import dataclass
from typing import Final

from ostiary.file_types.behind import behind, hides_pdf
from ostiary.file_types.isobmff import media_type
from ostiary.file_types.markup import markup_type
from ostiary.file_types.packages import ZIP, package_types
from ostiary.file_types.scripts import reads_as_prose, script_type
from ostiary.file_types.signatures import LNK, PDF, SHORTCUT
from ostiary.file_types.texts import is_wide, text_before_binary, text_of
from ostiary.file_types.view import HEAD, View
from ostiary.file_types.zips import directory_of

RULES: Final = 1
"""The version of these rules: a part of what a verdict depends on. To be raised with each change."""

UNKNOWN: Final = "application/octet-stream"
"""What bytes of no detectable type are called; ciphertext looks like that."""

_TEXT: Final = "text/plain"
_HEADERS: Final = (
    (LNK, SHORTCUT),
    (b"ITSF\3\0\0\0", "application/vnd.ms-htmlhelp"),
    (bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3"), "application/onenote"),  # MS-ONESTORE 2.3.1
    (b"\0asm\1\0\0\0", "application/wasm"),
)
_ONE_NAME: Final = {
    "application/javascript": "text/javascript",
    "application/x-javascript": "text/javascript",
    "text/x-python": "text/x-script.python",
}
"""Names that depend on libmagic's version."""

_OFTEN_SCRIPTS: Final = (UNKNOWN, "text/", "application/x-wine-extension-ini")
_GUESSED: Final = frozenset({"text/javascript", "text/x-script.python"})
"""What libmagic goes by single words for: manuals have them too."""

_KNOWN_SCRIPTS: Final = frozenset({
    "text/x-shellscript", "text/x-perl", "text/x-ruby", "text/x-php", "text/x-lua", "text/x-tcl",
    "text/x-awk", "text/x-msdos-batch", "text/x-script.python",
})  # fmt: skip
"""Guesses that stand: they are scripts as it is."""

_MAY_HIDE_A_PDF: Final = ("image/", "audio/", "video/")


@dataclass(frozen=True, slots=True)
class FileType:
    """What a file is: a MIME type in lower case, and the types of what else lies in the same bytes."""

    name: str
    embedded: tuple[str, ...] = ()


def look(guess: str, view: View) -> FileType:
    """Return what the bytes are; `guess` is libmagic's word for their head."""
    head = view.piece(0, HEAD)
    guess = _ONE_NAME.get(guess, guess)
    if head.startswith(b"PK\3\4"):
        return _package(guess, view, head)
    name = _by_header(head) or media_type(head) or _by_text(guess, head) or guess
    return FileType(name, _embedded(name, view, head))


def _by_header(head: bytes) -> str | None:
    return next((kind for header, kind in _HEADERS if head.startswith(header)), None)


def _by_text(guess: str, head: bytes) -> str | None:
    if guess in {"text/html", "text/xml"}:
        active = markup_type(text_of(head) or "")
        return active if active is not None and (guess == "text/xml" or active != "image/svg+xml") else None
    if not guess.startswith(_OFTEN_SCRIPTS):
        return None
    text = text_of(head)
    if text is None and guess == UNKNOWN:
        text = text_before_binary(head)
    if text is None:
        return None
    found = markup_type(text) if guess in {_TEXT, UNKNOWN} or is_wide(head) else None
    if found is None and guess not in _KNOWN_SCRIPTS:
        found = script_type(text)
    if found is None and guess in _GUESSED and not text.startswith("#!") and reads_as_prose(text):
        return _TEXT
    return found


def _package(guess: str, view: View, head: bytes) -> FileType:
    directory = directory_of(view)
    if directory is None:
        return FileType(guess)
    name, *others = package_types(view, head, directory)
    if name == ZIP and guess.startswith("application/") and guess != UNKNOWN:
        return FileType(guess)  # libmagic knows packages that we do not
    return FileType(name, tuple(others))


def _embedded(name: str, view: View, head: bytes) -> tuple[str, ...]:
    found: dict[str, None] = {}
    directory = directory_of(view)
    if directory is not None:
        inner = view.piece(directory.start, HEAD)
        found.update(dict.fromkeys(package_types(view, inner, directory)))
    lying_behind = behind(view, name)
    if directory is not None:  # its members' headers say no more than its directory
        lying_behind = tuple(kind for kind in lying_behind if kind != ZIP)
    found.update(dict.fromkeys(lying_behind))
    if name == UNKNOWN or name.startswith(_MAY_HIDE_A_PDF):
        found.update({PDF: None} if hides_pdf(head) else {})
    found.pop(name, None)
    return tuple(found)
