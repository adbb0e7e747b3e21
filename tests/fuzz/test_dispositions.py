"""Content-Disposition, in and out: what we write is read back by two other parsers as what it says."""

import re
import unicodedata
from typing import Final

from aiohttp.multipart import content_disposition_filename, parse_content_disposition
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from ostiary.matrix.content_disposition import filename_of, safe_disposition
from tests.fuzz.mutations import mutated

HEADERS: Final = st.sampled_from(
    [
        *(
            'inline; filename="a b.png"',
            "attachment; filename=a.png",
            "inline; filename*=utf-8''%E2%82%AC.png",
        ),
        *("inline; filename=\"a\"; filename*=UTF-8''b", 'inline; filename*0="a"; filename*1="b"', "INLINE"),
        *(
            "inline; filename*0*=utf-8'en'%41; filename*1=b",
            'attachment; filename="a\\"b\\\\c"',
            "form-data; name=x",
        ),
        *(
            'inline; filename="=?utf-8?q?=0D=0A?="',
            'inline; filename="../../etc/passwd"',
            "inline; filename=",
        ),
    ]
).map(str.encode)
WORDS: Final = (
    *(
        b"filename",
        b"filename*=",
        b"filename*0*=",
        b"filename*1=",
        b"''",
        b"utf-8''",
        b"utf-16''",
        b"idna''",
        b"\0''",
    ),
    *(
        b"%0d%0a",
        b"%00",
        b"%ff",
        b"%22",
        b"%2f",
        b"%5c",
        b"%e2%80%ae",
        b"%ed%a0%80",
        b'"',
        b'\\"',
        b";",
        b"; ",
        b"\\",
    ),
    *(
        b"=?utf-8?b?//8=?=",
        b"=?",
        b"?=",
        b"\r\n",
        b"\n x",
        b"inline",
        b"attachment",
        b"/",
        b"..",
        b"punycode''",
        b"hex''",
    ),
    *(
        b"a" * 300,
        b"*" * 50,
        b"rot13''",
        b"unicode_escape''",
        b"zlib''",
        b"undefined''",
        b"mbcs''",
        b"raw_unicode_escape''",
    ),
)
NAMES: Final = st.text(max_size=30) | st.text(
    "ab\"\\%;=,'/\r\n\0\x7f\u202e\u2028\xa0\xff\ud800*.~ ", max_size=30
)
TYPES: Final = st.sampled_from(
    ["image/png", "IMAGE/PNG ; x", "text/html", "image/svg+xml", "", "\xff", "text/plain;a"]
)

_GRAMMAR: Final = re.compile(
    r'(?P<kind>inline|attachment)(?:; filename="(?P<plain>[ !#-\[\]-~]{1,200})")?'
    r"(?:; filename\*=UTF-8''(?P<full>(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2})+))?"
)
"""All that we ever write: RFC 6266 and RFC 8187, without an escape anywhere."""

_INLINE: Final = {"image/png", "text/plain"}  # of the types above


def check(header: str, kind: str, name: str | None) -> None:
    """Check that the header is in our grammar, and that others read the same in it."""
    match = _GRAMMAR.fullmatch(header)
    assert match is not None, header
    assert match["kind"] == kind
    assert (match["plain"] is None) == (name is None)
    theirs, parameters = parse_content_disposition(header)
    assert theirs == kind
    word, options = parse_options_header(header)
    assert word == kind
    assert set(options) <= {"filename"}
    assert options.get("filename") == name
    assert content_disposition_filename(parameters) == name


def harmless(name: str) -> bool:
    """Say whether a name could be shown, logged, and saved in a folder."""
    dangerous = any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in name)
    return not dangerous and not set(name) & set("/\\") and 0 < len(name) <= 200 and name == name.strip()


@given(
    mutated(HEADERS, WORDS) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    TYPES,
)
@example(b"inline; filename*=utf-8''%ed%a0%80", "image/png")
@example(b"inline; filename*=unicode_escape''%5Cud800", "image/png")
def test_any_header_becomes_one_of_ours(raw: bytes, content_type: str) -> None:
    """Whatever an uploader put into it: a name that is harmless, in a header that says nothing else."""
    header = raw.decode("utf-8", "surrogateescape")
    name = filename_of(header)
    if name is not None:
        assert harmless(name), name
    asked = header.partition(";")[0].strip().lower()
    shown = (asked or "") == "inline" or not header
    kind = "inline" if shown and content_type.partition(";")[0].strip().lower() in _INLINE else "attachment"
    check(safe_disposition(header, content_type), kind, name)


@given(NAMES, mutated(HEADERS, WORDS, most=1), TYPES)
@example("\U000e0041", b"inline", "image/png")
def test_any_requested_name_is_cleaned(wanted: str, raw: bytes, content_type: str) -> None:
    """The last segment of a download's path: cleaned, or the homeserver's name in its place."""
    header = raw.decode("utf-8", "surrogateescape")
    written = safe_disposition(header, content_type, wanted)
    word, options = parse_options_header(written)
    assert word in {"inline", "attachment"}
    name = options.get("filename")
    check(written, word, name)
    if name is not None:
        assert harmless(name)
