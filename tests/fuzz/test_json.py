"""JSON bodies: written in every way that JSON allows and in many that it doesn't, and spoilt bytes.

The first writer knows what it wrote, so its text is the oracle for both answers; for bytes that nobody
knows, Python's own reader is a second opinion.
"""

import json
import math
from typing import Any, Final

from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.errors import MalformedRequestError
from ostiary.matrix.request_body import Enveloped, JsonObject, Plain, request_object
from ostiary.wire.strict_json import MAX_DEPTH, parse_object
from tests.fuzz.mutations import mutated, paths, replaced
from tests.web.clients import file_of

PLAIN: Final = file_of(b"the ciphertext")
SEALED: Final = {"encrypted_body": {"ciphertext": "abc", "mac": "def", "ephemeral": "ghi"}}
BASES: Final = st.sampled_from(
    [
        json.dumps(PLAIN).encode(),
        json.dumps(SEALED, indent=1).encode(),
        json.dumps({**PLAIN, **SEALED}).encode(),
        b'{"a": [1, -0, 1.5e3, -0.0, true, null, "\\u00e9\\ud83d\\ude00\xc3\xa9"], "b": {"": {}}}',
        b'{"a":' * 20 + b"[]" + b"}" * 20,
    ]
)
WORDS: Final = (
    *(b'"a":1', b'"\\u0061":1', b"{}", b"[]", b"null", b"true", b"NaN", b"-Infinity", b"\\ud800", b"\\u0000"),
    *(b'"file":', b'"file":{}', b'"url":', b"//", b"/**/", b"'", b"0x1", b"01", b"1.", b".5", b"+1", b"-"),
    *(b"[" * 40, b'{"":' * 40, b"]" * 40, b"\\", b"\\x41", b"mxc://", b"=", b"==", b"A" * 43),
)

# --- a writer that knows what it writes ---

_BLANKS: Final = st.text(" \t\r\n", max_size=2)
_BAD_BLANKS: Final = st.sampled_from(["\v", "\f", "\xa0", "\u2028", "\ufeff", "\0", "/**/", "//\n", "#\n"])
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r"}
_BAD_STRINGS: Final = st.sampled_from(
    [
        *('"\\ud800"', '"\\udfff"', '"\\udc00\\ud800"', '"\\ud83dx"', '"\\uD83D\\u0041"', '"\n"', '"\0"'),
        *('"\x1f"', '"\\x41"', '"\\u12"', '"\\u00g0"', '"\\u+123"', '"\\u 123"', '"\\', "'a'", '"a', '"\\v"'),
        *('"\\U0001F600"', "\u201ca\u201d"),
    ]
)
_BAD_VALUES: Final = _BAD_STRINGS | st.sampled_from(
    [
        *("NaN", "Infinity", "-Infinity", "nan", "1e400", "-1e400", "01", "-01", "+1", ".5", "1.", "1.e1"),
        *("0x10", "1_000", "- 1", "--1", "\u0661", "1e", "1e+", "9" * 33, "0." + "1" * 40, "True", "None"),
        *(
            "undefined",
            "nul",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[",
            "{",
            '{"a"}',
            '{"a":}',
            '{"a":1,}',
            "{a:1}",
            "{1:1}",
        ),
        *('{"a":1 "b":2}', '{"a"=1}', "]", "", ",", ":", '{"a":1,"\\u0061":1}', '{"":{},"":{}}'),
    ]
)


@st.composite
def strings(draw: st.DrawFn, text: str) -> str:
    """Write a string, each character plain or escaped in one of the ways there are."""
    written = []
    for character in text:
        must = character in '"\\' or character < " "
        way = draw(st.integers(1 if must else 0, 2))
        if way == 0:
            written.append(character)
        elif way == 1 and character in _ESCAPES:
            written.append(_ESCAPES[character])
        else:
            units = character.encode("utf-16-be").hex()
            units = units.upper() if draw(st.booleans()) else units
            written.append("".join("\\u" + units[at : at + 4] for at in range(0, len(units), 4)))
    return '"' + "".join(written) + '"'


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, int | float]:
    """Write a number of at most 32 characters, with what it is."""
    whole = draw(st.sampled_from(["0", "-0", "7", "-12"]) | st.integers(-(2**64), 2**64).map(str))
    fraction = draw(st.just("") | st.integers(0, 9999).map(".{:04}".format))
    power = draw(
        st.just("") | st.tuples(st.sampled_from("eE"), st.sampled_from(["", "+", "-", "0"])).map("".join)
    )
    power = power and power + str(draw(st.integers(0, 99)))
    text = whole + fraction + power
    return text, float(text) if fraction or power else int(text)


@st.composite
def written(draw: st.DrawFn, level: int = 1) -> tuple[str, Any, bool]:
    """Write a value: its text, what it is, and whether the text is strict JSON at all."""
    if draw(st.integers(0, 25)) == 0:
        return draw(_BAD_VALUES), None, False
    kind = draw(st.integers(0, 5 if level < 5 else 2))
    if kind == 0:
        text, number = draw(numbers())
        return text, number, True
    if kind == 1:
        content = draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=6))
        return draw(strings(content)), content, True
    if kind == 2:
        word = draw(st.sampled_from([("true", True), ("false", False), ("null", None)]))
        return *word, True
    return draw(_array(level) if kind == 3 else objects(level))


@st.composite
def _array(draw: st.DrawFn, level: int) -> tuple[str, Any, bool]:
    members = [draw(written(level + 1)) for _ in range(draw(st.integers(0, 3)))]
    texts = [draw(_BLANKS) + text + draw(_BLANKS) for text, _, _ in members]
    return f"[{','.join(texts)}]", [value for _, value, _ in members], all(good for *_, good in members)


@st.composite
def objects(draw: st.DrawFn, level: int = 1) -> tuple[str, Any, bool]:
    """Write an object; now and then a key comes twice, spelt in another way."""
    keys = draw(st.lists(st.text('ab\x7f\u00e9\U0001f600"\\/', max_size=2), max_size=4))
    members = [draw(written(level + 1)) for _ in keys]
    pairs = zip(keys, members, strict=True)
    texts = [
        draw(_BLANKS) + draw(strings(key)) + draw(_BLANKS) + ":" + draw(_BLANKS) + text + draw(_BLANKS)
        for key, (text, _, _) in pairs
    ]
    good = len(set(keys)) == len(keys) and all(good for *_, good in members)
    return f"{{{','.join(texts)}}}", dict(zip(keys, (value for _, value, _ in members), strict=True)), good


_ENCODINGS: Final = st.sampled_from(["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
_BEHIND: Final = st.sampled_from(["x", "\0", "{}", ",", "}", "null", "\ufeff", "\x1a", "//"])


def same(left: Any, right: Any) -> bool:  # noqa: ANN401  (JSON)
    """Say whether two values are the same, type for type: 1 is neither 1.0 nor true."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right) and repr(left) == repr(right)


@given(st.data())
def test_what_is_written_is_read_and_what_is_none_is_refused(data: st.DataObject) -> None:
    """Every spelling of an object is that object; each fault anywhere in it is our error."""
    text, value, good = data.draw(objects())
    around = data.draw(st.integers(0, 60))
    if around == 0:
        text, good = text + data.draw(_BEHIND), False
    elif around == 1:
        text, good = data.draw(_BAD_BLANKS) + text, False
    raw = text.encode("utf-8", "surrogatepass")
    if around == 2:
        raw, good = text.encode(data.draw(_ENCODINGS), "surrogatepass"), False
    try:
        read = parse_object(raw)
    except MalformedRequestError:
        assert not good, raw
    else:
        assert good, raw
        assert same(read, value)


def strict_by_python(raw: bytes) -> Any:  # noqa: ANN401  (JSON)
    """Return what Python's reader makes of the bytes; ValueError where a pair of its hooks objects."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in found}) != len(found):
            raise ValueError("a key comes twice")
        return dict(found)

    def finite(text: str) -> float:
        if not math.isfinite(float(text)):
            raise ValueError("too large")
        return float(text)

    def constant(name: str) -> float:
        raise ValueError(name)

    value = json.loads(
        raw.decode("utf-8", "strict"), object_pairs_hook=pairs, parse_float=finite, parse_constant=constant
    )
    json.dumps(value, ensure_ascii=False).encode()
    return value


def depth(value: object) -> int:
    """Return how deep containers are nested."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(_BAD_VALUES)
@example("1e400")
@example("-1e999")
def test_each_fault_is_refused_wherever_it_stands(fault: str) -> None:
    """What no strict reader takes for a value is refused as a member, as an element, and alone."""
    for text in (fault, f'{{"a":{fault}}}', f'{{"a":[1,{fault}]}}', f'{{"a":{{"b":{fault}}}}}'):
        try:
            parse_object(text.encode("utf-8", "surrogatepass"))
        except MalformedRequestError:
            continue
        raise AssertionError(text)


@given(mutated(BASES, WORDS))
@example(b'{"a": -0, "b": -0.0, "c": 1E2}')
@example(b'{"a": 1e400}')
@example(b'{"a": "\\ud800"}')
@example(b'{"\\u0066ile": 1, "file": 2}')
@example(b'{"a": "\\ud83d\\ude00"}')
def test_spoilt_bytes_are_what_python_reads_or_our_error(raw: bytes) -> None:
    """Accepted: the very object that Python reads. Refused: Python's strict reader refuses it, or a bound."""
    try:
        value = parse_object(raw)
    except MalformedRequestError as error:
        if "more than" in str(error):
            return
        try:
            other = strict_by_python(raw)
        except (ValueError, RecursionError):
            return
        assert not isinstance(other, dict), (raw, str(error))
    else:
        assert same(value, json.loads(raw))
        assert same(value, strict_by_python(raw))
        assert depth(value) <= MAX_DEPTH
        request_or_error(value)


_LEAVES: Final[st.SearchStrategy[Any]] = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=8)
)
_LISTS: Final = st.lists(_LEAVES, max_size=3)
_ANY: Final = _LEAVES | _LISTS | st.dictionaries(st.text(max_size=4), _LEAVES | _LISTS, max_size=3)
NEARLY: Final[tuple[Any, ...]] = (
    *("v1", "V2", "v2 ", "oct", "OCT", "A256CTR", "a256ctr", "A256CTR\0", True, 1, 1.0, "true", [], {}, ...),
    *(["encrypt"], ["decrypt", "encrypt"], ["encrypt", "decrypt", 7], "encrypt decrypt", ["encryptdecrypt"]),
    *(
        "A" * 43,
        "A" * 43 + "=",
        "A" * 43 + "==",
        "A" * 43 + "===",
        "A" * 44,
        "A" * 42,
        "A" * 22,
        "A" * 22 + "==",
    ),
    *("A" * 22 + "=", "A" * 22 + "===", "A" * 24, "/" * 43, "_" * 43, "/" * 22, "_" * 22, "=" * 43, "", "="),
    *(
        "A" * 42 + "\u0661",
        "A" * 42 + "\uff21",
        "A" * 43 + "\n",
        " " + "A" * 43,
        "A" * 43 + "\0",
        "A" * 10**5,
    ),
    *(
        "mxc://a/b",
        "mxc://a/b/c",
        "mxc:///b",
        "mxc://a/",
        "MXC://a/b",
        "mxc://a/..",
        "mxc://../b",
        "mxc://a%2fb/c",
    ),
    *(
        "mxc://a/b?x",
        "mxc://a/b#x",
        "mxc://a@b/c",
        "mxc://a/b\n",
        "mxc://\u0430/b",
        "http://a/b",
        "mxc://[::1]:1/b",
    ),
)
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def by_hand(text: str, more: str) -> bytes:
    """Decode base64 without a library: six bits a character, what is left over at the end is dropped."""
    number = 0
    digits = text.rstrip("=")
    for character in digits:
        number = number << 6 | (_ALPHABET + more).index(character)
    bits = len(digits) * 6
    return (number >> bits % 8).to_bytes(bits // 8)


def request_or_error(body: JsonObject) -> Plain | Enveloped | None:
    """Read the request; what is accepted must hold what its members say, read by hand."""
    try:
        asked = request_object(body)
    except MalformedRequestError:
        return None
    if isinstance(asked, Enveloped):
        assert body["encrypted_body"] == {
            **body["encrypted_body"],  # type: ignore[dict-item]
            "ciphertext": asked.ciphertext,
            "mac": asked.mac,
            "ephemeral": asked.ephemeral,
        }
        return asked
    file: Any = body["file"]
    for text in (file["key"]["k"], file["iv"], file["hashes"]["sha256"]):
        digits = text.rstrip("=")
        assert text in {digits, digits + "=" * (-len(digits) % 4)}
    assert (file["v"], file["key"]["kty"], file["key"]["alg"]) == ("v2", "oct", "A256CTR")
    assert file["key"]["ext"] is True
    assert {"encrypt", "decrypt"} <= {one for one in file["key"]["key_ops"] if isinstance(one, str)}
    assert by_hand(file["key"]["k"], "-_") == asked.file.key
    assert by_hand(file["iv"], "+/") == asked.file.iv
    assert by_hand(file["hashes"]["sha256"], "+/") == asked.file.sha256
    assert (len(asked.file.key), len(asked.file.iv), len(asked.file.sha256)) == (32, 16, 32)
    assert str(asked.file.ref) == file["url"]
    return asked


def test_each_member_with_each_near_miss() -> None:
    """Every member, one at a time, with everything that looks almost right: read by hand, or our error."""
    for body in (PLAIN, SEALED):
        for path in paths(body)[:-1]:
            for value in NEARLY:
                request_or_error(replaced(body, path, value))


@given(st.data())
def test_spoilt_members_are_a_request_or_our_error(data: st.DataObject) -> None:
    """Whatever stands in whichever member, and however many are missing, doubled or strange."""
    body: Any = data.draw(st.sampled_from([PLAIN, SEALED, {**PLAIN, **SEALED}]))
    for _ in range(data.draw(st.integers(0, 3))):
        path = data.draw(st.sampled_from(paths(body)[:-1] or [("file",)]))
        body = replaced(body, path, data.draw(st.sampled_from(NEARLY) | _ANY))
    asked = request_or_error(body)
    raw = json.dumps(body)
    try:
        parsed = parse_object(raw.encode())
    except MalformedRequestError:
        return
    assert request_or_error(parsed) == asked
