"""Who may have what the homeserver gave to others: asked of the homeserver, and remembered for a while."""

import asyncio
import gc
import itertools
from types import FrameType
from typing import Literal

import pytest

from ostiary import access as module
from ostiary.access import Access
from ostiary.errors import HomeserverError, HomeserverRefusalError
from ostiary.model import Forwarded, Identity, MediaRequest
from tests.flow.fakes import Clock
from tests.flow.samples import REF

ALICE = Identity("@alice:example.org")
GUEST = Identity("@1:example.org", guest=True)
GOOD, VISITING, BAD = "good-token", "guest-token", "bad-token"
TTL = 60.0
Check = Literal["token", "media", "none"]


class Whoami:
    """A homeserver's whoami: `users` by token, `fault` for everybody, `gate` to keep it waiting."""

    def __init__(self) -> None:
        self.users = {GOOD: ALICE, VISITING: GUEST}
        self.fault: Exception | None = None
        self.asked: list[tuple[str, Forwarded]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, token: str, forwarded: Forwarded) -> Identity:
        """Say whose token it is."""
        self.asked.append((token, forwarded))
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        if token not in self.users:
            raise HomeserverRefusalError(401, "M_UNKNOWN_TOKEN", "who?", soft_logout=True)
        return self.users[token]


class Desk:
    """An Access with its homeserver and its clock."""

    def __init__(self, check: Check = "token", ttl: float = TTL) -> None:
        self.whoami, self.clock = Whoami(), Clock()
        self.access = Access(self.whoami, check, ttl, self.clock)

    async def vouches(self, token: str | None, forwarded: Forwarded = ()) -> bool | int:
        """Return the answer, or the status of the refusal."""
        try:
            return await self.access.vouches(MediaRequest(REF, token=token, forwarded=forwarded))
        except HomeserverRefusalError as refusal:
            return refusal.status


@pytest.mark.parametrize(
    ("check", "token", "answer", "asked"),
    [
        ("token", GOOD, True, 1),
        ("token", BAD, 401, 1),
        ("token", VISITING, False, 1),
        ("token", None, True, 0),
        ("media", GOOD, False, 0),
        ("media", BAD, False, 0),
        ("media", VISITING, False, 0),
        ("media", None, False, 0),
        ("none", GOOD, True, 0),
        ("none", BAD, True, 0),
        ("none", VISITING, True, 0),
        ("none", None, True, 0),
    ],
)
async def test_who_is_vouched_for(check: Check, token: str | None, answer: object, asked: int) -> None:
    """`token` asks whoami, never for guests' sake; `media` leaves it to the media; `none` asks nobody."""
    desk = Desk(check)
    assert await desk.vouches(token) == answer
    assert len(desk.whoami.asked) == asked


@pytest.mark.parametrize("check", ["token", "media", "none"])
@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("token", [GOOD, None])
def test_whose_copy_it_is(check: Check, token: str | None, *, public: bool) -> None:
    """Without a token never a copy that came with one, unless nobody is checked."""
    opens = Desk(check).access.opens(MediaRequest(REF, token=token), public=public)
    assert opens == (public or token is not None or check == "none")


@pytest.mark.parametrize("token", [GOOD, BAD, VISITING])
async def test_an_answer_counts_for_its_time_and_no_longer(token: str) -> None:
    """Good and bad answers alike are asked for once in `ttl` seconds, counted from the question."""
    desk = Desk()
    first = await desk.vouches(token)
    for later, asked in ((0.0, 1), (TTL - 0.001, 1), (0.001, 2), (TTL, 3)):
        desk.clock.now += later
        assert await desk.vouches(token) == first
        assert len(desk.whoami.asked) == asked


async def test_time_runs_from_the_question() -> None:
    """A slow answer is no younger for it: what it says was so when it was asked."""
    desk = Desk()
    desk.whoami.gate.clear()
    task = asyncio.get_running_loop().create_task(desk.vouches(GOOD))
    await asyncio.sleep(0)
    desk.clock.now += TTL
    desk.whoami.gate.set()
    assert await task is True
    assert await desk.vouches(GOOD) is True
    assert len(desk.whoami.asked) == 2


async def test_a_logout_takes_effect_within_the_time() -> None:
    """Whoever logged out has nothing after `ttl`; who logs in again has it after `ttl`."""
    desk = Desk()
    assert await desk.vouches(GOOD) is True
    del desk.whoami.users[GOOD]
    desk.clock.now += TTL
    assert await desk.vouches(GOOD) == 401
    desk.whoami.users[GOOD] = ALICE
    desk.clock.now += TTL
    assert await desk.vouches(GOOD) is True


async def test_nothing_is_remembered_with_no_time() -> None:
    """`ttl: 0` asks every time, so a logout counts at once."""
    desk = Desk(ttl=0)
    assert await desk.vouches(GOOD) is True
    del desk.whoami.users[GOOD]
    assert await desk.vouches(GOOD) == 401
    assert len(desk.whoami.asked) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 502])
async def test_only_401_is_an_answer_about_a_token(status: int) -> None:
    """Other refusals are the moment's: they are heard, and not remembered."""
    desk = Desk()
    desk.whoami.fault = HomeserverRefusalError(status, "M_UNKNOWN", "no")
    assert await desk.vouches(GOOD) == status
    desk.whoami.fault = None
    assert await desk.vouches(GOOD) is True
    assert len(desk.whoami.asked) == 2


async def test_a_homeserver_that_is_down_vouches_for_nobody() -> None:
    """An error is an error for as long as it lasts, and what was remembered counts meanwhile."""
    desk = Desk()
    assert await desk.vouches(GOOD) is True
    desk.whoami.fault = HomeserverError("down")
    assert await desk.vouches(GOOD) is True
    desk.clock.now += TTL
    for token in (GOOD, BAD):
        with pytest.raises(HomeserverError):
            await desk.vouches(token)


async def test_a_refusal_is_the_same_each_time() -> None:
    """What the homeserver said of a bad token (soft_logout) reaches everybody who shows it."""
    desk = Desk()
    for _ in range(3):
        with pytest.raises(HomeserverRefusalError) as failure:
            await desk.access.identity(BAD)
        assert (failure.value.status, failure.value.errcode) == (401, "M_UNKNOWN_TOKEN")
        assert (failure.value.error, failure.value.soft_logout) == ("who?", True)
    assert len(desk.whoami.asked) == 1


@pytest.mark.parametrize("token", [GOOD, BAD])
async def test_one_question_about_a_token_at_a_time(token: str) -> None:
    """Fifty requests at once are one question about their token, and one more about another's."""
    desk = Desk()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(desk.vouches(token)) for _ in range(50)]
        other = group.create_task(desk.vouches(VISITING))
    assert {task.result() for task in tasks} == {True if token == GOOD else 401}
    assert other.result() is False
    assert [asked for asked, _ in desk.whoami.asked] == [token, VISITING]


async def test_a_failed_question_is_asked_once_for_all_who_wait() -> None:
    """With the homeserver hanging, nobody waits for the time-outs of those before, one after another."""
    desk = Desk()
    desk.whoami.fault = HomeserverError("too slow")
    tasks = [asyncio.get_running_loop().create_task(desk.vouches(GOOD)) for _ in range(20)]
    await asyncio.wait(tasks)
    assert all(isinstance(task.exception(), HomeserverError) for task in tasks)
    assert len(desk.whoami.asked) == 1
    desk.whoami.fault = None
    assert await desk.vouches(GOOD) is True


async def test_whoever_asks_may_go_away() -> None:
    """A caller that goes while it asks leaves the question to the next."""
    desk = Desk()
    desk.whoami.gate.clear()
    loop = asyncio.get_running_loop()
    first, second = (loop.create_task(desk.vouches(GOOD)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    desk.whoami.gate.set()
    assert await second is True
    assert len(desk.whoami.asked) == 2


async def test_forwarded_headers_are_part_of_the_question() -> None:
    """A homeserver may treat one token differently by address: each set of headers is asked about."""
    desk = Desk()
    headers: list[Forwarded] = [
        (),
        (("X-Forwarded-For", "192.0.2.1"),),
        (("X-Forwarded-For", "192.0.2.2"),),
        (("X-Forwarded-For192.0.2.", "1"),),
        (("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Host", "")),
        (("", "X-Forwarded-For192.0.2.1"),),
    ]
    for _ in range(2):
        for forwarded in headers:
            assert await desk.vouches(GOOD, forwarded) is True
    assert desk.whoami.asked == [(GOOD, forwarded) for forwarded in headers]


async def test_a_token_can_not_be_taken_for_another_with_headers() -> None:
    """However token and headers are cut, they are another question."""
    desk = Desk()
    parts = ["a", "b", "ab", ""]
    questions = {(token, ((name, value),)) for token, name, value in itertools.product(parts, repeat=3)}
    assert len({desk.access._index(*question) for question in questions}) == len(questions)


async def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of tokens pushes out other tokens, never the bound; who comes often stays known."""
    monkeypatch.setattr(module, "TOKENS", 10)
    desk = Desk()
    assert [await desk.vouches(GOOD) for _ in range(2)] == [True, True]
    for number in range(100):
        assert await desk.vouches(f"junk-{number}") == 401
        assert len(desk.access._answers) <= 10
    asked = len(desk.whoami.asked)
    assert await desk.vouches(GOOD) is True
    assert len(desk.whoami.asked) == asked == 101


async def test_tokens_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer that is remembered leads back to a token: no text, and no frame of who asked."""
    desk = Desk()
    for token in (GOOD, BAD, VISITING):
        for _ in range(2):
            await desk.vouches(token)
    gc.collect()
    seen: set[int] = set()
    todo: list[object] = [desk.access._answers, desk.access._once]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type):
            continue
        seen.add(id(thing))
        assert not isinstance(thing, FrameType), f"a frame of {thing.f_code.co_qualname}"
        assert thing not in (GOOD, BAD, VISITING)
        todo += gc.get_referents(thing)
    assert len(seen) > 10
