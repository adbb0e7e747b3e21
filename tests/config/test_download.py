"""Direct mode in the configuration: when it counts, and what can't stand beside it."""

import pytest

from ostiary.config.settings import inert
from tests.config.conftest import Complaining, Loading

BASE = "base_homeserver_url: 'http://h'"


@pytest.mark.parametrize(
    ("text", "direct"),
    [
        ("", False),
        ("allow_direct: true", True),
        ("allow_direct: false", False),
        (BASE, False),
        (f"allow_direct: true, {BASE}", False),
        ("allow_direct: true, base_homeserver_url: null", True),
    ],
)
def test_when_it_counts(load_text: Loading, text: str, direct: bool) -> None:  # noqa: FBT001  (a column)
    """Only without a homeserver: where there is one, it is asked for all media."""
    assert load_text(f"download: {{{text}}}").download.direct is direct


def test_no_proxy_in_direct_mode(load_text: Loading, problems: Complaining) -> None:
    """A proxy would look names up itself, past our check of addresses; before a homeserver it may stand."""
    (line,) = problems("download: {allow_direct: true, proxy: 'http://u:hush@p:3128'}")
    assert "download.proxy" in line
    assert "public addresses" in line
    assert "hush" not in line
    assert (
        load_text(f"download: {{allow_direct: true, proxy: 'http://p', {BASE}}}").download.proxy == "http://p"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("allow_direct: true", []),
        ("allow_direct: true, additional_headers: {User-Agent: x}", []),
        (f"{BASE}, additional_headers: {{a: b}}, headers_to_forward: [c]", []),
        (f"allow_direct: true, {BASE}", ["allow_direct has no effect"]),
        ("allow_direct: true, additional_headers: {User-Agent: x, a: b}", ["additional_headers"]),
        ("allow_direct: true, headers_to_forward: [X-Forwarded-For]", ["headers_to_forward has no effect"]),
    ],
)
def test_what_does_nothing_is_named(load_text: Loading, text: str, words: list[str]) -> None:
    """Whoever sets a key that has no effect beside the others hears of it at start and from `check`."""
    lines = inert(load_text(f"download: {{{text}}}"))
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))
