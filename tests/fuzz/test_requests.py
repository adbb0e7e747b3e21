"""Requests over a real socket: any line, any header, any body gets an answer of ours, and no more.

What leaves for the homeserver is recorded there: only paths that the grammar of media references gives.
"""

import json
import re
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.flow.samples import PICTURE, encrypted
from tests.fuzz.mutations import fewer, mutated
from tests.fuzz.raw_http import RawAnswer, asked
from tests.matrix.fake_homeserver import media
from tests.web.clients import END, FORM, file_of, part, sealed
from tests.web.door import API, WHOAMI, Door

CIPHERTEXT: Final = encrypted(PICTURE)
BODY: Final = json.dumps(file_of(CIPHERTEXT)).encode()
FILE: Final = part("file", PICTURE, '; filename="cat.png"\r\nContent-Type: image/png') + END
_SERVER: Final = r"(?:[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*|%5B[0-9A-Fa-f:.]{2,45}%5D)(?::[0-9]{1,5})?"
_UPSTREAM: Final = re.compile(
    rf"/_matrix/(?:client/v1/media|media/v3|media/r0)/"
    rf"(?:download/{_SERVER}/[0-9A-Za-z_-]{{1,255}}\?"
    rf"|thumbnail/{_SERVER}/[0-9A-Za-z_-]{{1,255}}"
    rf"\?width=[1-9][0-9]{{0,4}}&height=[1-9][0-9]{{0,4}}(?:&method=(?:crop|scale))?(?:&animated=(?:true|false))?&)"
    rf"timeout_ms=5000"
)
"""All that may ever be asked of a homeserver because of what a client wrote."""

_ANSWERS: Final = {200, 204, 206, 304, 400, 401, 403, 404, 405, 413, 416}
_UNASKED: Final = frozenset({401, 403, 405, 413, 416})


@pytest.fixture(autouse=True)
def homeserver_with_a_file(door: Door) -> None:
    """Have every path of the homeserver answer with a ciphertext whose hash the bodies here name."""
    door.homeserver.otherwise = media(CIPHERTEXT)


def check(door: Door, answer: RawAnswer | None, *, looped: bool = False) -> None:
    """Check an answer, and what was asked of the homeserver for it."""
    received = [one for one in door.homeserver.received if one.path != WHOAMI]
    door.homeserver.received.clear()
    for one in received:
        assert one.method == "GET"
        assert _UPSTREAM.fullmatch(one.target), one.target
    if answer is None:
        return
    assert answer.status in _ANSWERS or (looped and answer.status == 502)
    if answer.status >= 400 and answer.body:
        assert answer.reason
    if answer.status in _UNASKED - {403}:
        assert not received


# --- request lines and headers ---

PLACES: Final = ("example.org/AbC-_1", "[::1]:8448/x", "1.2.3.4/abc/na%20me.png")
LINES: Final = st.sampled_from(
    [
        *(f"GET {API}/{route}/{place} HTTP/1.1" for route in ("download", "scan") for place in PLACES),
        f"GET {API}/thumbnail/a/b?width=3&height=4&method=crop&animated=true HTTP/1.1",
        f"HEAD {API}/download/a/b?access_token=abc HTTP/1.1",
        f"GET {API}/public_key HTTP/1.1",
        f"GET {API}/public_key HTTP/1.0",
        f"POST {API}/scan_encrypted HTTP/1.1",
        f"GET http://example.org{API}/download/a/b HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT example.org:443 HTTP/1.1",
        "GET /health HTTP/1.1",
        "PRI * HTTP/2.0",
        f"GET {API}/download/a/b HTTP/2.0",
        f"GET {API}/download/a/b",
    ]
).map(str.encode)
_LINE_WORDS: Final = (
    *(
        b"%2e%2e",
        b"%2E",
        b"%252e",
        b"%2f",
        b"%5c",
        b"..",
        b"/../",
        b"//",
        b"@",
        b"#",
        b"?",
        b"[",
        b"]",
        b"%5B",
    ),
    *(
        b"%c0%ae",
        b"\xc0\xae",
        b"%u002e",
        b"%",
        b"%zz",
        b"HTTP/1.1",
        b"HTTP/0.9",
        b"HTTP/3.0",
        b"GET ",
        b"download",
    ),
    *(b"_matrix", b"http://", b"://", b";", b":99999", b"\xe3\x80\x82", b"&" * 40, b"width=0", b"a" * 300),
    *(b"A" * 9000, b"%00", b"%ff", b"+", b"*", b"\xef\xbc\x8f"),
)
HEADERS: Final = st.lists(
    st.sampled_from(
        [
            *(b"Host: x", b"Host:", b"Host: x\r\nHost: y", b"Authorization: Bearer tok"),
            b"Authorization: Bearer \xff",
            *(b"Authorization: Basic eDp5", b"Authorization:", b"Range: bytes=0-3", b"Range: bytes=9-,1-"),
            b"Range: \xff",
            *(b"If-None-Match: *", b'If-None-Match: "x', b"If-Range: \xff", b"Expect: 100-continue"),
            b"Expect: x",
            *(b"Content-Length: 0", b"Content-Length: 3", b"Content-Length: -1", b"Content-Length: 1e9"),
            *(b"Content-Length: " + b"9" * 30, b"Content-Length: 99999999999", b"Content-Length: 0x3"),
            b"Content-Length:",
            *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"),
            b"Transfer-Encoding: chunked, chunked",
            *(b"Transfer-Encoding: xchunked", b"Content-Encoding: gzip", b"Content-Encoding: br"),
            b"TE: trailers",
            *(b"Connection: close", b"Connection: upgrade", b"Upgrade: websocket", b"Upgrade: h2c"),
            b"Via: 1.1 ostiary",
            *(b"Via: ,,", b"Via: \xff 1 2", b"Cookie: \x01", b"X: " + b"y" * 9000, b"X" * 9000 + b": y"),
            *(b": y", b"X"),
            *(b" folded", b"X: a\r\n folded: b", b"X\0: a", b"X: a\0", b"X : a", b"X:\xff\xfe"),
            b"Sec-WebSocket-Key: x",
            *(b"Sec-WebSocket-Version: 13", b"Content-Type: \xff"),
            b"Content-Type: multipart/form-data; boundary=a",
            *(b"HTTP2-Settings: x", b"X-HTTP-Method-Override: DELETE", b"Origin: null"),
            b"\xf0\x9f\x98\x80: x",
        ]
    ),
    max_size=5,
)  # fmt: skip


@fewer(2)
@given(
    line=mutated(LINES, _LINE_WORDS),
    headers=HEADERS,
    tail=st.sampled_from([b"", b"abc", b"0\r\n\r\n", b"zz\r\n"]),
)
@example(line=b"GET /_matrix/media_proxy/unstable/download/a/b HTTP/1.1", headers=[b"Host: x"], tail=b"")
@example(line=b"GET /_matrix/media_proxy/unstable/download/a/b HTTP/2.0", headers=[b"Host: x"], tail=b"")
@example(
    line=b"GET /_matrix/media_proxy/unstable/download/a/%2e%2e%2fb HTTP/1.1", headers=[b"Host: x"], tail=b""
)
async def test_any_head_is_answered_by_us(door: Door, line: bytes, headers: list[bytes], tail: bytes) -> None:
    """A request line and headers of any bytes: our answer or none, and the homeserver hears grammar only."""
    data = b"\r\n".join([line, *headers]) + b"\r\n\r\n" + tail
    check(door, await asked(door, data, head=line.startswith(b"HEAD ")), looped=b"1.1 ostiary" in data)


# --- bodies ---

JSON_WORDS: Final = (
    *(
        b"\\ud800",
        b"\\u0000",
        b"NaN",
        b"[" * 2000,
        b'{"a":' * 2000,
        b"9" * 5000,
        b'"file":1',
        b'"encrypted_body":{}',
    ),
    *(b"mxc://../..", b"mxc://a/b", b'"url":"mxc://a/%2e%2e"', b"null", b"true", b"1e999", b"A" * 70000),
)
FORM_WORDS: Final = (
    *(
        b"--form-edge",
        b"--form-edge--",
        b"\r\n\r\n",
        part("body", BODY),
        part("file", b""),
        b'name="file"',
        b'name="',
    ),
    *(
        b"Content-Disposition: form-data",
        b"Content-Transfer-Encoding: base64",
        b"filename*=utf-8''%ff",
        b"; ",
        b"=?x?",
    ),
)
TYPES: Final = st.sampled_from(
    [
        *(FORM, "application/json", "", "multipart/form-data", 'multipart/form-data; boundary="form-edge"'),
        *(
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=form-edge",
            "text/plain; charset=utf-16",
        ),
    ]
)
ROUTES: Final = st.sampled_from(["scan_encrypted", "download_encrypted", "scan_file"])


def bodies(door: Door) -> st.SearchStrategy[bytes]:
    """Return bodies that mean something, spoilt."""
    envelope = json.dumps(sealed(door.envelope.public_key, file_of(CIPHERTEXT))).encode()
    wide = st.sampled_from([BODY.decode().encode(code) for code in ("utf-16", "utf-32", "utf-8-sig")])
    forms = st.sampled_from(
        [FILE, part("body", BODY) + FILE, part("body", BODY) + part("file", CIPHERTEXT) + END]
    )
    return st.one_of(
        mutated(st.sampled_from([BODY, envelope]), JSON_WORDS),
        mutated(forms, FORM_WORDS),
        wide,
        st.binary(max_size=40),
    )


@fewer(2)
@given(st.data())
async def test_any_body_is_refused_or_understood(door: Door, data: st.DataObject) -> None:
    """Any bytes as any type to any route: 200 where they are whole, else our refusal, and never 500."""
    body = data.draw(bodies(door))
    route, kind = data.draw(ROUTES), data.draw(TYPES)
    framing = data.draw(
        st.sampled_from([*["whole"] * 10, *["chunked"] * 6, "long", "short", "broken", "broken"])
    )
    lines = [f"POST {API}/{route} HTTP/1.1", "Host: x", "Authorization: Bearer tok"]
    lines += [f"Content-Type: {kind}"] if kind else []
    if framing in {"chunked", "broken"}:
        lines.append("Transfer-Encoding: chunked")
        size = data.draw(st.integers(1, 500))
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        if framing == "broken":
            sent = data.draw(
                mutated(st.just(sent), (b"0\r\n\r\n", b"-1\r\n", b"zz\r\n", b"5;x\r\n", b"f" * 17), most=2)
            )
    else:
        sent = body
        lines.append(
            f"Content-Length: {len(body) + {'whole': 0, 'short': 7, 'long': -(len(body) // 2)}[framing]}"
        )
    whole = framing in {"whole", "chunked"}
    answer = await asked(door, ("\r\n".join(lines) + "\r\n\r\n").encode() + sent, whole=whole)
    check(door, answer)
    if whole:
        assert answer is not None
        assert answer.status in {200, 400, 403, 404, 413}
