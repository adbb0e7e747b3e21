"""Policy: findings, rules and what a request declares become one Verdict. Pure.

The one promise: a clean verdict needs at least one engine that counts, and the word "clean" of
every required one. Everything else has its own name. Precedence: infected, then forbidden, then
unscannable for good, then unscannable for now.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ostiary.model import (
    Cause,
    Clean,
    Declared,
    Forbidden,
    Infected,
    Report,
    Result,
    Unscannable,
    Verdict,
)

TYPE_RULE: Final = "file type"
"""The rule that `scan.allowed_mimetypes` and `scan.blocked_mimetypes` make."""

DISGUISE_RULE: Final = "disguised executable"
"""The rule that a program must not come under the name or type of something to look at."""

_WINDOWS_PROGRAM: Final = frozenset({
    "application/x-dosexec",
    "application/vnd.microsoft.portable-executable",
    "application/x-msdownload",
})  # fmt: skip
"""One type under three names: which one is detected depends on libmagic's version."""

_EXECUTABLES: Final = _WINDOWS_PROGRAM | frozenset({
    "application/x-executable",
    "application/x-pie-executable",
    "application/x-sharedlib",
    "application/x-mach-binary",
    "application/x-ms-shortcut",
    "application/x-msi",
})  # fmt: skip

_HARMLESS_TYPES: Final = ("image/", "audio/", "video/", "text/plain", "text/csv", "application/pdf")
_HARMLESS_TYPE_WORDS: Final = ("officedocument", "opendocument", "msword", "ms-excel", "ms-powerpoint")
_HARMLESS_SUFFIXES: Final = frozenset({
    "jpg", "jpeg", "png", "gif", "webp", "bmp", "svg", "heic", "avif", "tif", "tiff",
    "mp3", "m4a", "ogg", "opus", "wav", "flac", "mp4", "m4v", "mov", "webm", "mkv", "avi",
    "pdf", "txt", "md", "csv", "rtf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "odp",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decided. Types are MIME types; `image/*` stands for all images.

    `serve` holds the causes whose files are served all the same; the default, none of them, is
    closed. With `observe` everything is served, and the verdict says so.
    """

    allowed_types: tuple[str, ...] | None = None
    blocked_types: tuple[str, ...] | None = None
    serve: frozenset[Cause] = field(default_factory=frozenset)
    observe: bool = False

    def serves(self, cause: Cause) -> bool:
        """Say whether files that can't be scanned for this cause are served."""
        return self.observe or cause in self.serve


def judge(reports: Sequence[Report], detected_type: str, declared: Declared, rules: Rules) -> Verdict:
    """Return the verdict on these bytes for this request."""
    counting = [report for report in reports if not report.shadow]
    verdict = (
        _infected(counting, detected_type)
        or _forbidden(counting, detected_type, declared, rules)
        or _unscannable(counting, detected_type, rules)
        or _clean(counting, detected_type, rules)
    )
    if rules.observe and not verdict.release:
        return replace(verdict, release=True, observed=True)
    return verdict


def too_large(size_limit: int) -> Report:
    """Return what stands for the engines' reports where nobody looked at the bytes."""
    detail = f"larger than {size_limit} bytes, the most that is scanned here"
    return Report("gateway", Unscannable(Cause.TOO_LARGE, detail))


def oversize(size_limit: int, rules: Rules) -> Verdict:
    """Return the verdict on a file over `scan.max_size` whose bytes we do not have."""
    return judge((too_large(size_limit),), "", Declared(), replace(rules, allowed_types=None))


def type_allowed(detected_type: str, rules: Rules) -> bool:
    """Say whether the operator's lists let this detected type pass."""
    if rules.allowed_types is not None and not _matches(detected_type, rules.allowed_types):
        return False
    return not (rules.blocked_types and _matches(detected_type, rules.blocked_types))


def disguised(detected_type: str, declared: Declared) -> bool:
    """Say whether a program comes under the type or the name of an image or a document."""
    if detected_type not in _EXECUTABLES:
        return False
    declared_type = (declared.content_type or "").partition(";")[0].strip().lower()
    if declared_type.startswith(_HARMLESS_TYPES) or any(w in declared_type for w in _HARMLESS_TYPE_WORDS):
        return True
    suffix = (declared.filename or "").rpartition(".")[2].strip().lower()
    return suffix in _HARMLESS_SUFFIXES


def _matches(detected_type: str, patterns: Iterable[str]) -> bool:
    names = _WINDOWS_PROGRAM if detected_type in _WINDOWS_PROGRAM else {detected_type}
    family = detected_type.partition("/")[0] + "/*"
    return any(pattern in {*names, family, "*/*"} for pattern in patterns)


def _infected(reports: Sequence[Report], detected_type: str) -> Verdict | None:
    for report in reports:
        if isinstance(report.finding, Infected):
            name = report.finding.signature
            info = f"infected: {name} (found by {report.engine})"
            return Verdict(Result.INFECTED, False, info, detected_type, report.engine, name)
    return None


def _forbidden(
    reports: Sequence[Report], detected_type: str, declared: Declared, rules: Rules
) -> Verdict | None:
    if not type_allowed(detected_type, rules):
        info = f"files of type {detected_type} are not allowed here"
        return Verdict(Result.FORBIDDEN, False, info, detected_type, "policy", TYPE_RULE)
    if disguised(detected_type, declared):
        info = f"a program ({detected_type}) under the name or type of an image or a document"
        return Verdict(Result.FORBIDDEN, False, info, detected_type, "policy", DISGUISE_RULE)
    for report in reports:
        if isinstance(report.finding, Forbidden):
            rule = report.finding.rule
            info = f"forbidden: {rule} (found by {report.engine})"
            return Verdict(Result.FORBIDDEN, False, info, detected_type, report.engine, rule)
    return None


def _unscannable(reports: Sequence[Report], detected_type: str, rules: Rules) -> Verdict | None:
    """A cause that blocks goes before one that is served; permanent goes before temporary."""
    found = [
        (report, report.finding)
        for report in reports
        if isinstance(report.finding, Unscannable) and (report.required or report.finding.cause.permanent)
    ]
    if not found:
        return None
    found.sort(key=lambda pair: (pair[1].cause in rules.serve, not pair[1].cause.permanent))
    return _unscannable_verdict(*found[0], detected_type, rules)


def _unscannable_verdict(report: Report, finding: Unscannable, detected_type: str, rules: Rules) -> Verdict:
    release = finding.cause in rules.serve
    info = f"not scanned: {finding.detail}"
    result = Result.UNSCANNABLE if finding.cause.permanent else Result.ERROR
    return Verdict(result, release, info, detected_type, report.engine, finding.cause.value)


def _clean(reports: Sequence[Report], detected_type: str, rules: Rules) -> Verdict:
    vouching = [report.engine for report in reports if isinstance(report.finding, Clean)]
    if not vouching:
        finding = Unscannable(Cause.ERROR, "no engine could look at it")
        return _unscannable_verdict(Report("gateway", finding), finding, detected_type, rules)
    return Verdict(Result.CLEAN, True, "clean", detected_type)
