"""What a Hasher-Matcher-Actioner answers: bytes in, hashes or banks out, or EngineError. Pure.

The grammar is HMA's API (facebook.github.io/ThreatExchange/hma/api.html). `GET /m/lookup` has had two
forms: a list of the names of banks, and since 2025 an object whose keys they are. Whatever is neither
is an error: an answer that we do not understand is never "no match". Texts of the other end are not
repeated in messages, except names that were checked.
"""

from typing import Final

from ostiary.errors import EngineError, MalformedRequestError
from ostiary.wire.strict_json import JsonValue, parse_object

MOST_TYPES: Final = 32
"""Signal types, as pdq and video_md5."""

LONGEST_NAME: Final = 200
"""Characters of the name of a bank or a signal type."""

LONGEST_SIGNAL: Final = 2000
"""Characters of a hash; it becomes a part of a URL."""


def hashes_of(body: bytes) -> dict[str, str]:
    """Return the hash of each signal type, from the answer to `POST /h/hash`.

    An empty hash, as of a picture that is all white, says that there is nothing to compare.
    """
    found = _value(body)
    if not isinstance(found, dict) or not 0 < len(found) <= MOST_TYPES:
        raise EngineError("it names no hashes: is a signal type enabled for this kind of media?")
    hashes = {}
    for name, value in found.items():
        if not isinstance(value, str) or not value.isascii() or not (value.isprintable() or not value):
            raise EngineError("what it calls a hash is none")
        if len(value) > LONGEST_SIGNAL:
            raise EngineError(f"its hash {_name(name)} is too long to be looked up")
        hashes[_name(name)] = value
    return hashes


def banks_of(body: bytes) -> tuple[str, ...]:
    """Return the names of the banks that match, from the answer to `GET /m/lookup`."""
    found = _value(body)
    if isinstance(found, dict):
        if not all(isinstance(matches, list) and matches for matches in found.values()):
            raise EngineError("its matches are no list")
        return tuple(map(_name, found))
    if isinstance(found, list):
        return tuple(map(_name, found))
    raise EngineError("its answer names no banks")


def index_of(body: bytes) -> str:
    """Return what tells its indices from others, from the answer to `GET /m/index/status`."""
    found = _value(body)
    if not isinstance(found, dict) or not 0 < len(found) <= MOST_TYPES:
        raise EngineError("it tells nothing of its indices")
    return " ".join(f"{_name(name)} {_built(state)}" for name, state in sorted(found.items()))


def _built(state: JsonValue) -> str:
    """Return when an index was built (seconds since 1970) and how many hashes it has."""
    if isinstance(state, dict):
        built, size = state.get("built_to"), state.get("size")
        if type(built) is int and type(size) is int:
            return f"{built}/{size}"
    raise EngineError("it tells nothing of an index")


def _name(value: JsonValue) -> str:
    if isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable():
        return value
    raise EngineError("a name in its answer can't be read")


def _value(body: bytes) -> JsonValue:
    """Return the JSON value that the bytes are.

    The strict parser reads objects. Around one value it makes an object of one key; around anything
    else it makes none, or one of other keys.
    """
    try:
        wrapped = parse_object(b'{"answer":' + body + b"}")
    except MalformedRequestError as error:
        raise EngineError(f"its answer is no JSON: {error}") from None
    if set(wrapped) != {"answer"}:
        raise EngineError("its answer is no JSON")
    return wrapped["answer"]
