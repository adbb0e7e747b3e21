"""What an engine says about hostile bytes: names that want to be log lines or headers; and old verdicts."""

import asyncio
import json
from pathlib import Path
from typing import Final

import pytest

from ostiary.engines.interface import Sample
from ostiary.inspection import Station
from ostiary.model import Cause, Clean, Finding, Forbidden, Infected, Unscannable
from tests.attacks.house import PLACE, give, remembering
from tests.flow.fakes import ScriptedEngine, finding
from tests.flow.samples import PICTURE
from tests.matrix.fake_homeserver import media

NASTY: Final = (
    'Evil\r\nSet-Cookie: a=b\r\n\r\n{"clean": true} \x1b[2J\u202e\u2028\ud800 "} 1\nfake_metric 1 \x00'
)


@pytest.mark.parametrize("said", [Infected(NASTY), Forbidden(NASTY), Unscannable(Cause.LIMIT, NASTY)])
async def test_a_name_is_a_name(
    tmp_path: Path, said: Finding, log_style: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever an engine calls a file: one JSON object as the answer, one log line as harmless, no metric."""
    shadow = Station(ScriptedEngine(finding(said), "shadow"), shadow=True)
    async with remembering(tmp_path, ScriptedEngine(finding(said)), shadow) as door:
        give(door.homeserver, media(PICTURE))
        answers = [await door.ask(f"{route}/{PLACE}") for route in ("download", "scan")]
        metrics = door.house.metrics.exposition()
    assert [got.status for got in answers] == [403, 200]
    assert answers[1].json["clean"] is False
    assert all("Set-Cookie" not in got.headers for got in answers)
    assert b"fake_metric" not in metrics
    lines = capfd.readouterr().err.splitlines()
    assert 1 < len(lines) <= 4
    assert not any(character in line for line in lines for character in "\x1b\x00\u202e\u2028")
    if log_style == "json":
        assert all(json.loads(line)["event"] for line in lines)


@pytest.mark.parametrize("said", [None, True, "clean", Clean, 0, {"clean": True}, NotImplemented])
async def test_what_is_no_word_of_an_engine_is_not_clean(tmp_path: Path, said: object) -> None:
    """Only the one value that means clean is clean."""
    async with remembering(tmp_path, ScriptedEngine(finding(said))) as door:
        give(door.homeserver, media(PICTURE))
        assert (await door.ask(f"download/{PLACE}")).status == 500
        assert len(door.house.library) == 0


async def test_new_signatures_end_old_verdicts(tmp_path: Path) -> None:
    """A stored copy that was clean is judged anew once the engine knows more, within seconds."""
    known: list[Finding] = [Clean()]

    async def script(_: Sample) -> Finding:
        await asyncio.sleep(0)
        return known[0]

    async with remembering(tmp_path, engine := ScriptedEngine(script)) as door:
        give(door.homeserver, media(PICTURE))
        assert (await door.ask(f"download/{PLACE}")).status == 200
        engine.release, known[0] = "2", Infected("Known.Now")
        deadline = asyncio.get_running_loop().time() + 20  # ostiary.currency.OLDEST, and patience
        while (await door.ask(f"download/{PLACE}")).status == 200:
            assert asyncio.get_running_loop().time() < deadline
        got = await door.ask(f"download/{PLACE}")
        assert got.code == (403, "MCS_MEDIA_NOT_CLEAN")


async def test_a_storm_meets_one_engine_at_a_time(tmp_path: Path) -> None:
    """However often a file is asked for whose scan fails: one scan at a time, and nothing of it is kept."""
    running, most = 0, 0

    async def fail(_: Sample) -> Finding:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        return Unscannable(Cause.ERROR, "out of order")

    async with remembering(tmp_path, ScriptedEngine(fail)) as door:
        give(door.homeserver, media(PICTURE))
        got = await asyncio.gather(*(door.ask(f"download/{PLACE}") for _ in range(40)))
        assert {answer.status for answer in got} == {500}
        assert all(answer.headers["Retry-After"] for answer in got)
        assert most == 1
        assert (len(door.house.library), len(door.house.verdicts)) == (0, 0)
