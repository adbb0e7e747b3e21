"""Markup by its first element, whatever stands before it: an SVG behind a comment, HTML in UTF-16, HTAs.

libmagic looks for the words themselves, at or near the beginning; browsers and Windows' script host skip
declarations and comments first.
"""

import re
from typing import Final

_ELEMENT: Final = re.compile(r"<([A-Za-z][A-Za-z0-9:._-]{0,40})(?=[\s>/])")
_SKIPPED: Final = (("<?", "?>"), ("<!--", "-->"), ("<!", ">"))
_REACH: Final = 36 << 10
_SPACE: Final = re.compile(r"\s*")
_HTA: Final = re.compile(r"<hta:application[\s>/]", re.IGNORECASE)
_SCRIPT: Final = re.compile(r"<(?:[a-z]+:)?script[\s>]", re.IGNORECASE)

HTML: Final = "text/html"
SVG: Final = "image/svg+xml"

_ROOTS: Final = {
    "html": HTML, "head": HTML, "body": HTML, "script": HTML, "iframe": HTML,
    "svg": SVG, "svg:svg": SVG,
    "scriptlet": "text/scriptlet", "component": "text/scriptlet",
    "hta:application": "application/hta",
}  # fmt: skip
_WSF_ROOTS: Final = frozenset({"job", "package"})


def markup_type(text: str) -> str | None:
    """Return the type of a document by its first element; None where that says nothing."""
    text = text[:_REACH]
    if "<" not in text:
        return None
    match = _ELEMENT.match(text, _first_element(text))
    if match is None:
        return None
    root = match[1].lower()
    kind = _ROOTS.get(root)
    if kind == HTML and _HTA.search(text):
        return "application/hta"
    if root in _WSF_ROOTS and _SCRIPT.search(text):
        return "application/x-wsf"
    if kind == "text/scriptlet" and not _SCRIPT.search(text) and "<registration" not in text.lower():
        return None
    return kind


def _first_element(text: str) -> int:
    at = _behind_space(text, 0)
    while (skipped := next((pair for pair in _SKIPPED if text.startswith(pair[0], at)), None)) is not None:
        opening, closing = skipped
        end = text.find(closing, at + len(opening))
        if end < 0:
            return len(text)
        at = _behind_space(text, end + len(closing))
    return at


def _behind_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()
