"""The frozen values that the parts of the gateway hand to each other.

Nothing here does anything: no IO, no clock, no settings. Secrets (keys, tokens) are kept out of
every `repr`, so that a value can be logged or shown in a traceback without giving them away.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf


@dataclass(frozen=True, slots=True)
class MediaRef:
    """One media of one server, as in `mxc://<server_name>/<media_id>`; both are checked strings."""

    server_name: str
    media_id: str

    def __str__(self) -> str:
        """Return the mxc URI."""
        return f"mxc://{self.server_name}/{self.media_id}"


class ResizeMethod(StrEnum):
    """How a homeserver makes a thumbnail (Matrix client-server API, `method`)."""

    CROP = "crop"
    SCALE = "scale"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The variant of a media that the homeserver scales down; pixels. None: not asked for."""

    width: int
    height: int
    method: ResizeMethod | None = None
    animated: bool | None = None


@dataclass(frozen=True, slots=True)
class EncryptedFile:
    """The key material of an encrypted attachment (Matrix `EncryptedFile`, v2).

    `key` is 32 bytes (AES-256-CTR), `iv` 16 bytes, `sha256` the digest of the ciphertext, 32
    bytes. `ref` is None only before an upload, when no URI exists yet.
    """

    ref: MediaRef | None
    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    sha256: bytes = field(repr=False)


Forwarded = tuple[tuple[str, str], ...]
"""Names and values of request headers that the operator named for the homeserver."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom an access token belongs to, as the homeserver says; `user` is a user ID."""

    user: str
    guest: bool = False


@dataclass(frozen=True, slots=True)
class MediaRequest:
    """What a caller wants to read: `token` is its access token, None without one."""

    ref: MediaRef
    thumbnail: Thumbnail | None = None
    encrypted: EncryptedFile | None = None
    token: str | None = field(default=None, repr=False)
    forwarded: Forwarded = field(default=(), repr=False)

    @property
    def anonymous(self) -> bool:
        """Whether the homeserver is shown nothing of the caller: what it gives then, it gives to anybody."""
        return self.token is None and not self.forwarded


@dataclass(frozen=True, slots=True)
class Declared:
    """What somebody claims about bytes: never shown to an engine, never cached."""

    content_type: str | None = None
    filename: str | None = None


class Cause(StrEnum):
    """Why bytes could not be scanned. The value is what metrics, logs and `policy` call it."""

    TOO_LARGE = "too_large"
    ENCRYPTED_ARCHIVE = "encrypted_archive"
    MACRO = "macro"
    LIMIT = "limit"
    ERROR = "error"
    TIMEOUT = "timeout"
    UNTRUSTED = "untrusted"

    @property
    def permanent(self) -> bool:
        """Whether the same bytes meet the same fate next time, whatever the engines' health."""
        return self not in {Cause.ERROR, Cause.TIMEOUT, Cause.UNTRUSTED}


@dataclass(frozen=True, slots=True)
class Clean:
    """The engine looked at all of it and found nothing."""


@dataclass(frozen=True, slots=True)
class Infected:
    """The engine knows these bytes: `signature` is its own name for them."""

    signature: str


@dataclass(frozen=True, slots=True)
class Forbidden:
    """No malware known, but against a rule of the operator's: `rule` names it."""

    rule: str


@dataclass(frozen=True, slots=True)
class Unscannable:
    """The engine can't say; `detail` tells the operator more, in words that hold no content."""

    cause: Cause
    detail: str


Finding = Clean | Infected | Forbidden | Unscannable


def name_of(finding: Finding) -> str | None:
    """Return the signature, the rule or the cause that a finding names; None for a clean one."""
    match finding:
        case Infected(signature=name) | Forbidden(rule=name):
            return name
        case Unscannable(cause=cause):
            return cause.value
        case Clean():
            return None


@dataclass(frozen=True, slots=True)
class Report:
    """One engine's finding, with the weight the operator gave that engine.

    `version` is what of the engine made it, "" where the engine did not get to say anything.
    `keep` is for how many seconds it may be remembered at most; 0: it holds for this one time.
    """

    engine: str
    finding: Finding
    required: bool = True
    shadow: bool = False
    version: str = ""
    keep: float = inf


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an inspection brought to light about some bytes; policy turns it into verdicts.

    It holds nothing that a request declares. `made` is when the inspection began, in seconds of the
    clock that the stores of verdicts go by. `embedded` are the types of what else lies in the same
    bytes, such as a zip behind an image. It counts `until` then, in seconds of the same clock.
    """

    reports: tuple[Report, ...]
    detected_type: str
    made: float
    embedded: tuple[str, ...] = ()
    until: float = inf


class Result(StrEnum):
    """The kinds of judgement, as `content_scanner_scans_total{result}` counts them."""

    CLEAN = "clean"
    INFECTED = "infected"
    FORBIDDEN = "forbidden"
    UNSCANNABLE = "unscannable"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gateway's judgement of some bytes for one request.

    `release` says whether the bytes may leave: only a clean verdict releases, except where the
    operator wrote `serve`. `info` is a sentence for the user; `engine` and `name` (a signature,
    a rule or a cause) say who decided and why, `epoch` under which version of that engine, of its
    signatures, rules or lists. `observed`: it would have been refused, had we not been told only to
    observe.
    """

    result: Result
    release: bool
    info: str
    detected_type: str
    engine: str | None = None
    name: str | None = None
    observed: bool = False
    epoch: str | None = None
