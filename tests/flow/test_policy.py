"""Policy: what the engines found and what the operator decided become one verdict."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.model import Cause, Clean, Declared, Finding, Forbidden, Infected, Report, Result, Unscannable
from ostiary.policy import (
    BANNED_RULE,
    BLOCKED_RULE,
    DISGUISE_RULE,
    TYPE_RULE,
    Rules,
    Standing,
    judge,
    oversize,
    type_allowed,
)

PNG = "image/png"
NOBODY_SAYS = Declared()
ERROR = Unscannable(Cause.ERROR, "clamd is away")
LIMIT = Unscannable(Cause.LIMIT, "too deep")
EVERYTHING = Rules(serve=frozenset(Cause))

FINDINGS: list[Finding] = [
    Clean(),
    Infected("Eicar"),
    Forbidden("rule"),
    *(Unscannable(cause, "why") for cause in Cause),
]
REPORTS = st.lists(
    st.builds(Report, st.sampled_from(["a", "b"]), st.sampled_from(FINDINGS), st.booleans(), st.booleans()),
    max_size=5,
)
RULES = st.builds(Rules, serve=st.frozensets(st.sampled_from(list(Cause))))


def test_one_clean_word_is_enough_when_nobody_objects() -> None:
    """A clean report from a required engine makes a clean verdict that releases."""
    verdict = judge([Report("clamd", Clean())], PNG, NOBODY_SAYS, Rules())
    assert (verdict.result, verdict.release, verdict.detected_type) == (Result.CLEAN, True, PNG)


@given(REPORTS, RULES)
def test_clean_is_what_every_required_engine_said(reports: list[Report], rules: Rules) -> None:
    """Principle 1: a clean verdict means that all required engines, and at least one, said clean."""
    verdict = judge(reports, PNG, NOBODY_SAYS, rules)
    counting = [report for report in reports if not report.shadow]
    if verdict.result is Result.CLEAN:
        assert any(isinstance(report.finding, Clean) for report in counting)
        assert all(isinstance(report.finding, Clean) for report in counting if report.required)
        assert not any(isinstance(report.finding, Infected | Forbidden) for report in counting)


@given(REPORTS)
def test_closed_by_default(reports: list[Report]) -> None:
    """Without a `serve` in the configuration only a clean verdict releases."""
    verdict = judge(reports, PNG, NOBODY_SAYS, Rules())
    assert verdict.release == (verdict.result is Result.CLEAN)


@given(REPORTS, RULES)
def test_a_known_infection_is_never_released(reports: list[Report], rules: Rules) -> None:
    """Nothing that an operator writes lets an infected or forbidden file pass."""
    verdict = judge(reports, PNG, NOBODY_SAYS, rules)
    if any(isinstance(report.finding, Infected | Forbidden) and not report.shadow for report in reports):
        assert not verdict.release


def test_infected_goes_before_everything() -> None:
    """In whatever order the reports stand, an infection decides, and is named."""
    findings: list[Finding] = [Clean(), Infected("Eicar"), ERROR, LIMIT, Forbidden("rule")]
    for order in itertools.permutations(findings):
        verdict = judge([Report(f"e{i}", f) for i, f in enumerate(order)], PNG, NOBODY_SAYS, EVERYTHING)
        assert (verdict.result, verdict.name) == (Result.INFECTED, "Eicar")


def test_an_error_of_a_required_engine_is_no_judgement() -> None:
    """One engine's "clean" does not make up for another's silence."""
    verdict = judge([Report("a", Clean()), Report("b", ERROR)], PNG, NOBODY_SAYS, Rules())
    assert (verdict.result, verdict.release, verdict.engine) == (Result.ERROR, False, "b")


def test_an_error_of_an_engine_that_is_not_required_does_not_decide() -> None:
    """`required: false`: its errors are logged, the others decide."""
    verdict = judge([Report("a", Clean()), Report("b", ERROR, required=False)], PNG, NOBODY_SAYS, Rules())
    assert verdict.result is Result.CLEAN


def test_nobody_vouches_when_every_engine_fails() -> None:
    """Not even engines that are not required may all be silent."""
    verdict = judge([Report("a", ERROR, required=False)], PNG, NOBODY_SAYS, Rules())
    assert (verdict.result, verdict.release) == (Result.ERROR, False)
    assert not judge([], PNG, NOBODY_SAYS, Rules()).release


def test_shadow_findings_never_decide() -> None:
    """An engine in shadow mode can neither block nor vouch."""
    shadow = Report("new", Infected("Eicar"), shadow=True)
    assert judge([shadow, Report("a", Clean())], PNG, NOBODY_SAYS, Rules()).result is Result.CLEAN
    assert not judge([Report("new", Clean(), shadow=True)], PNG, NOBODY_SAYS, Rules()).release


@pytest.mark.parametrize("cause", list(Cause))
def test_each_cause_is_served_only_where_the_operator_says_so(cause: Cause) -> None:
    """A cause in `serve` releases, is never called clean, and another cause still blocks."""
    reports = [Report("a", Unscannable(cause, "why"))]
    verdict = judge(reports, PNG, NOBODY_SAYS, Rules(serve=frozenset({cause})))
    assert verdict.release
    assert verdict.result is (Result.UNSCANNABLE if cause.permanent else Result.ERROR)
    assert verdict.name == cause.value
    others = frozenset(Cause) - {cause}
    assert not judge(reports, PNG, NOBODY_SAYS, Rules(serve=others)).release


def test_what_blocks_goes_before_what_is_served() -> None:
    """Two engines, two causes: the one that the operator serves does not open the door for the other."""
    reports = [Report("a", LIMIT), Report("b", Unscannable(Cause.MACRO, "AutoOpen"))]
    verdict = judge(reports, PNG, NOBODY_SAYS, Rules(serve=frozenset({Cause.LIMIT})))
    assert (verdict.name, verdict.release) == ("macro", False)


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        (Rules(), True),
        (Rules(allowed_types=(PNG,)), True),
        (Rules(allowed_types=("image/*",)), True),
        (Rules(allowed_types=("*/*",)), True),
        (Rules(allowed_types=("image/p*",)), True),
        (Rules(blocked_types=("image/p*",)), False),
        (Rules(allowed_types=("image/jpeg",)), False),
        (Rules(allowed_types=()), False),
        (Rules(blocked_types=(PNG,)), False),
        (Rules(blocked_types=("image/*",)), False),
        (Rules(blocked_types=("image/jpeg", "video/*")), True),
        (Rules(blocked_types=()), True),
    ],
)
def test_type_lists(rules: Rules, allowed: bool) -> None:  # noqa: FBT001
    """`allowed_mimetypes` lets only its own pass, `blocked_mimetypes` all but its own."""
    verdict = judge([Report("a", Clean())], PNG, NOBODY_SAYS, rules)
    assert verdict.release is allowed
    if not allowed:
        assert (verdict.result, verdict.name) == (Result.FORBIDDEN, TYPE_RULE)
        assert PNG in verdict.info


@pytest.mark.parametrize("detected", ["x-dosexec", "vnd.microsoft.portable-executable"])
@pytest.mark.parametrize("listed", ["x-dosexec", "vnd.microsoft.portable-executable", "x-msdownload"])
def test_a_windows_program_has_three_names(detected: str, listed: str) -> None:
    """Whichever name an operator lists and whichever libmagic gives, the program is meant."""
    names = (f"application/{listed}",)
    assert not type_allowed(f"application/{detected}", Rules(blocked_types=names))
    assert type_allowed(f"application/{detected}", Rules(allowed_types=names))


@pytest.mark.parametrize(
    ("detected", "declared", "refused"),
    [
        ("application/x-dosexec", Declared("image/png"), True),
        ("application/x-dosexec", Declared("IMAGE/JPEG; charset=x"), True),
        ("application/x-dosexec", Declared("application/octet-stream", "holiday.JPG"), True),
        ("application/x-executable", Declared(None, "report.docx"), True),
        ("application/x-sharedlib", Declared("application/pdf"), True),
        (
            "application/x-dosexec",
            Declared("application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            True,
        ),
        ("application/x-dosexec", Declared("application/x-msdownload", "setup.exe"), False),
        ("application/x-dosexec", Declared(), False),
        ("application/x-dosexec", Declared("application/octet-stream", "jpg"), True),
        (PNG, Declared("image/jpeg", "a.jpg"), False),
    ],
)
def test_a_program_under_a_harmless_name_is_forbidden(
    detected: str,
    declared: Declared,
    refused: bool,  # noqa: FBT001
) -> None:
    """What a request declares is compared with what the bytes are; an honest program passes."""
    verdict = judge([Report("a", Clean())], detected, declared, Rules())
    assert (verdict.name == DISGUISE_RULE) is refused
    assert verdict.release is not refused


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        (Rules(), True),
        (Rules(allowed_types=("image/*",)), False),
        (Rules(allowed_types=("image/*", "application/zip")), True),
        (Rules(blocked_types=("application/zip",)), False),
        (Rules(blocked_types=("application/x-*",)), True),
    ],
)
def test_type_lists_hold_for_all_that_lies_in_the_bytes(rules: Rules, allowed: bool) -> None:  # noqa: FBT001
    """A zip behind an image is a zip: all types must be allowed, none may be blocked."""
    verdict = judge([Report("a", Clean())], PNG, NOBODY_SAYS, rules, embedded=("application/zip",))
    assert verdict.release is allowed
    assert verdict.detected_type == PNG
    if not allowed:
        assert (verdict.result, verdict.name) == (Result.FORBIDDEN, TYPE_RULE)
        assert verdict.info == "files of type image/png that hold application/zip are not allowed here"


def test_a_program_behind_an_image_is_a_program_in_disguise() -> None:
    """What else lies in the bytes counts for the rule about programs, too."""
    declared = Declared("image/png", "photo.png")
    verdict = judge([Report("a", Clean())], PNG, declared, Rules(), embedded=("application/x-dosexec",))
    assert (verdict.name, verdict.release) == (DISGUISE_RULE, False)


REASON = "incident 7"
STANDINGS = st.builds(
    Standing,
    st.none() | st.just(REASON),
    st.none() | st.just(REASON),
    st.none() | st.just(REASON),
    st.frozensets(st.tuples(st.sampled_from(["a", "b"]), st.just("Eicar"))),
)


@given(REPORTS, RULES, STANDINGS)
def test_the_order_of_what_was_decided(reports: list[Report], rules: Rules, standing: Standing) -> None:
    """A blocked digest goes before a banned origin, that before an allowed digest, that before findings."""
    verdict = judge(reports, PNG, NOBODY_SAYS, rules, standing=standing)
    if standing.blocked is not None:
        assert (verdict.release, verdict.name) == (False, BLOCKED_RULE)
    elif standing.banned is not None:
        assert (verdict.release, verdict.name) == (False, BANNED_RULE)
    elif standing.allowed is not None:
        assert verdict.release
    if verdict.name in {BLOCKED_RULE, BANNED_RULE}:
        assert (verdict.result, verdict.engine) == (Result.FORBIDDEN, "policy")
        assert REASON in verdict.info


@given(REPORTS, RULES)
def test_allowed_bytes_are_not_called_clean_for_it(reports: list[Report], rules: Rules) -> None:
    """An allowed digest opens the door and changes nothing else: the finding keeps its name."""
    without = judge(reports, PNG, NOBODY_SAYS, rules)
    allowed = judge(reports, PNG, NOBODY_SAYS, rules, standing=Standing(allowed=REASON))
    assert (allowed.result, allowed.engine, allowed.name) == (without.result, without.engine, without.name)
    assert allowed.release
    assert without.info in allowed.info
    assert (REASON in allowed.info) is not without.release


def test_allowed_bytes_go_past_the_type_lists() -> None:
    """An operator who allows these very bytes means them, whatever type they have."""
    rules = Rules(allowed_types=("video/*",))
    assert judge([Report("a", Clean())], PNG, NOBODY_SAYS, rules, standing=Standing(allowed=REASON)).release


def test_an_allowed_signature_is_no_finding() -> None:
    """It counts for that engine and that name alone, and lets that engine vouch for the rest."""
    standing = Standing(allowed_signatures=frozenset({("a", "Eicar")}))
    for engine, finding, result in (
        ("a", Infected("Eicar"), Result.CLEAN),
        ("a", Infected("Eicar, Other"), Result.INFECTED),
        ("b", Infected("Eicar"), Result.INFECTED),
        ("a", Forbidden("Eicar"), Result.FORBIDDEN),
    ):
        verdict = judge([Report(engine, finding)], PNG, NOBODY_SAYS, Rules(), standing=standing)
        assert verdict.result is result
    reports = [Report("a", Infected("Eicar")), Report("b", Infected("Other"))]
    assert judge(reports, PNG, NOBODY_SAYS, Rules(), standing=standing).name == "Other"


def test_what_is_only_observed_is_released_though_blocked() -> None:
    """With `--observe` blocked digests and banned origins are served too, and the verdict says so."""
    for standing in (Standing(blocked=REASON), Standing(banned=REASON)):
        verdict = judge([Report("a", Clean())], PNG, NOBODY_SAYS, Rules(observe=True), standing=standing)
        assert (verdict.release, verdict.observed) == (True, True)


def test_oversize_is_refused_by_default_and_served_by_choice() -> None:
    """A file that nobody looked at for its size is unscannable, and leaves only by the operator's word."""
    closed, opened = oversize(100, Rules()), oversize(100, Rules(serve=frozenset({Cause.TOO_LARGE})))
    assert (closed.result, closed.release) == (Result.UNSCANNABLE, False)
    assert (opened.result, opened.release) == (Result.UNSCANNABLE, True)
    assert "100 bytes" in closed.info
    assert oversize(100, Rules(allowed_types=(PNG,))).result is Result.UNSCANNABLE
