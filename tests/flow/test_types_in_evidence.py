"""Types in evidence: engines see them, they are kept, and each request is compared with what is kept."""

from pathlib import Path
from typing import Final

from ostiary.blob import Blob
from ostiary.engines.interface import Sample
from ostiary.model import Clean, Declared
from ostiary.policy import DISGUISE_RULE, TYPE_RULE, Rules
from tests.file_types.samples import ELF, ZIP, png
from tests.flow.fakes import House, ScriptedEngine, serving

EXECUTABLE: Final = "application/x-executable"


async def test_what_else_lies_in_the_bytes_reaches_engines_and_evidence(tmp_path: Path) -> None:
    """An engine is shown the types of what lies behind an image, and they are remembered."""
    samples: list[Sample] = []

    async def keep(sample: Sample) -> object:
        samples.append(sample)
        return Clean()

    with House(tmp_path, serving(), [ScriptedEngine(keep)], verdicts=10) as house:
        await house.gateway.judge(Blob.of(png() + ZIP), Declared())
    (sample,) = samples
    assert (sample.detected_type, sample.embedded) == ("image/png", ("application/zip",))


async def test_each_request_is_compared_with_the_types_that_are_kept(tmp_path: Path) -> None:
    """The same bytes, inspected once: refused under each false name, served under none, in any order."""
    requests = [
        (Declared(), None),
        (Declared("image/png", "photo.png"), DISGUISE_RULE),
        (Declared("application/octet-stream", "photo.jpg.exe"), DISGUISE_RULE),
        (Declared("application/octet-stream", "photo\u202egpj.exe"), DISGUISE_RULE),
        (Declared("application/octet-stream", "tool"), None),
    ]
    blob = Blob.of(png() + ELF[:4000])
    with House(tmp_path, serving(), [ScriptedEngine()], verdicts=10) as house:
        for number, (declared, rule) in enumerate([*requests, *reversed(requests)]):
            outcome = await house.gateway.judge(blob, declared)
            assert (outcome.verdict.name, outcome.known) == (rule, number > 0)


async def test_the_lists_hold_for_remembered_types(tmp_path: Path) -> None:
    """What lies behind an image is refused by the lists at the first request and at each one after."""
    rules = Rules(blocked_types=(EXECUTABLE,))
    blob = Blob.of(png() + ELF[:4000])
    with House(tmp_path, serving(), [ScriptedEngine()], rules=rules, verdicts=10) as house:
        for known in (False, True):
            outcome = await house.gateway.judge(blob, Declared())
            assert (outcome.verdict.name, outcome.known) == (TYPE_RULE, known)


async def test_names_are_compared_as_they_are_served(tmp_path: Path) -> None:
    """A header is cleaned of letters that nobody sees first: what is left is judged, and served."""
    for name, rule in (("photo.jpg%E2%80%AE", DISGUISE_RULE), ("photo%E2%80%AEgpj.exe", None)):
        homeserver = serving(
            ELF,
            content_type="application/octet-stream",
            content_disposition=f"inline; filename*=utf-8''{name}",
        )
        with House(tmp_path, homeserver, [ScriptedEngine()]) as house:
            verdict, _ = await house.ask()
        assert verdict.name == rule
