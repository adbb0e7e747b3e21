"""Shorthands for samples that are built only when a test wants them."""

from collections.abc import Callable

from tests.rules.archives import zip_of
from tests.rules.documents import pdf, svg
from tests.rules.programs import shortcut

Builder = Callable[[], bytes]


def named(*names: str) -> Builder:
    """Return a builder of a zip archive with members of these names."""
    return lambda: zip_of(dict.fromkeys(names, b"MZ program of another kind"))


def a_pdf(catalog: bytes = b"", *objects: bytes, page: bytes = b"") -> Builder:
    """Return a builder of a PDF: see `documents.pdf`."""
    return lambda: pdf(catalog, *objects, page=page)


def a_svg(body: str = "", *, prolog: str = "", attributes: str = "") -> Builder:
    """Return a builder of an SVG image: see `documents.svg`."""
    return lambda: svg(body, prolog=prolog, attributes=attributes)


def a_link(path: str, arguments: str, *, unicode: bool = True) -> Builder:
    """Return a builder of a Windows shortcut: see `programs.shortcut`."""
    return lambda: shortcut(path, arguments, unicode=unicode)
