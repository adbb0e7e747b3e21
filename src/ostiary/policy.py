"""Policy: findings, rules and what a request declares become one Verdict. Pure.

The one promise: a clean verdict needs at least one engine that counts, and the word "clean" of
every required one. Everything else has its own name. Precedence: a blocked digest, a banned origin, an
allowed digest; then what was found: infected, forbidden, unscannable for good, unscannable for now.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ostiary.file_types.disguise import disguised
from ostiary.file_types.names import refused
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

BLOCKED_RULE: Final = "blocked digest"
"""The rule that an entry of the operator's against these very bytes makes."""

BANNED_RULE: Final = "banned origin"
"""The rule that nothing is served that comes from this server or user."""


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


@dataclass(frozen=True, slots=True)
class Standing:
    """What was decided of these bytes and their origin beforehand; texts are reasons, None: not decided.

    `allowed_signatures` are pairs of an engine's name and a signature, of engines alone that report
    every match. One counts where it is all that the engine's finding names.
    """

    blocked: str | None = None
    banned: str | None = None
    allowed: str | None = None
    allowed_signatures: frozenset[tuple[str, str]] = frozenset()


NOTHING_DECIDED: Final = Standing()


def judge(
    reports: Sequence[Report],
    detected_type: str,
    declared: Declared,
    rules: Rules,
    *,
    embedded: tuple[str, ...] = (),
    standing: Standing = NOTHING_DECIDED,
) -> Verdict:
    """Return the verdict on these bytes for this request; `embedded` are the types of what else lies in them.

    Allowed bytes leave whatever was found, and are never called clean for it.
    """
    verdict = _refused_beforehand(detected_type, standing)
    if verdict is None:
        verdict = _found(reports, (detected_type, *embedded), declared, rules, standing)
        if standing.allowed is not None and not verdict.release:
            info = f"allowed by the operator ({standing.allowed}), though {verdict.info}"
            return replace(verdict, release=True, info=info)
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


def type_allowed(detected_type: str, rules: Rules, embedded: tuple[str, ...] = ()) -> bool:
    """Say whether the operator's lists let this detected type, and all that lies in the same bytes, pass."""
    return _type_refused((detected_type, *embedded), rules) is None


def _type_refused(kinds: tuple[str, ...], rules: Rules) -> str | None:
    return refused(kinds, only=rules.allowed_types, never=rules.blocked_types)


def _refused_beforehand(detected_type: str, standing: Standing) -> Verdict | None:
    for reason, rule in ((standing.blocked, BLOCKED_RULE), (standing.banned, BANNED_RULE)):
        if reason is not None:
            info = f"{rule}: {reason}"
            return Verdict(Result.FORBIDDEN, False, info, detected_type, "policy", rule)
    return None


def _found(
    reports: Sequence[Report], kinds: tuple[str, ...], declared: Declared, rules: Rules, standing: Standing
) -> Verdict:
    """Judge by what was found alone; `kinds` are the detected type and those of what else is there."""
    counting = [_let_be(report, standing) for report in reports if not report.shadow]
    return (
        _infected(counting, kinds[0])
        or _forbidden(counting, kinds, declared, rules)
        or _unscannable(counting, kinds[0], rules)
        or _clean(counting, kinds[0], rules)
    )


def _by(report: Report, verdict: Verdict) -> Verdict:
    return replace(verdict, epoch=report.version or None)


def _let_be(report: Report, standing: Standing) -> Report:
    finding = report.finding
    if isinstance(finding, Infected) and (report.engine, finding.signature) in standing.allowed_signatures:
        return replace(report, finding=Clean())
    return report


def _infected(reports: Sequence[Report], detected_type: str) -> Verdict | None:
    for report in reports:
        if isinstance(report.finding, Infected):
            name = report.finding.signature
            info = f"infected: {name} (found by {report.engine})"
            return _by(report, Verdict(Result.INFECTED, False, info, detected_type, report.engine, name))
    return None


def _forbidden(
    reports: Sequence[Report], kinds: tuple[str, ...], declared: Declared, rules: Rules
) -> Verdict | None:
    detected_type = kinds[0]
    if (kind := _type_refused(kinds, rules)) is not None:
        info = f"{_named(kind, kinds)} are not allowed here"
        return Verdict(Result.FORBIDDEN, False, info, detected_type, "policy", TYPE_RULE)
    if (kind := disguised(kinds, declared)) is not None:
        info = f"a program ({kind}) under the name or type of an image or a document"
        return Verdict(Result.FORBIDDEN, False, info, detected_type, "policy", DISGUISE_RULE)
    for report in reports:
        if isinstance(report.finding, Forbidden):
            rule = report.finding.rule
            info = f"forbidden: {rule} (found by {report.engine})"
            return _by(report, Verdict(Result.FORBIDDEN, False, info, detected_type, report.engine, rule))
    return None


def _named(kind: str, kinds: tuple[str, ...]) -> str:
    return f"files of type {kind}" if kind == kinds[0] else f"files of type {kinds[0]} that hold {kind}"


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
    return _by(report, Verdict(result, release, info, detected_type, report.engine, finding.cause.value))


def _clean(reports: Sequence[Report], detected_type: str, rules: Rules) -> Verdict:
    vouching = [report.engine for report in reports if isinstance(report.finding, Clean)]
    if not vouching:
        finding = Unscannable(Cause.ERROR, "no engine could look at it")
        return _unscannable_verdict(Report("gateway", finding), finding, detected_type, rules)
    return Verdict(Result.CLEAN, True, "clean", detected_type)
