"""The error table: every error of ours has a row, every reason is one that clients know."""

import inspect as reflection

import pytest

from ostiary import errors
from ostiary.errors import ConfigError, HomeserverRefusalError, OstiaryError, OverloadedError
from ostiary.model import Result, Verdict
from ostiary.policy import DISGUISE_RULE, TYPE_RULE
from ostiary.web.errors import INTERNAL, Refusal, refusal_of, refusal_of_verdict

REASONS = {
    "MCS_MALFORMED_JSON",
    "MCS_MEDIA_FAILED_TO_DECRYPT",
    "MCS_MEDIA_NOT_CLEAN",
    "MCS_MIME_TYPE_FORBIDDEN",
    "MCS_BAD_DECRYPTION",
    "MCS_MEDIA_REQUEST_FAILED",
    "M_MISSING_TOKEN",
    "M_UNKNOWN_TOKEN",
    "M_NOT_FOUND",
    "M_UNKNOWN",
}
"""All that a widely used client knows: any other is a parse failure there."""

OURS = [
    kind
    for _, kind in reflection.getmembers(errors, reflection.isclass)
    if issubclass(kind, OstiaryError) and kind not in {OstiaryError, ConfigError, HomeserverRefusalError}
]


def _instance(kind: type[OstiaryError]) -> OstiaryError:
    return kind() if kind is errors.BadEnvelopeError else kind("why")


@pytest.mark.parametrize("kind", OURS)
def test_every_error_has_its_row(kind: type[OstiaryError]) -> None:
    """No error that a request can meet falls through to "internal", and each body has both spellings."""
    refusal = refusal_of(_instance(kind))
    assert refusal is not INTERNAL
    assert refusal.reason in REASONS
    body = refusal.body()
    assert body["reason"] == refusal.reason
    assert body["info"] == body["error"] == refusal.info
    assert body["info"]
    assert body["errcode"]
    assert (refusal.retry_after is not None) == kind.temporary


@pytest.mark.parametrize(
    ("status", "errcode", "expected"),
    [
        (401, "M_MISSING_TOKEN", (401, "M_MISSING_TOKEN", "M_MISSING_TOKEN")),
        (401, "M_UNKNOWN_TOKEN", (401, "M_UNKNOWN_TOKEN", "M_UNKNOWN_TOKEN")),
        (401, "M_USER_LOCKED", (401, "M_UNKNOWN_TOKEN", "M_USER_LOCKED")),
        (403, "M_FORBIDDEN", (403, "MCS_MEDIA_REQUEST_FAILED", "M_FORBIDDEN")),
        (404, "M_NOT_FOUND", (404, "M_NOT_FOUND", "M_NOT_FOUND")),
        (404, "M_UNRECOGNIZED", (404, "M_NOT_FOUND", "M_NOT_FOUND")),
        (413, "M_TOO_LARGE", (413, "MCS_MEDIA_REQUEST_FAILED", "M_TOO_LARGE")),
        (429, "M_LIMIT_EXCEEDED", (429, "MCS_MEDIA_REQUEST_FAILED", "M_LIMIT_EXCEEDED")),
        (502, "M_TOO_LARGE", (502, "MCS_MEDIA_REQUEST_FAILED", "M_TOO_LARGE")),
        (504, "M_NOT_YET_UPLOADED", (504, "MCS_MEDIA_REQUEST_FAILED", "M_NOT_YET_UPLOADED")),
        (500, "M_UNKNOWN", (502, "MCS_MEDIA_REQUEST_FAILED", "MCS_MEDIA_REQUEST_FAILED")),
        (400, "M_BAD_JSON", (502, "MCS_MEDIA_REQUEST_FAILED", "MCS_MEDIA_REQUEST_FAILED")),
        (502, "M_UNKNOWN", (502, "MCS_MEDIA_REQUEST_FAILED", "MCS_MEDIA_REQUEST_FAILED")),
    ],
)
def test_what_the_homeserver_said_passes_where_a_client_can_act_on_it(
    status: int, errcode: str, expected: tuple[int, str, str]
) -> None:
    """Its 401, 403, 404, 413, 429 and two special ones pass; anything else is its failure: 502."""
    refusal = refusal_of(HomeserverRefusalError(status, errcode, "its words"))
    assert (refusal.status, refusal.reason, refusal.body()["errcode"]) == expected
    assert refusal.reason in REASONS


def test_the_homeservers_details_pass() -> None:
    """soft_logout, Retry-After and retry_after_ms reach the client."""
    logout = refusal_of(HomeserverRefusalError(401, "M_UNKNOWN_TOKEN", "gone", soft_logout=True))
    assert logout.body()["soft_logout"] is True
    limited = refusal_of(
        HomeserverRefusalError(429, "M_LIMIT_EXCEEDED", "slow down", retry_after_ms=2500, retry_after="3")
    )
    assert (limited.body()["retry_after_ms"], limited.retry_after) == (2500, "3")


@pytest.mark.parametrize(
    ("status", "errcode", "milliseconds", "seconds"),
    [
        (429, "M_LIMIT_EXCEEDED", 7001, "8"),
        (429, "M_LIMIT_EXCEEDED", None, "5"),
        (504, "M_NOT_YET_UPLOADED", None, "5"),
        (403, "M_FORBIDDEN", None, None),
        (400, "M_UNKNOWN", None, None),
        (500, "M_UNKNOWN", None, "5"),
    ],
)
def test_when_to_try_again(status: int, errcode: str, milliseconds: int | None, seconds: str | None) -> None:
    """Retry-After stands where trying again can help, and only there, also where the homeserver gave none."""
    refusal = refusal_of(HomeserverRefusalError(status, errcode, "why", retry_after_ms=milliseconds))
    assert refusal.retry_after == seconds


def test_being_full_says_when_to_come_back() -> None:
    """503 carries the seconds that the error names."""
    assert refusal_of(OverloadedError("memory", retry_after=7)) == Refusal(
        503, "M_UNKNOWN", str(OverloadedError("memory", retry_after=7)), "overloaded", None, "7"
    )


@pytest.mark.parametrize(
    ("result", "name", "expected"),
    [
        (Result.INFECTED, "Eicar", (403, "MCS_MEDIA_NOT_CLEAN")),
        (Result.FORBIDDEN, DISGUISE_RULE, (403, "MCS_MEDIA_NOT_CLEAN")),
        (Result.FORBIDDEN, TYPE_RULE, (403, "MCS_MIME_TYPE_FORBIDDEN")),
        (Result.UNSCANNABLE, "limit", (403, "MCS_MEDIA_NOT_CLEAN")),
        (Result.ERROR, "timeout", (500, "M_UNKNOWN")),
    ],
)
def test_verdicts_that_do_not_release(result: Result, name: str, expected: tuple[int, str]) -> None:
    """Each kind of judgement has its code, and the text says what the verdict says."""
    verdict = Verdict(result, release=False, info="because", detected_type="image/png", name=name)
    refusal = refusal_of_verdict(verdict)
    assert refusal is not None
    assert (refusal.status, refusal.reason, refusal.info) == (*expected, "because")
    assert (refusal.retry_after is not None) == (result is Result.ERROR)


@pytest.mark.parametrize("result", list(Result))
def test_a_verdict_that_releases_is_no_refusal(result: Result) -> None:
    """What may leave, leaves, whatever it is called."""
    assert refusal_of_verdict(Verdict(result, release=True, info="", detected_type="")) is None
