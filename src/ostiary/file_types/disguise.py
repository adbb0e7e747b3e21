"""Programs under the name or the type of something to look at.

What somebody declares is compared with what the bytes are, at each request. A filename deceives by its
last suffix (`photo.jpg` that is a program), by the last but one (`photo.jpg.exe`, where suffixes are
hidden), or by turning the order in which it is read (U+202E).
"""

import unicodedata
from typing import Final

from ostiary.model import Declared

_PROGRAMS: Final = frozenset({
    "application/x-dosexec", "application/vnd.microsoft.portable-executable",
    "application/x-msdownload", "application/x-executable", "application/x-pie-executable",
    "application/x-sharedlib", "application/x-mach-binary", "application/x-ms-shortcut",
    "application/x-msi", "application/vnd.ms-htmlhelp", "application/java-archive",
    "application/vnd.android.package-archive", "application/appx", "application/appxbundle",
    "application/x-xpinstall", "application/x-java-applet",
})  # fmt: skip
"""What runs when it is opened, and is no text."""

_SCRIPTS: Final = frozenset({
    "application/hta", "application/x-wsf", "text/scriptlet", "text/vbscript",
    "text/vbscript.encode", "text/javascript", "text/x-powershell", "text/x-msdos-batch",
    "text/x-ms-regedit", "text/x-ms-scf", "application/x-mswinurl", "application/x-desktop",
    "text/x-shellscript", "text/x-script.python", "text/x-php", "text/x-perl", "text/x-ruby",
    "text/x-lua", "text/x-tcl", "text/x-awk", "text/x-applescript", "text/x-script",
})  # fmt: skip
"""Programs that are texts: sent as a text they are no more than that, as an image they are a lie."""

_SHOWN: Final = ("image/", "audio/", "video/", "application/pdf")
_SHOWN_WORDS: Final = ("officedocument", "opendocument", "msword", "ms-excel", "ms-powerpoint")
_MISTAKEN: Final = frozenset({"video/mp2t", "video/vnd.dlna.mpeg-tts"})
"""What browsers declare for `.ts`, which most often is TypeScript."""

_TEXTS: Final = ("text/plain", "text/csv", "text/markdown")
_SHOWN_SUFFIXES: Final = frozenset({
    "jpg", "jpeg", "png", "gif", "webp", "bmp", "svg", "heic", "heif", "avif", "tif", "tiff", "mp3",
    "m4a", "ogg", "opus", "wav", "flac", "mp4", "m4v", "mov", "webm", "mkv", "avi", "3gp", "pdf",
    "rtf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "odp",
})  # fmt: skip
_TEXT_SUFFIXES: Final = frozenset({"txt", "md", "csv"})
_RUN_SUFFIXES: Final = frozenset({
    "exe", "scr", "com", "pif", "bat", "cmd", "cpl", "msi", "msp", "jar", "apk", "vbs", "vbe", "js",
    "jse", "wsf", "wsh", "hta", "sct", "ps1", "psm1", "lnk", "url", "reg", "scf", "msc", "chm",
    "desktop", "application", "appref-ms", "dll", "xll", "ws",
})  # fmt: skip
"""What systems run, by the name alone."""

_MAY_RUN: Final = ("text/", "application/octet-stream")
"""Types of which a script may be that nobody recognised."""

_TURNING: Final = frozenset("\u202d\u202e")
_LONGEST: Final = 4096
_STEM_AND_SUFFIX: Final = 2


def disguised(kinds: tuple[str, ...], declared: Declared) -> str | None:
    """Return the type of a program that comes under another name or type; None where none does.

    `kinds` are the detected type, and then those of what else lies in the same bytes.
    """
    name = (declared.filename or "")[-_LONGEST:]
    before, last = _suffixes(name)
    shown = _is_shown(declared.content_type) or last in _SHOWN_SUFFIXES
    text = _is_text(declared.content_type) or last in _TEXT_SUFFIXES
    runs = last in _RUN_SUFFIXES
    turned = not _TURNING.isdisjoint(name)
    deceiving = turned or (runs and before in _SHOWN_SUFFIXES | _TEXT_SUFFIXES)
    for kind in kinds:
        if kind in _PROGRAMS and (shown or text or deceiving):
            return kind
        if kind in _SCRIPTS and (shown or deceiving):
            return kind
    unclear = runs and (turned or before in _SHOWN_SUFFIXES)
    return kinds[0] if kinds and unclear and kinds[0].startswith(_MAY_RUN) else None


def _is_shown(content_type: str | None) -> bool:
    declared = _bare(content_type)
    if declared in _MISTAKEN:
        return False
    return declared.startswith(_SHOWN) or any(word in declared for word in _SHOWN_WORDS)


def _is_text(content_type: str | None) -> bool:
    return _bare(content_type).startswith(_TEXTS)


def _bare(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _suffixes(name: str) -> tuple[str, str]:
    """Return the last suffix but one and the last, as systems read them; without a dot: all of it."""
    visible = "".join(letter for letter in name if unicodedata.category(letter) not in {"Cc", "Cf"})
    parts = [part.strip() for part in visible.rstrip(". \u00a0\u3000\t").lower().split(".")]
    before = parts[-2] if len(parts) > _STEM_AND_SUFFIX else ""
    return before, parts[-1]
