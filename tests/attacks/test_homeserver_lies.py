"""A hostile or broken homeserver: lies about where an answer ends, whose it is, and where to go next."""

import gzip
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from tests.attacks.house import PLACE, give, remembering
from tests.flow.fakes import ScriptedEngine, until
from tests.flow.samples import PICTURE
from tests.matrix.fake_homeserver import FakeHomeserver, Reply, answer, cut, error, media, pieces
from tests.web.door import WHOAMI, Door

DOWNLOAD: Final = f"download/{PLACE}"
OTHER: Final = "example.org/other"
STALE: Final = media(b"what somebody else asked for")
TOKEN: Final = "syt_YWxpY2U_secretsecret_1a2b3c"

HALF: Final = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
POISON: Final[dict[str, Reply]] = {
    "a part": answer(206, PICTURE[:50], {"Content-Range": f"bytes 0-49/{len(PICTURE)}"}),
    "unchanged since never": cut(b"HTTP/1.1 304 Not Modified\r\nETag: 1\r\n\r\n"),
    "less than announced": cut(HALF + b"Content-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE[:50]),
    "chunks without an end": cut(HALF + b"Transfer-Encoding: chunked\r\n\r\n32\r\n" + PICTURE[:50] + b"\r\n"),
    "no end at all": cut(HALF + b"\r\n" + PICTURE[:50]),
    "no end, HTTP/1.0": cut(b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE[:50]),
    "gzip that is cut": answer(200, gzip.compress(PICTURE)[:-9], {"Content-Encoding": "gzip"}),
    "two lengths": cut(HALF + b"Content-Length: 50\r\nContent-Length: 60\r\n\r\n" + PICTURE[:60]),
    "a length and chunks": cut(HALF + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "another status": answer(203, PICTURE[:50]),
    "a tunnel": cut(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + PICTURE),
}  # fmt: skip


@pytest.mark.parametrize("reply", POISON.values(), ids=POISON.keys())
async def test_a_broken_answer_poisons_no_copy(tmp_path: Path, reply: Reply) -> None:
    """Nothing that may be less than the media is served, judged or kept; the next answer counts."""
    async with remembering(tmp_path, engine := ScriptedEngine()) as door:
        give(door.homeserver, reply)
        assert (await door.ask(DOWNLOAD)).code == (502, "MCS_MEDIA_REQUEST_FAILED")
        assert (await door.ask(f"scan/{PLACE}")).code == (502, "MCS_MEDIA_REQUEST_FAILED")
        assert engine.seen == []
        assert len(door.house.library) == 0
        give(door.homeserver, media(PICTURE))
        assert (await door.ask(DOWNLOAD)).body == PICTURE


@pytest.mark.parametrize("behind", [STALE, b"\r\n" + STALE, b"junk", STALE[:-5]])
@pytest.mark.parametrize("later", [False, True])
async def test_an_answer_too_many_is_nobodys(tmp_path: Path, behind: bytes, *, later: bool) -> None:
    """What comes behind an answer, at once or later, is not taken for the answer to the next request."""
    reply = pieces(media(PICTURE), behind, *[b""] * 20) if later else media(PICTURE) + behind
    async with remembering(tmp_path) as door:
        give(door.homeserver, reply)
        give(door.homeserver, media(b"the right one"), OTHER)
        first = await door.ask(DOWNLOAD, token="mallory")
        assert first.body == PICTURE or first.status == 502
        if later:
            await until(lambda: _idle_bytes(door))
        assert (await door.ask(f"download/{OTHER}")).body == b"the right one"


def _idle_bytes(door: Door) -> bool:
    """Say whether something came on a connection that lies idle, or ended it."""
    connector: Any = door.house.gateway._fetcher._source._sessions["media"].connector  # type: ignore[attr-defined]
    kept = [protocol for waiting in connector._conns.values() for protocol, _ in waiting]
    return all(protocol.should_close or not protocol.is_connected() for protocol in kept)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 305])
@pytest.mark.parametrize("token", [TOKEN, None])
async def test_a_redirect_takes_no_token_along(tmp_path: Path, status: int, token: str | None) -> None:
    """Nobody follows a homeserver to another place, with or without a token, for media or for whoami."""
    async with FakeHomeserver() as evil, remembering(tmp_path) as door:
        away = answer(status, headers={"Location": f"{evil.url}/steal", "Refresh": f"0;url={evil.url}"})
        give(door.homeserver, away)
        door.homeserver.replies[WHOAMI] = away
        got = await door.ask(DOWNLOAD, token=token)
        assert got.code == (502, "MCS_MEDIA_REQUEST_FAILED")
        assert "Location" not in got.headers
        upload = await door.ask("scan_file", "POST", token=token, body=b"x")
        assert upload.status == (401 if token is None else 502)
        assert evil.received == []


@pytest.mark.parametrize(
    "words",
    [{"errcode": "M_UNKNOWN_TOKEN", "message": f"unknown token {TOKEN}"}, {"errcode": f"M_{TOKEN}"}],
)
@pytest.mark.parametrize("status", [401, 403, 404, 413, 429, 500])
async def test_a_token_that_comes_back_goes_no_further(
    tmp_path: Path, status: int, words: dict[str, str]
) -> None:
    """A homeserver that repeats the token in its refusal puts it into no log and no answer of ours."""
    async with remembering(tmp_path) as door:
        give(door.homeserver, error(status, **words))
        door.homeserver.replies[WHOAMI] = error(status, **words)
        with capture_logs() as lines:
            answers = [
                await door.ask(DOWNLOAD, token=TOKEN),
                await door.ask("scan_file", "POST", token=TOKEN, body=b"x"),
            ]
        assert all(got.status >= 400 for got in answers)
        assert all(TOKEN.encode() not in got.body for got in answers)
        assert lines
        assert TOKEN not in repr(lines)
        assert answers[0].status == (502 if status == 500 else status)


async def test_whose_token_it_is_is_no_command(tmp_path: Path) -> None:
    """A whoami that names no user, or more than one line, lets nobody in, and writes no lines of its own."""
    names = ("", "alice", "@a\nerror kind=internal", "@\x1b[31m", "@" + "x" * 300, ["@a:b"], None, {"a": 1})
    async with remembering(tmp_path) as door:
        for number, name in enumerate(names):
            door.homeserver.replies[WHOAMI] = answer(200, repr({"user_id": name}).replace("'", '"').encode())
            with capture_logs() as lines:
                got = await door.ask("scan_file", "POST", token=f"token{number}", body=b"x")
            assert got.code == (502, "MCS_MEDIA_REQUEST_FAILED")
            assert "\x1b" not in repr(lines)
            assert "kind=internal" not in repr(lines)
