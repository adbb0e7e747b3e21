"""Stored copies open no door: who gets one, when the homeserver is asked, and what is kept."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from ostiary.engines.interface import Sample
from ostiary.errors import HomeserverError, HomeserverRefusalError
from ostiary.model import Clean, Finding, Infected, MediaRef, MediaRequest, Thumbnail
from ostiary.policy import Rules
from tests.flow.fakes import ScriptedEngine, finding, settled
from tests.flow.samples import LARGE, SMALL, request
from tests.flow.shop import (
    BAD,
    GOOD,
    GUEST,
    MALWARE,
    OTHER,
    REVALIDATE,
    TTL,
    Check,
    Server,
    Shop,
    house_empty,
    reads,
)

# check, copy, caller: served without a question about the media, or (what is asked, what comes of it)
STORED, ASKED, UNKNOWN = "from the copy", "the media itself is asked for", "401 without a question"
ACCESS: Final = [
    ("token", "public", None, STORED),
    ("token", "public", GOOD, STORED),
    ("token", "public", BAD, UNKNOWN),
    ("token", "public", GUEST, ASKED),
    ("token", "token", None, ASKED),
    ("token", "token", OTHER, STORED),
    ("token", "token", BAD, UNKNOWN),
    ("token", "token", GUEST, ASKED),
    *(("media", copy, who, ASKED) for copy in ("public", "token") for who in (None, GOOD, BAD, GUEST)),
    *(("none", copy, who, STORED) for copy in ("public", "token") for who in (None, GOOD, BAD, GUEST)),
]


@pytest.mark.parametrize(("check", "copy", "caller", "how"), ACCESS)
@pytest.mark.parametrize("guests", [True, False])
async def test_who_may_have_which_copy(
    tmp_path: Path, check: Check, copy: str, caller: str | None, how: str, *, guests: bool
) -> None:
    """Every caller for every copy, after the homeserver has closed its doors to callers without a token."""
    server = Server({"id": SMALL}, public=copy == "public")
    with Shop(tmp_path, server, check=check) as house:
        assert await house.got(request(token=None if copy == "public" else GOOD)) == SMALL
        server.public, server.guests = False, guests
        server.forget()
        wanted = request(token=caller)
        got = await house.got(wanted)
    if how == STORED:
        assert (got, server.asked) == (SMALL, [])
    elif how == UNKNOWN:
        assert (got, server.asked) == (401, [])
    else:
        refusal = server.refusal(wanted)
        assert got == (SMALL if refusal is None else refusal.status)  # type: ignore[attr-defined]
        hidden = copy == "token" and caller is None and check != "none"
        assert server.asked == [(caller, None if hidden else "1")]
        assert server.bodies == 0
    assert len(server.tokens) == (check == "token" and caller is not None)


@pytest.mark.parametrize("who", [GOOD, OTHER, GUEST, BAD, None])
@pytest.mark.parametrize("leader", [GOOD, GUEST, None])
@pytest.mark.parametrize("check", ["token", "media", "none"])
async def test_who_may_share_a_run(tmp_path: Path, check: Check, leader: str | None, who: str | None) -> None:
    """While another's run is under way, everybody gets what the homeserver would have said to them."""
    server = Server({"id": SMALL}, public=leader is None, guests=True)
    gate = asyncio.Event()

    async def wait(_: Sample) -> object:
        await gate.wait()
        return Clean()

    engine = ScriptedEngine(wait)
    with Shop(tmp_path, server, [engine], check=check, library=0) as house:
        loop = asyncio.get_running_loop()
        first = loop.create_task(house.gateway.media(request(token=leader)).__aenter__())
        await engine.arrived.wait()
        server.public, server.guests = False, False
        server.forget()
        second = loop.create_task(house.gateway.media(request(token=who)).__aenter__())
        await settled(50)
        gate.set()
        await asyncio.wait([first, second])
        expected = server.refusal(request(token=who))
        joins = (leader is None) == (who is None) and (
            check == "none" or (check == "token" and (who is None or who in {GOOD, OTHER}))
        )
        assert (server.asked == []) == (joins or (check == "token" and who == BAD and leader is not None))
        if joins or expected is None:
            assert second.result().media is not None
            assert second.result().media.blob.sha256 == first.result().media.blob.sha256  # type: ignore[union-attr]
            assert second.result().known
        else:
            error = second.exception()
            assert isinstance(error, HomeserverRefusalError)
            assert error.status == expected.status  # type: ignore[attr-defined]
    for task in (first, second):
        del task
    await house_empty(house)


@pytest.mark.parametrize("refusal", [401, 403, 404, 429])
async def test_what_is_tied_to_a_leader_is_not_shared(tmp_path: Path, refusal: int) -> None:
    """A follower of one who was refused asks with its own token, and is served by that."""

    class Picky(Server):
        def refusal(self, wanted: MediaRequest) -> Exception | None:
            return HomeserverRefusalError(refusal, "M_X", "") if wanted.token == GOOD else None

    server = Picky({"id": SMALL})
    with Shop(tmp_path, server) as house:
        wanted = [request(token=GOOD), request(token=OTHER), request(token=OTHER)]
        assert await asyncio.gather(*map(house.got, wanted[:1])) == [refusal]
        results = await asyncio.gather(
            *(house.gateway.media(one).__aenter__() for one in wanted), return_exceptions=True
        )
        assert isinstance(results[0], HomeserverRefusalError)
        assert [isinstance(one, BaseException) for one in results[1:]] == [False, False]
    await house_empty(house)


async def test_a_second_caller_costs_no_body(tmp_path: Path) -> None:
    """One body and one inspection, then the copy, whoever of the homeserver's users asks."""
    engine, server = ScriptedEngine(), Server({"id": LARGE})
    with Shop(tmp_path, server, [engine]) as house:
        for token in (GOOD, OTHER, GOOD):
            assert await house.got(request(token=token)) == LARGE
        value = house.metrics.registry.get_sample_value
        assert value("content_scanner_scans_total", {"result": "clean"}) == 3
        assert value("content_scanner_cache_hits_total") == 2
    assert server.asked == [(GOOD, None)]
    assert len(engine.seen) == 1


async def test_a_logout_counts_within_the_time(tmp_path: Path) -> None:
    """Whoever is logged out has nothing after `access.ttl`, however fresh the copy is."""
    server = Server({"id": SMALL})
    with Shop(tmp_path, server) as house:
        assert [await house.got(request(token=token)) for token in (GOOD, OTHER)] == [SMALL] * 2
        del server.users[OTHER]
        house.clock.now += TTL
        assert await house.got(request(token=OTHER)) == 401
        assert await house.got(request(token=GOOD)) == SMALL
    assert server.bodies == 1


AFTER: Final = [
    (None, SMALL),
    (HomeserverRefusalError(401, "M_UNKNOWN_TOKEN", ""), 401),
    (HomeserverRefusalError(403, "M_FORBIDDEN", ""), 403),
    (HomeserverRefusalError(404, "M_NOT_FOUND", ""), 404),
    (HomeserverRefusalError(429, "M_LIMIT_EXCEEDED", ""), 429),
    (HomeserverRefusalError(500, "M_UNKNOWN", ""), 500),
    (HomeserverRefusalError(503, "M_UNKNOWN", ""), 503),
    (HomeserverError("down"), "HomeserverError"),
]


@pytest.mark.parametrize(("fault", "expected"), AFTER, ids=str)
async def test_a_copy_follows_the_homeserver(
    tmp_path: Path, fault: Exception | None, expected: object
) -> None:
    """After `library.revalidate` the homeserver is asked, and what it says is what the caller gets."""
    server = Server({"id": SMALL})
    with Shop(tmp_path, server) as house:
        assert await house.got(request(token=GOOD)) == SMALL
        server.fault = fault
        house.clock.now += REVALIDATE - 0.001
        assert await house.got(request(token=GOOD)) == SMALL
        server.forget()
        house.clock.now += 0.001
        assert await house.got(request(token=GOOD)) == expected
        assert server.asked == [(GOOD, "1")]
        assert len(house.library) == (expected != 404)
        server.fault = None
        assert await house.got(request(token=GOOD)) == SMALL  # nobody was refused for good
    assert server.bodies == (expected == 404)
    assert len(server.asked) == 1 + (expected != SMALL)


async def test_one_answer_counts_for_all_for_a_while(tmp_path: Path) -> None:
    """Whose question it was, the copy is young again for everybody."""
    server = Server({"id": SMALL})
    with Shop(tmp_path, server) as house:
        assert await house.got(request(token=GOOD)) == SMALL
        for _ in range(2):
            house.clock.now += REVALIDATE
            assert await house.got(request(token=OTHER)) == SMALL
            assert await house.got(request(token=GOOD)) == SMALL
    assert server.asked == [(GOOD, None), (OTHER, "1"), (OTHER, "1")]


@pytest.mark.parametrize("etags", [True, False])
async def test_not_found_evicts_every_copy_of_those_bytes(tmp_path: Path, *, etags: bool) -> None:
    """A quarantine goes by content: copies under other IDs and as other variants go, other bytes stay."""
    server = Server(dict.fromkeys(("id", "twin", "thumbnailed"), SMALL) | {"innocent": LARGE}, etags=etags)
    small = MediaRequest(MediaRef("example.org", "thumbnailed"), Thumbnail(1, 1), token=GOOD)
    with Shop(tmp_path, server) as house:
        for name in server.files:
            await house.got(request(media_id=name, token=GOOD))
        await house.got(small)
        assert len(house.library) == 5
        house.clock.now += REVALIDATE
        del server.files["id"]
        assert await house.got(request(token=GOOD)) == 404
        assert len(house.library) == 1
        server.fault = HomeserverRefusalError(404, "M_NOT_FOUND", "")
        assert await house.got(small) == 404


async def test_not_found_to_a_stranger_evicts_nothing(tmp_path: Path) -> None:
    """Who may not have the copy can't have it let go either: without a token everything may be a 404."""
    server = Server({"id": SMALL})
    with Shop(tmp_path, server) as house:
        assert await house.got(request(token=GOOD)) == SMALL
        server.fault = HomeserverRefusalError(404, "M_NOT_FOUND", "")
        assert await house.got(request(token=None)) == 404
        server.fault = None
        assert await house.got(request(token=GOOD)) == SMALL
    assert server.bodies == 1


async def test_a_copy_is_as_public_as_the_last_answer(tmp_path: Path) -> None:
    """What once came without a token and was confirmed to a token is no longer for those without."""
    server = Server({"id": SMALL}, public=True)
    with Shop(tmp_path, server) as house:
        assert await house.got(request(token=None)) == SMALL
        server.public = False
        assert await house.got(request(token=None)) == SMALL
        house.clock.now += REVALIDATE
        assert await house.got(request(token=None)) == 401
        assert await house.got(request(token=GOOD)) == SMALL
        assert await house.got(request(token=None)) == 401
        server.public = True
        house.clock.now += REVALIDATE
        assert await house.got(request(token=None)) == SMALL


async def test_the_age_of_a_copy_counts_from_the_homeservers_answer(tmp_path: Path) -> None:
    """However long the scan took: what was deleted meanwhile is gone after `revalidate`, not later."""
    server = Server({"id": SMALL})

    async def slow(_: Sample) -> object:
        house.clock.now += 100
        return Clean()

    with Shop(tmp_path, server, [ScriptedEngine(slow)]) as house:
        assert await house.got(request(token=GOOD)) == SMALL
        server.files.clear()
        house.clock.now += REVALIDATE - 100
        assert await house.got(request(token=GOOD)) == 404


async def test_new_signatures_inspect_the_stored_bytes(tmp_path: Path) -> None:
    """Old evidence is stale, the copy is not: it is inspected again, and no second body comes."""
    engine, server = ScriptedEngine(), Server({"id": LARGE})
    with Shop(tmp_path, server, [engine]) as house:
        for _ in range(2):
            assert await house.got(request(token=GOOD)) == LARGE
        house.new_signatures(engine)
        engine._script = finding(Infected("new"))
        for _ in range(2):
            assert await house.got(request(token=OTHER)) == "new"
    assert [data for data, _ in engine.seen] == [LARGE, LARGE]
    assert server.bodies == 1
    assert server.asked == [(GOOD, None), (OTHER, "1")]


@pytest.mark.parametrize("word", [Infected("x"), None])
@pytest.mark.parametrize("observe", [True, False])
async def test_only_what_is_clean_is_kept(tmp_path: Path, word: Finding | None, *, observe: bool) -> None:
    """Nothing that was refused, or would have been, and nothing unscanned, is stored."""
    server = Server({"id": SMALL})
    with Shop(tmp_path, server, [ScriptedEngine(finding(word))], rules=Rules(observe=observe)) as house:
        assert (await house.got(request(token=GOOD)) == SMALL) == observe
        assert len(house.library) == 0


@pytest.mark.parametrize("fits", [True, False])
async def test_larger_files_are_not_kept(tmp_path: Path, *, fits: bool) -> None:
    """`result_cache.max_file_size` is exact; a file over it is served, and fetched the next time too."""
    server = Server({"id": SMALL})
    with Shop(tmp_path, server) as house:
        house.library.largest = len(SMALL) - (not fits)
        for _ in range(2):
            assert await house.got(request(token=GOOD)) == SMALL
    assert server.bodies == (1 if fits else 2)


async def test_without_a_library_verdicts_still_count(tmp_path: Path) -> None:
    """`library.memory: 0`: every caller gets a body of its own, which is inspected once."""
    engine, server = ScriptedEngine(), Server({"id": SMALL, "twin": SMALL})
    with Shop(tmp_path, server, [engine], library=0) as house:
        for media_id in ("id", "id", "twin"):
            assert await house.got(request(media_id=media_id, token=GOOD)) == SMALL
    assert (server.bodies, len(engine.seen)) == (3, 1)


async def test_variants_are_stored_apart(tmp_path: Path) -> None:
    """A thumbnail is no download, and one size, method or animation is not another."""
    server = Server({"id": SMALL})
    variants = [
        None,
        Thumbnail(1, 1),
        Thumbnail(1, 2),
        Thumbnail(1, 1, animated=True),
        Thumbnail(1, 1, animated=False),
    ]
    with Shop(tmp_path, server) as house:
        for _ in range(2):
            for variant in variants:
                wanted = MediaRequest(MediaRef("example.org", "id"), variant, token=GOOD)
                assert await house.got(wanted) == SMALL
        elsewhere = MediaRequest(MediaRef("elsewhere.org", "id"), token=GOOD)
        assert await house.got(elsewhere) == SMALL
    assert server.bodies == len(variants) + 1


async def test_other_bytes_under_one_id(tmp_path: Path) -> None:
    """A homeserver without ETags that gives other bytes later has those judged and stored."""
    engine, server = ScriptedEngine(reads), Server({"id": SMALL}, etags=False)
    with Shop(tmp_path, server, [engine]) as house:
        assert await house.got(request(token=GOOD)) == SMALL
        server.files["id"] = MALWARE
        house.clock.now += REVALIDATE
        for _ in range(2):
            assert await house.got(request(token=GOOD)) == "malware"
        server.files["id"] = LARGE
        assert await house.got(request(token=GOOD)) == LARGE
        assert await house.got(request(token=OTHER)) == LARGE


async def test_verdicts_are_not_shared_by_media_id(tmp_path: Path) -> None:
    """What is known belongs to bytes: the same media ID elsewhere, or other bytes, are inspected."""
    engine, server = (
        ScriptedEngine(reads),
        Server({"id": SMALL, "bad": MALWARE, "twin": SMALL, "evil twin": MALWARE}),
    )
    with Shop(tmp_path, server, [engine]) as house:
        results = [await house.got(request(media_id=name, token=GOOD)) for name in server.files]
        assert results == [SMALL, "malware", SMALL, "malware"]
        assert house.metrics.registry.get_sample_value("content_scanner_cache_hits_total") == 2
        assert house.metrics.registry.get_sample_value("content_scanner_infected_total") == 1
    assert len(engine.seen) == 2
