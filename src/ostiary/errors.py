"""What can go wrong on the way through the gateway, temporary or permanent.

No HTTP status lives here: `ostiary.web.errors` holds the one table that turns these into
responses. Every message is written for the operator or the user who reads it, and never holds
a token, a key or a piece of a plaintext.
"""

from typing import ClassVar


class OstiaryError(Exception):
    """The root of every error that this package raises on purpose.

    `temporary` says whether the same request may succeed later without anybody mending anything.
    """

    temporary: ClassVar[bool] = False


class ConfigError(OstiaryError):
    """The configuration can't be used; the message names the place and the way out."""


class MalformedRequestError(OstiaryError):
    """A request body that is not what the API asks for (MCS_MALFORMED_JSON)."""


class MalformedMediaError(OstiaryError):
    """A media reference outside the Matrix grammar: no such media can exist (M_NOT_FOUND)."""


class InvalidParameterError(OstiaryError):
    """A query parameter that is missing or makes no sense (M_INVALID_PARAM)."""


class NoSuchRouteError(OstiaryError):
    """A path that nothing answers (M_UNRECOGNIZED)."""


class WrongMethodError(OstiaryError):
    """A path that answers only the `allowed` methods (M_UNRECOGNIZED)."""

    def __init__(self, text: str, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.allowed = allowed


class ProxyLoopError(OstiaryError):
    """A request of ours that came back to us: the proxy rules point at each other."""


class BadEnvelopeError(OstiaryError):
    """An `encrypted_body` that yields no valid request (MCS_BAD_DECRYPTION).

    Deliberately one text without detail: its MAC does not bind the ciphertext, so any difference
    between two failures would be a padding oracle.
    """

    def __init__(self) -> None:
        super().__init__("encrypted_body can't be decrypted: fetch the public key anew and try again")


class AttachmentError(OstiaryError):
    """An encrypted attachment that does not match its hash (MCS_MEDIA_FAILED_TO_DECRYPT)."""


class RequestTooLargeError(OstiaryError):
    """A request body over our limit."""


class MissingTokenError(OstiaryError):
    """A request that needs an access token came without one (M_MISSING_TOKEN)."""


class UnknownTokenError(OstiaryError):
    """What came as an access token can't be one (M_UNKNOWN_TOKEN)."""


class OverloadedError(OstiaryError):
    """We are full, and waiting `limits.wait` did not help."""

    temporary = True

    def __init__(self, what: str, retry_after: int = 5) -> None:
        super().__init__(f"the gateway is full ({what}): try again in {retry_after} s")
        self.what = what
        self.retry_after = retry_after


class HomeserverError(OstiaryError):
    """The homeserver can't be reached, is too slow, or answered nonsense."""

    temporary = True


class HomeserverRefusalError(OstiaryError):
    """The homeserver answered the request with an error of its own.

    `status`, `errcode` and `error` are the homeserver's words; `soft_logout`, `retry_after_ms`
    and `retry_after` (the header, seconds) are None where it said nothing of them.
    """

    def __init__(
        self,
        status: int,
        errcode: str,
        error: str,
        *,
        soft_logout: bool | None = None,
        retry_after_ms: int | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(f"the homeserver answered {status} {errcode}: {error}")
        self.status = status
        self.errcode = errcode
        self.error = error
        self.soft_logout = soft_logout
        self.retry_after_ms = retry_after_ms
        self.retry_after = retry_after


class EngineError(OstiaryError):
    """An engine could not be asked, or its answer lies outside its protocol: never "clean"."""

    temporary = True
