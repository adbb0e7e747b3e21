"""Scripts by their text: libmagic calls most of them plain text.

Two ways: a first line or header that only such a file has (`#!`, `[InternetShortcut]`), and the look of
the language: several different signs of it where statements begin, among lines that are no prose. People
share snippets and talk about code; what is written around code stays plain text.
"""

import re
from typing import Final

from ostiary.file_types.script_signs import (
    BATCH,
    ENOUGH,
    JAVASCRIPT,
    LANGUAGES,
    NEED_MORE_THAN_WEAK,
    OTHERS,
    POWERSHELL,
    PYTHON,
    Language,
)

DESKTOP: Final = "application/x-desktop"
PHP: Final = "text/x-php"
REGISTRY: Final = "text/x-ms-regedit"
SHELL: Final = "text/x-shellscript"
URL: Final = "application/x-mswinurl"

_LOOKED_AT: Final = 8 << 10  # characters, behind the space at the beginning
_MATCHES: Final = 400
_PROSE: Final = 0.34  # the share of lines from which on it is a text with code in it
_WORDS: Final = 7

_SHEBANG: Final = re.compile(r"#![ \t]{0,9}(/\S{0,200})(?:[ \t]{1,9}(?:-\S{1,20}[ \t]{1,9})?(\S{1,100}))?")
_NAME: Final = re.compile(r"[a-z]+")
_INTERPRETERS: Final = {
    **dict.fromkeys(("sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "csh", "tcsh"), SHELL),
    **dict.fromkeys(("python", "pypy"), PYTHON),
    **dict.fromkeys(("node", "nodejs", "deno", "bun"), JAVASCRIPT),
    **dict.fromkeys(("pwsh", "powershell"), POWERSHELL),
    **dict.fromkeys(("awk", "gawk", "mawk"), "text/x-awk"),
    "perl": "text/x-perl",
    "ruby": "text/x-ruby",
    "php": PHP,
    "lua": "text/x-lua",
    "tclsh": "text/x-tcl",
    "osascript": "text/x-applescript",
}
_ANY_SCRIPT: Final = "text/x-script"

_HEADERS: Final = (
    (re.compile(r"Windows Registry Editor Version \d|REGEDIT4\s"), REGISTRY),
    (re.compile(r"\[Shell\]\s{1,20}(?:Command|IconFile)\s{0,9}=", re.IGNORECASE), "text/x-ms-scf"),
    (re.compile(r"#@~\^[A-Za-z0-9+/]{6}=="), "text/vbscript.encode"),
    (re.compile(r"<\?php\s", re.IGNORECASE), PHP),
    (re.compile(r"@echo[ \t]+off\b", re.IGNORECASE), BATCH),
)
_URL_SECTION: Final = re.compile(
    r"^[ \t]*\[InternetShortcut(?:\.W)?\][ \t\r]*$", re.IGNORECASE | re.MULTILINE
)
_DESKTOP_SECTION: Final = re.compile(r"^\[Desktop Entry\][ \t\r]*$", re.MULTILINE)
_INI_REACH: Final = 2048

_BLOCK_COMMENTS: Final = (("/*", "*/"), ("<#", "#>"), ('"""', '"""'))
_CODE: Final = re.compile(r"[{}()=$<>|\\%@;\[\]]|^[ \t]*(?:#|//|--|'|\*|::|@?rem\b)", re.IGNORECASE)
_FENCE: Final = re.compile(r"^[ \t]{0,3}(?:```|~~~)", re.MULTILINE)


def script_type(text: str) -> str | None:
    """Return the type of a script, None for any other text."""
    text = text.lstrip("\ufeff \t\r\n\f\0")[:_LOOKED_AT]
    return _by_first_line(text) or _by_look(text.replace("\r\n", "\n").replace("\r", "\n"))


def _by_first_line(text: str) -> str | None:
    if text.startswith("#!"):
        shebang = _SHEBANG.match(text)
        return None if shebang is None else _interpreted(*shebang.groups(default=""))
    if text.startswith("[") and _URL_SECTION.search(text, 0, _INI_REACH):
        return URL
    if text[:1] in {"[", "#"} and (found := _DESKTOP_SECTION.search(text, 0, _INI_REACH)):
        before = text[: found.start()].splitlines()
        return DESKTOP if all(line.startswith("#") or not line.strip() for line in before) else None
    return next((kind for header, kind in _HEADERS if header.match(text)), None)


def _interpreted(path: str, argument: str) -> str:
    program = path.rpartition("/")[2]
    if program == "env":
        program = argument.rpartition("/")[2]
    name = _NAME.match(program)
    return _INTERPRETERS.get(name[0], _ANY_SCRIPT) if name is not None else _ANY_SCRIPT


def reads_as_prose(text: str) -> bool:
    """Say whether this is a text around code, as a manual is: it has fences, or too many sentences."""
    text = text[:_LOOKED_AT]
    return bool(_FENCE.search(text)) or _is_prose(text)


def _by_look(text: str) -> str | None:
    lower = text.lower()
    for language in LANGUAGES:
        if any(word in lower for word in language.words) and _looks_like(language, text):
            return language.kind
    return None


def _looks_like(language: Language, text: str) -> bool:
    """Weak signs alone never do where other languages or runs of prose have them too."""
    seen: set[str] = set()
    for number, match in enumerate(language.signs.finditer(text)):
        if number >= _MATCHES:
            break
        if match.lastgroup is not None:
            seen.add(match.lastgroup)
    worth = [language.worth[name] for name in seen]
    if sum(worth) < ENOUGH or (language.kind in NEED_MORE_THAN_WEAK and max(worth) == 1):
        return False
    if ENOUGH in worth:
        return not _is_prose(text)
    return not (OTHERS.search(text) or reads_as_prose(text))


def _is_prose(text: str) -> bool:
    """Say whether too many lines are sentences; what stands in block comments is not counted."""
    lines = [line for line in _uncommented(text).split("\n") if line.strip()]
    sentences = sum(1 for line in lines if len(line.split()) >= _WORDS and not _CODE.search(line))
    return sentences > _PROSE * len(lines)


def _uncommented(text: str) -> str:
    for opening, closing in _BLOCK_COMMENTS:
        pieces = []
        at = 0
        while (begin := text.find(opening, at)) >= 0:
            pieces.append(text[at:begin])
            end = text.find(closing, begin + len(opening))
            at = len(text) if end < 0 else end + len(closing)
        text = "".join([*pieces, text[at:]])
    return text
