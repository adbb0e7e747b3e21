"""What an answer must be, and how the table words it. Pure: an Answer in, a Seen out, or Unexpected.

Each function returns a check for one kind of answer. A check trusts nothing: bytes are compared
with the bytes that were sent, JSON with the protocol's own words.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final

from peers.gateway import Answer

PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"

_PNG_HEADER: Final = 24  # bytes until width and height have been said
_SHOWN: Final = 200  # characters of an unexpected answer


class Tone(Enum):
    """What an answer means to Bob."""

    PASSED = auto()
    HELD_BACK = auto()
    DANGEROUS = auto()


class Unexpected(Exception):  # noqa: N818  (it is the answer's fault, not an error of ours)
    """The answer is not what it must be; the text says what came instead."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer in the table's words: what came back, and why."""

    came_back: str
    why: str
    tone: Tone


Check = Callable[[Answer], Seen]


def the_same_bytes(data: bytes, why: str, tone: Tone = Tone.PASSED) -> Check:
    """Demand the file itself."""

    def check(answer: Answer) -> Seen:
        _demand(answer.status == HTTPStatus.OK, answer)
        if answer.body != data:
            raise Unexpected(f"200 with {len(answer.body)} bytes that are not the {len(data)} bytes sent")
        return Seen(f"200, the same {len(data):,} bytes", why, tone)

    return check


def a_thumbnail(of: bytes, largest_side: int, why: str) -> Check:
    """Demand a smaller picture than `of`, a PNG."""

    def check(answer: Answer) -> Seen:
        _demand(answer.status == HTTPStatus.OK, answer)
        _demand(answer.headers.get("content-type") == "image/png", answer)
        if not answer.body.startswith(PNG_MAGIC) or len(answer.body) < _PNG_HEADER or answer.body == of:
            raise Unexpected("200 with something that is no thumbnail")
        width, height = struct.unpack_from(">II", answer.body, 16)
        if max(width, height) > largest_side:
            raise Unexpected(f"200 with a picture of {width} x {height} pixels")
        return Seen(f"200, {width} x {height} pixels", why, Tone.PASSED)

    return check


def the_ciphertext(stored: bytes, plain: bytes, decrypt: Callable[[bytes], bytes], why: str) -> Check:
    """Demand the encrypted bytes as they were uploaded, and that a client can decrypt them."""

    def check(answer: Answer) -> Seen:
        the_same_bytes(stored, why)(answer)
        if decrypt(answer.body) != plain:
            raise Unexpected("200 with ciphertext that decrypts to something else")
        return Seen("200, the same ciphertext", why, Tone.PASSED)

    return check


def a_judgement(*, clean: bool, because: str = "") -> Check:
    """Demand the answer of the scan routes; `because` must occur in its `info`."""

    def check(answer: Answer) -> Seen:
        _demand(answer.status == HTTPStatus.OK, answer)
        judged, info = _object(answer), _info(answer)
        _demand(judged.get("clean") is clean and because in info, answer)
        return Seen(f"200, clean: {str(clean).lower()}", info, Tone.PASSED if clean else Tone.HELD_BACK)

    return check


def a_refusal(status: int, reason: str, because: str = "", *, retry: bool = False) -> Check:
    """Demand an error with this status and code; `because` must occur in its `info`."""

    def check(answer: Answer) -> Seen:
        _demand(answer.status == status, answer)
        error, info = _object(answer), _info(answer)
        _demand(error.get("reason") == error.get("errcode") == reason, answer)
        _demand(error.get("error") == info and because in info, answer)
        _demand("retry-after" in answer.headers or not retry, answer)
        again = f", retry in {answer.headers['retry-after']} s" if retry else ""
        return Seen(f"{status} {reason}{again}", info, Tone.HELD_BACK)

    return check


def _demand(truth: bool, answer: Answer) -> None:  # noqa: FBT001  (an assertion: it reads as one)
    if not truth:
        body = answer.body[:_SHOWN].decode(errors="backslashreplace")
        raise Unexpected(f"{answer.status} {answer.headers.get('content-type', '')}: {body}")


def _object(answer: Answer) -> dict[str, Any]:
    try:
        value = answer.json
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Unexpected(f"{answer.status} without a JSON object")
    return value


def _info(answer: Answer) -> str:
    info = _object(answer).get("info")
    _demand(isinstance(info, str), answer)
    return str(info)
