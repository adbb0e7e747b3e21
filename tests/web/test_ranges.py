"""Conditional and range requests over HTTP: answered by us, from judged bytes, never passed on."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from ostiary.model import Infected
from tests.flow.fakes import ScriptedEngine, finding, until
from tests.flow.samples import PICTURE, encrypted
from tests.matrix.fake_homeserver import answer, error, media
from tests.web.clients import file_of
from tests.web.door import V1, Answer, Door, opened

PLACE: Final = "example.org/AbC-_1"
DOWNLOAD: Final = f"download/{PLACE}"
THUMBNAIL: Final = f"thumbnail/{PLACE}?width=64&height=48"
BIG: Final = PICTURE + os.urandom(5 << 20)
CONDITIONS: Final = {
    "if-none-match",
    "if-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "range",
}


@pytest.fixture(params=[0, 16 << 20], ids=["fetched", "stored"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Door]:
    """Return a front that stores copies, and one that doesn't: answers must not differ."""
    async with opened(tmp_path, library=request.param, verdicts=10) as door:
        door.homeserver.otherwise = media(BIG, "video/mp4")
        yield door
        await until(lambda: door.quiet)


async def etag_of(door: Door, path: str = DOWNLOAD) -> str:
    """Return the ETag of the media, by a whole download."""
    got = await door.ask(path)
    assert got.status == 200
    return got.headers["ETag"]


def whole(got: Answer, data: bytes = BIG) -> bool:
    """Say whether it is a whole download."""
    return (got.status, got.body) == (200, data) and "Content-Range" not in got.headers


@pytest.mark.parametrize(
    ("field", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, len(BIG)),
        ("bytes=1000000-1999999", 1_000_000, 2_000_000),
        ("bytes=-1000", len(BIG) - 1000, len(BIG)),
        (f"bytes={len(BIG) - 1}-", len(BIG) - 1, len(BIG)),
        (f"bytes=0-{len(BIG)}", 0, len(BIG)),
    ],
)
async def test_a_part(kept: Door, field: str, start: int, stop: int) -> None:
    """206 with those very bytes and every header of a whole one, the first time as later on."""
    etags = set()
    for _ in range(2):
        got = await kept.ask(DOWNLOAD, headers={"Range": field})
        etags.add(got.headers["ETag"])
        assert (got.status, got.body) == (206, BIG[start:stop])
        assert got.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BIG)}"
        assert got.headers["Content-Length"] == str(stop - start)
        assert got.headers["Content-Type"] == "video/mp4"
        assert got.headers["Cache-Control"] == "private"
        assert got.headers["Content-Security-Policy"].startswith("sandbox")
        assert got.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert etags == {await etag_of(kept)}


async def test_all_parts_are_the_whole(kept: Door) -> None:
    """A player that takes it piece by piece has the file."""
    step = 700_001
    got = [
        (await kept.ask(DOWNLOAD, headers={"Range": f"bytes={at}-{at + step - 1}"})).body
        for at in range(0, len(BIG), step)
    ]
    assert b"".join(got) == BIG


@pytest.mark.parametrize("field", ["bytes=0-1,5-6", "bytes=5-4", "pages=1-2", "nonsense", "bytes=-", ""])
async def test_what_is_no_single_range_is_ignored(kept: Door, field: str) -> None:
    """Several ranges, other units, nonsense: all of it."""
    assert whole(await kept.ask(DOWNLOAD, headers={"Range": field}))


@pytest.mark.parametrize("field", [f"bytes={len(BIG)}-", "bytes=99999999999-", "bytes=-0"])
async def test_behind_the_end(kept: Door, field: str) -> None:
    """416 with our error body, and how long the media is."""
    got = await kept.ask(DOWNLOAD, headers={"Range": field})
    assert got.code == (416, "M_UNKNOWN")
    assert got.headers["Content-Range"] == f"bytes */{len(BIG)}"


async def test_if_none_match(kept: Door) -> None:
    """304 without a body for who has it, whatever else it asks for; all of it for everybody else."""
    etag = await etag_of(kept)
    for field in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        for method, more in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=0-1"})):
            got = await kept.ask(DOWNLOAD, method, headers={"If-None-Match": field, **more})
            assert (got.status, got.body) == (304, b"")
            assert got.headers["ETag"] == etag
            assert got.headers["Cache-Control"] == "private"
            assert got.headers["Access-Control-Allow-Origin"] == "*"
            assert "Content-Length" not in got.headers
            assert "Content-Type" not in got.headers
    for field in ('"x"', etag.strip('"'), "1", ""):
        assert whole(await kept.ask(DOWNLOAD, headers={"If-None-Match": field}))


async def test_a_list_of_tags_over_several_lines(kept: Door) -> None:
    """Lists may come in several header lines (RFC 9110, 5.3): all of them count."""
    etag = await etag_of(kept)
    head = f"GET /_matrix/media_proxy/unstable/{DOWNLOAD} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    lines = f'Authorization: Bearer tok\r\nIf-None-Match: "x"\r\nIf-None-Match: {etag}\r\n\r\n'
    assert (await kept.raw((head + lines).encode())).startswith(b"HTTP/1.1 304 ")


async def test_if_range(kept: Door) -> None:
    """A part for who has the rest of this very file, all of it for who has another's or can't tell."""
    etag = await etag_of(kept)
    got = await kept.ask(DOWNLOAD, headers={"Range": "bytes=5-9", "If-Range": etag})
    assert (got.status, got.body) == (206, BIG[5:10])
    for field in ('"x"', f"W/{etag}", "Wed, 21 Oct 2015 07:28:00 GMT", "nonsense"):
        assert whole(await kept.ask(DOWNLOAD, headers={"Range": "bytes=5-9", "If-Range": field}))


@pytest.mark.parametrize("field", ["bytes=0-1", "bytes=99999999999-"])
async def test_head_knows_no_ranges(kept: Door, field: str) -> None:
    """HEAD is what a GET without a range would be (RFC 9110, 14.2), without its body."""
    got = await kept.ask(DOWNLOAD, "HEAD", headers={"Range": field})
    assert (got.status, got.body) == (200, b"")
    assert got.headers["Content-Length"] == str(len(BIG))
    assert got.headers["Accept-Ranges"] == "bytes"
    assert "Content-Range" not in got.headers


@pytest.mark.parametrize("library", [0, 16 << 20])
async def test_post_knows_neither(tmp_path: Path, library: int) -> None:
    """What is posted for is sent whole: these headers are for GET and HEAD."""
    ciphertext = encrypted(BIG)
    async with opened(tmp_path, library=library, verdicts=10) as door:
        door.homeserver.otherwise = media(ciphertext)
        etag = await etag_of(door)
        for more in ({"Range": "bytes=0-1"}, {"If-None-Match": etag}, {"If-None-Match": "*"}):
            got = await door.ask("download_encrypted", "POST", body=file_of(ciphertext), headers=more)
            assert whole(got, ciphertext)
            assert "ETag" not in got.headers
            assert "Accept-Ranges" not in got.headers


async def test_scans_and_keys_know_neither(kept: Door) -> None:
    """Only media has parts and tags."""
    for path in (f"scan/{PLACE}", "public_key"):
        got = await kept.ask(path, headers={"Range": "bytes=0-1", "If-None-Match": "*"})
        assert got.status == 200
        assert got.json
        assert "ETag" not in got.headers


async def test_thumbnails_have_parts_and_tags_too(kept: Door) -> None:
    """Of their own: a download's tag says nothing about a thumbnail."""
    kept.homeserver.replies[f"{V1}/thumbnail/{PLACE}"] = media(PICTURE)
    etag = await etag_of(kept, THUMBNAIL)
    assert (await kept.ask(THUMBNAIL, headers={"If-None-Match": etag})).status == 304
    assert (await kept.ask(THUMBNAIL, headers={"Range": "bytes=1-3"})).body == PICTURE[1:4]
    other = await etag_of(kept)
    assert other != etag
    assert whole(await kept.ask(THUMBNAIL, headers={"If-None-Match": other}), PICTURE)


async def test_nothing_of_it_goes_upstream(tmp_path: Path) -> None:
    """Not even where the operator names them: a part can't be scanned, a caller's copy is not ours."""
    names = [
        "Range",
        "If-Range",
        "If-None-Match",
        "If-Modified-Since",
        "If-Match",
        "If-Unmodified-Since",
        "X-Id",
    ]
    async with opened(tmp_path, headers_to_forward=names) as door:
        door.homeserver.otherwise = media(BIG, ETag='"theirs"')
        sent = dict.fromkeys(names, '"theirs"') | {"Range": "bytes=0-1"}
        for method in ("GET", "HEAD"):
            assert (await door.ask(DOWNLOAD, method, headers=sent)).status == 200
        for received in door.homeserver.received:
            assert not CONDITIONS & {name for name, _ in received.headers}
            assert received.header("x-id") == ['"theirs"']


async def test_the_homeservers_tag_is_not_ours(tmp_path: Path) -> None:
    """Synapse's is the same for everything: it goes back to Synapse, and never to a client."""
    async with opened(tmp_path, library=16 << 20, verdicts=10, check="media") as door:
        door.homeserver.otherwise = media(BIG, ETag="1")
        etag = await etag_of(door)
        assert etag != "1"
        door.homeserver.otherwise = answer(304, headers={"ETag": "1"})
        assert whole(await door.ask(DOWNLOAD, headers={"If-None-Match": "1"}))
        got = await door.ask(DOWNLOAD, headers={"Range": "bytes=2-4", "If-None-Match": '"x"'})
        assert (got.status, got.body) == (206, BIG[2:5])
        assert (await door.ask(DOWNLOAD, headers={"If-None-Match": etag})).status == 304
        first, *later = door.homeserver.received
        assert first.header("if-none-match") == []
        assert [received.header("if-none-match") for received in later] == [["1"]] * 3


@pytest.mark.parametrize("status", [206, 304])
async def test_a_part_that_nobody_asked_for(door: Door, status: int) -> None:
    """A 206 or a 304 from the homeserver is 502, whatever the caller asked for."""
    door.homeserver.otherwise = answer(
        status, b"pa" if status == 206 else b"", {"Content-Range": "bytes 0-1/9"}
    )
    for more in ({}, {"Range": "bytes=0-1"}, {"If-None-Match": "*"}):
        got = await door.ask(DOWNLOAD, headers=more)
        assert got.code == (502, "MCS_MEDIA_REQUEST_FAILED")


@pytest.mark.parametrize("library", [0, 16 << 20])
async def test_what_is_infected_has_no_parts(tmp_path: Path, library: int) -> None:
    """Neither a tag nor a range gets past a verdict: 403, and no tag to try with."""
    engine = ScriptedEngine()
    async with opened(tmp_path, [engine], library=library, verdicts=10) as door:
        door.homeserver.otherwise = media(BIG, ETag="1")
        etag = await etag_of(door)
        engine._script, engine.release = finding(Infected("new")), "2"
        door.house.judge._memory.live._asked = float("-inf")
        if library:
            door.homeserver.otherwise = answer(304)
        for more in (
            {"If-None-Match": etag},
            {"If-None-Match": "*"},
            {"Range": "bytes=0-0"},
            {"If-Range": etag},
        ):
            for _ in range(2):
                got = await door.ask(DOWNLOAD, headers=more)
                assert got.code == (403, "MCS_MEDIA_NOT_CLEAN")
                assert "ETag" not in got.headers
        assert (await door.ask(DOWNLOAD, "HEAD", headers={"If-None-Match": etag})).status == 403


async def test_access_comes_before_conditions(tmp_path: Path) -> None:
    """Who may not have the media isn't told that its own copy is good, nor how long the media is."""
    async with opened(tmp_path, library=16 << 20, verdicts=10) as door:
        door.homeserver.otherwise = media(PICTURE)
        etag = await etag_of(door)
        door.homeserver.otherwise = error(401, "M_MISSING_TOKEN")
        for more in ({"If-None-Match": etag}, {"If-None-Match": "*"}, {"Range": "bytes=999999999-"}):
            got = await door.ask(DOWNLOAD, token=None, headers=more)
            assert got.code == (401, "M_MISSING_TOKEN")
            assert "Content-Range" not in got.headers
        assert (await door.ask(DOWNLOAD, headers={"If-None-Match": etag})).status == 304


async def test_an_empty_media_is_whole(tmp_path: Path) -> None:
    """There is no part of nothing, and it has a tag like any other."""
    async with opened(tmp_path) as door:
        door.homeserver.otherwise = media(b"")
        for field in ("bytes=0-", "bytes=0-0", "bytes=-1"):
            assert whole(await door.ask(DOWNLOAD, headers={"Range": field}), b"")
        etag = await etag_of(door)
        assert (await door.ask(DOWNLOAD, headers={"If-None-Match": etag})).status == 304


async def test_a_client_that_leaves_in_a_part(kept: Door) -> None:
    """Nothing is held for who has seen enough of a part."""
    lines = ["Host: x", "Authorization: Bearer tok", "Range: bytes=1-"]
    head = f"GET /_matrix/media_proxy/unstable/{DOWNLOAD} HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n"
    for _ in range(3):
        async with kept.connection() as (reader, writer), asyncio.timeout(10):
            writer.write(head.encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 206 ")
        await until(lambda: kept.quiet)
