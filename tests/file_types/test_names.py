"""Patterns of types: wildcards, and the several names that one type has."""

import pytest

from ostiary.file_types.names import matches, refused

LINUX = ("application/x-executable", "application/x-pie-executable", "application/x-sharedlib")
MACRO = "application/vnd.ms-word.document.macroenabled.12"


@pytest.mark.parametrize(
    ("kind", "pattern", "meant"),
    [
        ("image/png", "image/png", True),
        ("image/png", "image/*", True),
        ("image/png", "*/*", True),
        ("image/png", "image/p*", True),
        ("image/png", "image/jp*", False),
        ("image/png", "video/*", False),
        ("imagex/png", "image/*", False),
        (MACRO, "application/vnd.ms-*", True),
        (MACRO, "application/*macroenabled*", True),
        ("application/vnd.ms-cab-compressed", "application/*macroenabled*", False),
        ("text/javascript", "application/javascript", True),
        ("application/x-rar", "application/vnd.rar", True),
        ("application/x-dosexec", "application/vnd.microsoft.*", True),
        ("audio/x-m4a", "audio/mp4", True),
        ("application/x-dosexec", "application/x-executable", False),
        ("application/zip", "application/x-zip", True),
        ("application/zip", "application/x-*", False),
        ("audio/x-m4a", "audio/m*", False),
    ],
)
def test_a_pattern_means_a_type_under_any_of_its_names(kind: str, pattern: str, meant: bool) -> None:  # noqa: FBT001
    """`*` stands for any letters, and a type that has several names is meant by each."""
    assert matches(kind, [pattern]) is meant


@pytest.mark.parametrize("kind", LINUX)
@pytest.mark.parametrize(
    "blocked", [*LINUX, "application/x-pie*", "application/x-exec*", "application/x-shared*"]
)
def test_linux_programs_are_blocked_under_any_of_their_names(kind: str, blocked: str) -> None:
    """A PIE program is detected as a library: who blocks what `file` shows for it blocks that."""
    assert refused([kind], never=[blocked]) == kind
    assert refused(["image/png", kind], never=[blocked]) == kind
    assert refused(["application/x-object", "application/x-mach-binary"], never=[blocked]) is None


@pytest.mark.parametrize("kind", LINUX)
@pytest.mark.parametrize("allowed", LINUX)
def test_an_allowed_kind_of_linux_program_is_that_kind_alone(kind: str, allowed: str) -> None:
    """A list of what may pass lets nothing pass that it does not name."""
    assert (refused([kind], only=[allowed]) is None) is (kind == allowed)


def test_what_the_lists_refuse() -> None:
    """All types must be among the allowed, none among the blocked; the first that isn't is named."""
    kinds = ("image/png", "application/zip")
    assert refused(kinds) is None
    assert refused(kinds, only=("image/*",)) == "application/zip"
    assert refused(kinds, only=("image/*", "application/zip")) is None
    assert refused(kinds, only=()) == "image/png"
    assert refused(kinds, never=("application/*",)) == "application/zip"
    assert refused(kinds, never=("video/*",)) is None
    assert refused(kinds, never=()) is None
    assert refused(kinds, only=("*/*",), never=("image/png",)) == "image/png"
