"""The one table that turns what went wrong, or what was judged, into status and code.

`reason` comes from a closed set of ten: a widely used client fails on any other. `errcode` says
more where Matrix has a better word. Both spellings stand in every error body.
"""

from dataclasses import dataclass
from typing import Final

from ostiary import errors as e
from ostiary.model import Result, Verdict
from ostiary.policy import TYPE_RULE

NOT_CLEAN: Final = "MCS_MEDIA_NOT_CLEAN"
TYPE_FORBIDDEN: Final = "MCS_MIME_TYPE_FORBIDDEN"
REQUEST_FAILED: Final = "MCS_MEDIA_REQUEST_FAILED"
UNKNOWN: Final = "M_UNKNOWN"
RETRY_AFTER: Final = 5
"""Seconds after which a failed scan is worth another try."""

_TOKEN_REASONS: Final = frozenset({"M_MISSING_TOKEN", "M_UNKNOWN_TOKEN"})
_PASSED_ON: Final = frozenset({403, 413, 429})
_BAD_TOKEN: Final = 401
_NOT_FOUND: Final = 404
_BAD_GATEWAY: Final = 502
_FIRST_SERVER_ERROR: Final = 500
_WORTH_WAITING: Final = frozenset({429, 504})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error response: `kind` is the metric's label, `retry_after` (seconds) and `allow` are headers."""

    status: int
    reason: str
    info: str
    kind: str
    errcode: str | None = None
    retry_after: str | None = None
    retry_after_ms: int | None = None
    soft_logout: bool | None = None
    allow: str | None = None

    def body(self) -> dict[str, object]:
        """Return the JSON object, both spellings in it."""
        errcode = self.errcode or self.reason
        body: dict[str, object] = {
            "reason": self.reason,
            "info": self.info,
            "errcode": errcode,
            "error": self.info,
        }
        if self.soft_logout is not None:
            body["soft_logout"] = self.soft_logout
        if self.retry_after_ms is not None:
            body["retry_after_ms"] = self.retry_after_ms
        return body


# fmt: off
_TABLE: Final[dict[type[e.OstiaryError], tuple[int, str, str, str | None]]] = {
    # error                     status  reason                            kind             errcode
    e.MalformedRequestError:      (400, "MCS_MALFORMED_JSON",             "malformed",     None),
    e.InvalidParameterError:      (400, UNKNOWN,                          "malformed",     "M_INVALID_PARAM"),
    e.AttachmentError:            (400, "MCS_MEDIA_FAILED_TO_DECRYPT",    "decryption",    None),
    e.MissingTokenError:          (401, "M_MISSING_TOKEN",                "unauthorized",  None),
    e.UnknownTokenError:          (401, "M_UNKNOWN_TOKEN",                "unauthorized",  None),
    e.BadEnvelopeError:           (403, "MCS_BAD_DECRYPTION",             "envelope",      None),
    e.MalformedMediaError:        (404, "M_NOT_FOUND",                    "not_found",     None),
    e.NoSuchRouteError:           (404, "M_NOT_FOUND",                    "not_found",     "M_UNRECOGNIZED"),
    e.WrongMethodError:           (405, "M_NOT_FOUND",                    "not_found",     "M_UNRECOGNIZED"),
    e.RequestTooLargeError:       (413, UNKNOWN,                          "too_large",     "M_TOO_LARGE"),
    e.EngineError:                (500, UNKNOWN,                          "engine",        None),
    e.HomeserverError:            (502, REQUEST_FAILED,                   "homeserver",    None),
    e.ProxyLoopError:             (502, REQUEST_FAILED,                   "homeserver",    None),
    e.OverloadedError:            (503, UNKNOWN,                          "overloaded",    None),
}
# fmt: on

INTERNAL: Final = Refusal(500, UNKNOWN, "an error on our side: it has been logged", "internal")
"""What a bug of ours looks like from outside."""

NO_SUCH_RANGE: Final = Refusal(416, UNKNOWN, "the media is not as long as that", "malformed")
"""For a range that begins behind the end (RFC 9110, 15.5.17)."""

NOT_HTTP: Final = Refusal(400, UNKNOWN, "this is no HTTP request that we can read", "malformed")
"""For what the HTTP parser refuses. Its own words would quote the request, tokens and all."""


def refusal_of(error: e.OstiaryError) -> Refusal:
    """Return the response that an error becomes."""
    if isinstance(error, e.HomeserverRefusalError):
        return _passed_on(error)
    row = _TABLE.get(type(error))
    if row is None:
        return INTERNAL
    status, reason, kind, errcode = row
    retry_after = None
    if error.temporary:
        retry_after = str(error.retry_after if isinstance(error, e.OverloadedError) else RETRY_AFTER)
    allow = ", ".join(error.allowed) if isinstance(error, e.WrongMethodError) else None
    return Refusal(status, reason, str(error), kind, errcode, retry_after, allow=allow)


def refusal_of_verdict(verdict: Verdict) -> Refusal | None:
    """Return how a download is refused; None where the verdict lets the bytes go."""
    if verdict.release:
        return None
    if verdict.result is Result.ERROR:
        return Refusal(500, UNKNOWN, verdict.info, "engine", retry_after=str(RETRY_AFTER))
    if is_type_rule(verdict):
        return Refusal(403, TYPE_FORBIDDEN, verdict.info, "refused")
    return Refusal(403, NOT_CLEAN, verdict.info, "refused")


def is_type_rule(verdict: Verdict) -> bool:
    """Say whether the operator's type lists refused it, which has a code of its own on every route."""
    return verdict.result is Result.FORBIDDEN and verdict.name == TYPE_RULE


def _passed_on(error: e.HomeserverRefusalError) -> Refusal:
    """What the homeserver said reaches the client where the client can act on it."""
    if error.status == _BAD_TOKEN:
        reason = error.errcode if error.errcode in _TOKEN_REASONS else "M_UNKNOWN_TOKEN"
        return Refusal(401, reason, error.error, "unauthorized", error.errcode, soft_logout=error.soft_logout)
    if error.status == _NOT_FOUND:
        return Refusal(404, "M_NOT_FOUND", error.error, "not_found")
    passes = error.status in _PASSED_ON or (error.status, error.errcode) in {
        (502, "M_TOO_LARGE"),
        (504, "M_NOT_YET_UPLOADED"),
    }
    if not passes and error.status < _FIRST_SERVER_ERROR:  # asked again it would say the same
        info = f"the homeserver answered {error.status}: {error.error}"
        return Refusal(_BAD_GATEWAY, REQUEST_FAILED, info, "refused")
    if not passes:
        info = f"the homeserver answered {error.status}"
        return Refusal(_BAD_GATEWAY, REQUEST_FAILED, info, "homeserver", retry_after=str(RETRY_AFTER))
    return Refusal(
        error.status,
        REQUEST_FAILED,
        error.error,
        "refused",
        error.errcode,
        retry_after=_seconds(error),
        retry_after_ms=error.retry_after_ms,
    )


def _seconds(error: e.HomeserverRefusalError) -> str | None:
    """Return when to try again: as the homeserver said, in a header or in its body, where that helps."""
    if error.retry_after is not None or error.status not in _WORTH_WAITING:
        return error.retry_after
    return str(RETRY_AFTER if error.retry_after_ms is None else -(-error.retry_after_ms // 1000))
