"""What a server tells of its verdicts, what it keeps to itself, and what it forgets."""

import hashlib
from pathlib import Path
from typing import Final

import pytest

from ostiary.blocking import run_blocking
from ostiary.control.client import ask
from ostiary.control.protocol import ControlError, format_answer
from ostiary.control.targets import KeyedDigest
from ostiary.control.verdict_messages import (
    FORGET,
    LIST,
    SHOW,
    ForgetArguments,
    Forgotten,
    ListArguments,
    Listing,
    Shown,
    TargetArguments,
)
from ostiary.control.verdicts import VerdictDesk
from ostiary.digests import Digests
from ostiary.errors import MalformedMediaError, MalformedRequestError
from ostiary.library.interface import StoredCopy
from ostiary.library.memory import MemoryLibrary
from ostiary.model import (
    Cause,
    Clean,
    Declared,
    Evidence,
    Forbidden,
    Infected,
    MediaRef,
    Report,
    Result,
    Unscannable,
    Verdict,
)
from ostiary.policy import Rules, judge
from ostiary.verdicts.memory import MemoryVerdicts
from tests.control.desks import listening
from tests.flow.fakes import Clock

REF: Final = MediaRef("example.org", "abc")
FILE: Final = b"a file"
SHA256: Final = hashlib.sha256(FILE).digest()
SHA256_TARGET: Final = f"sha256:{SHA256.hex()}"
CLEAN: Final = Report("clamd", Clean(), version="ClamAV 1")
INFECTED: Final = Report("clamd", Infected("Eicar"), version="ClamAV 1")
TYPE: Final = "image/x-tell-tale"
EMBEDDED: Final = "application/x-inside"


class Desk:
    """A desk with real parts; `stale` holds versions that no engine has any more."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.clock = Clock()
        self.store = MemoryVerdicts(10_000, self.clock)
        self.digests = Digests(bytes(32))
        self.library = MemoryLibrary(1 << 20, 1 << 16)
        self.stale: set[str] = set()
        self.steps: list[str] = []
        self.rules = rules or Rules()
        self.desk = VerdictDesk(
            store=self.store,
            digests=self.digests,
            library=self.library,
            judge=self._judge,
            counts=self._counts,
            forget_all=self._forget_all,
            clock=self.clock,
        )

    def _judge(self, evidence: Evidence) -> Verdict:
        return judge(evidence.reports, evidence.detected_type, Declared(), self.rules)

    async def _counts(self, evidence: Evidence) -> bool:
        return not any(report.version in self.stale for report in evidence.reports)

    async def _forget_all(self) -> None:
        self.steps.append(f"epoch moved, {len(self.store)} held")

    async def put(self, index: bytes, *reports: Report, made: float | None = None) -> Evidence:
        """Remember what was found, with a tell-tale type."""
        evidence = Evidence(reports, TYPE, self.clock.now if made is None else made, (EMBEDDED,))
        await self.store.put(index, evidence, 600)
        return evidence

    def copy(self, data: bytes = FILE) -> None:
        """Hold a stored copy of the media."""
        digest = hashlib.sha256(data).digest()
        self.library.put((REF, None), StoredCopy(data, digest, None, None, None, False, 1.0))


@pytest.fixture
def desk() -> Desk:
    """Return one that knows nothing yet."""
    return Desk()


def number(value: int) -> bytes:
    """Return an index."""
    return value.to_bytes(32, "big")


async def test_a_summary(desk: Desk) -> None:
    """Digest, verdict and why, whether it counts, age and time left, and who made it."""
    await desk.put(number(5), INFECTED, Report("yara", Clean(), version="y1"), made=desk.clock.now - 100)
    (one,) = (await desk.desk.list(ListArguments())).entries
    assert one.digest == f"enc:{number(5).hex()}"
    assert (one.result, one.engine, one.name, one.served) == (Result.INFECTED, "clamd", "Eicar", False)
    assert one.counts
    assert (one.age, one.left) == (100, 500)
    assert one.versions == {"clamd": "ClamAV 1", "yara": "y1"}
    desk.stale.add("y1")
    (one,) = (await desk.desk.list(ListArguments())).entries
    assert not one.counts


@pytest.mark.parametrize(
    ("report", "rules", "result", "name", "served"),
    [
        (CLEAN, Rules(), Result.CLEAN, None, True),
        (Report("yara", Forbidden("r"), version="1"), Rules(), Result.FORBIDDEN, "r", False),
        (CLEAN, Rules(allowed_types=("text/plain",)), Result.FORBIDDEN, "file type", False),
        (Report("e", Unscannable(Cause.LIMIT, "d")), Rules(), Result.UNSCANNABLE, "limit", False),
        (
            Report("e", Unscannable(Cause.LIMIT, "d")),
            Rules(serve=frozenset({Cause.LIMIT})),
            Result.UNSCANNABLE,
            "limit",
            True,
        ),
        (Report("e", Unscannable(Cause.TIMEOUT, "d")), Rules(), Result.ERROR, "timeout", False),
    ],
)
async def test_the_verdict_is_todays(
    report: Report,
    rules: Rules,
    result: Result,
    name: str | None,
    served: bool,  # noqa: FBT001
) -> None:
    """Made by the rules of now from what was found, as for any request that declares nothing."""
    desk = Desk(rules)
    await desk.put(number(1), report)
    (one,) = (await desk.desk.list(ListArguments())).entries
    assert (one.result, one.name, one.served) == (result, name, served)


async def test_keyed_digests_tell_no_type() -> None:
    """Not in a list, not when shown, not where the type is why it is refused: it may have come encrypted."""
    for rules in (Rules(), Rules(blocked_types=(TYPE,))):
        desk = Desk(rules)
        index = desk.digests.content(SHA256)
        await desk.put(index, CLEAN)
        said = (await desk.desk.list(ListArguments())).model_dump_json()
        said += (await desk.desk.show(TargetArguments(target=str(KeyedDigest(index))))).model_dump_json()
        assert TYPE not in said
        assert EMBEDDED not in said


async def test_who_has_the_file_hears_its_type(desk: Desk) -> None:
    """By its digest, or by the stored copy."""
    await desk.put(desk.digests.content(SHA256), CLEAN)
    desk.copy()
    for target in (SHA256_TARGET, str(REF)):
        shown = await desk.desk.show(TargetArguments(target=target))
        assert (shown.type, shown.embedded) == (TYPE, (EMBEDDED,))


async def test_every_report_is_shown(desk: Desk) -> None:
    """Engine, finding, name, detail, version, weight, and for how long it counts."""
    await desk.put(
        number(1),
        INFECTED,
        Report("yara", Clean(), required=False, shadow=True, version="y", keep=60),
        Report("icap", Unscannable(Cause.ERROR, "it is away")),
    )
    shown = await desk.desk.show(TargetArguments(target=f"enc:{number(1).hex()}"))
    assert shown.summary is not None
    assert shown.summary.left == 600
    clamd, yara, icap = shown.words
    assert (clamd.engine, clamd.finding, clamd.name, clamd.version) == (
        "clamd",
        "infected",
        "Eicar",
        "ClamAV 1",
    )
    assert (clamd.required, clamd.shadow, clamd.keep, clamd.detail) == (True, False, None, None)
    assert (yara.finding, yara.name, yara.required, yara.shadow, yara.keep) == (
        "clean",
        None,
        False,
        True,
        60,
    )
    assert (icap.finding, icap.name, icap.detail, icap.version) == ("unscannable", "error", "it is away", "")


async def test_an_engines_odd_words(desk: Desk) -> None:
    """A name that is no Unicode text hides neither its entry nor the others."""
    odd = "half \ud83d"
    await desk.put(number(1), Report("clamd", Infected(odd), version=odd))
    await desk.put(number(2), Report("clamd", Unscannable(Cause.LIMIT, odd)))
    listing = await desk.desk.list(ListArguments())
    assert [one.name for one in listing.entries] == ["half \\ud83d", "limit"]
    shown = await desk.desk.show(TargetArguments(target=f"enc:{number(2).hex()}"))
    assert shown.words[0].detail == "half \\ud83d"
    format_answer(listing)
    format_answer(shown)


async def test_nothing_known(desk: Desk) -> None:
    """Each kind of target says why; a stored copy that is ciphertext is explained."""
    for target, why in (
        (f"enc:{number(1).hex()}", "nothing is known"),
        (SHA256_TARGET, "nothing is known"),
        (str(REF), "no stored copy"),
    ):
        shown = await desk.desk.show(TargetArguments(target=target))
        assert shown.summary is None
        assert why in (shown.why or "")
        gone = await desk.desk.forget(ForgetArguments(target=target))
        assert gone.count == 0
        assert why in (gone.why or "")
    desk.copy()
    assert "encrypted attachment" in ((await desk.desk.show(TargetArguments(target=str(REF)))).why or "")


async def test_pages_hold_everything(desk: Desk) -> None:
    """Page after page each entry comes, and `result` lets only its own through, with pages that hold none."""
    for value in range(10):
        await desk.put(number(value), INFECTED if value == 7 else CLEAN)
    found: list[str] = []
    after, pages = None, 0
    while True:
        page = await desk.desk.list(ListArguments(limit=2, after=after, result=Result.INFECTED))
        found += [one.digest for one in page.entries]
        pages += 1
        after = page.after
        if after is None:
            break
    assert found == [f"enc:{number(7).hex()}"]
    assert pages >= 5


async def test_one_is_forgotten_with_its_twins(desk: Desk) -> None:
    """What the same inspection found goes under all its digests; what another found stays."""
    content = desk.digests.content(SHA256)
    evidence = await desk.put(content, CLEAN)
    for value in range(3):
        await desk.store.put(desk.digests.attachment(number(value), bytes(32), bytes(16)), evidence, 600)
    await desk.put(number(1), CLEAN, made=desk.clock.now - 1)
    gone = await desk.desk.forget(ForgetArguments(target=SHA256_TARGET))
    assert (gone.count, gone.why) == (4, None)
    assert [one.digest for one in (await desk.desk.list(ListArguments())).entries] == [
        f"enc:{number(1).hex()}"
    ]


async def test_twins_are_found_beyond_a_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many entries lie between."""
    monkeypatch.setattr("ostiary.control.verdicts._SWEEP", 3)
    evidence = await desk.put(number(0), CLEAN)
    for value in range(1, 50):
        await desk.put(number(value), CLEAN, made=desk.clock.now - value)
    await desk.store.put(number(50), evidence, 600)
    assert (await desk.desk.forget(ForgetArguments(target=f"enc:{number(50).hex()}"))).count == 2
    assert len(desk.store) == 49


async def test_a_stored_copy_is_forgotten_by_its_uri(desk: Desk) -> None:
    """Its verdict goes, the copy stays: it is inspected again before it is served."""
    desk.copy()
    await desk.put(desk.digests.content(SHA256), CLEAN)
    assert (await desk.desk.forget(ForgetArguments(target=str(REF)))).count == 1
    assert desk.library.get((REF, None)) is not None
    assert (await desk.desk.show(TargetArguments(target=str(REF)))).summary is None


async def test_the_epoch_moves_before_all_is_forgotten(desk: Desk) -> None:
    """In the other order an inspection could put an old verdict in between."""
    for value in range(3):
        await desk.put(number(value), CLEAN)
    assert (await desk.desk.forget(ForgetArguments(target=None))).count == 3
    assert desk.steps == ["epoch moved, 3 held"]
    assert len(desk.store) == 0


async def test_a_target_that_makes_no_sense(desk: Desk) -> None:
    """It is an error, and nothing is forgotten."""
    await desk.put(number(1), CLEAN)
    for target, error in (
        ("", MalformedRequestError),
        ("all", MalformedRequestError),
        ("mxc://a", MalformedMediaError),
    ):
        with pytest.raises(error):
            await desk.desk.forget(ForgetArguments(target=target))
        with pytest.raises(error):
            await desk.desk.show(TargetArguments(target=target))
    assert len(desk.store) == 1


async def test_all_of_it_over_the_socket(desk: Desk, tmp_path: Path) -> None:
    """The words survive the way; hostile cursors and limits are refused."""
    path = tmp_path / "s"
    await desk.put(desk.digests.content(SHA256), INFECTED, Report("y", Clean(), keep=5, version="\u00fc"))
    async with listening(path, desk.desk.actions):
        listing = await run_blocking(ask, path, LIST, ListArguments(result=Result.INFECTED), Listing)
        assert listing == await desk.desk.list(ListArguments())
        target = TargetArguments(target=SHA256_TARGET)
        assert await run_blocking(ask, path, SHOW, target, Shown) == await desk.desk.show(target)
        for after in ("x", "00", "\u0661", "0" * 62):
            with pytest.raises(ControlError, match="no page"):
                await run_blocking(ask, path, LIST, ListArguments(after=after), Listing)
        for limit in (0, -1, 10**9):
            arguments = ListArguments.model_construct(limit=limit, after=None, result=None)
            with pytest.raises(ControlError, match="make no sense"):
                await run_blocking(ask, path, LIST, arguments, Listing)
        gone = await run_blocking(ask, path, FORGET, ForgetArguments(target=None), Forgotten)
        assert gone == Forgotten(count=1)
