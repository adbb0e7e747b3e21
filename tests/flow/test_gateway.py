"""The flow: nothing unscanned leaves, nothing is fetched twice, what is judged is what is served."""

import asyncio
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from ostiary.blob import MEMORY_LIMIT, Blob
from ostiary.engines.interface import Sample
from ostiary.errors import (
    AttachmentError,
    EngineError,
)
from ostiary.inspection import Station
from ostiary.matrix import attachment
from ostiary.matrix.homeserver import Homeserver
from ostiary.model import Declared, Infected, Result
from ostiary.policy import DISGUISE_RULE, TYPE_RULE, Rules
from tests.descriptors import open_descriptors
from tests.flow.fakes import (
    House,
    ScriptedEngine,
    finding,
    raising,
    serving,
)
from tests.flow.samples import LARGE, PICTURE, REF, SMALL, chunks, encrypted, key_of, request
from tests.matrix.fake_homeserver import FakeHomeserver, media

MAX: Final = 4 << 20


@pytest.mark.parametrize("data", [b"", b"x", SMALL, PICTURE + bytes(MEMORY_LIMIT), LARGE], ids=len)
async def test_what_is_served_is_what_was_scanned(tmp_path: Path, data: bytes) -> None:
    """The engine sees every byte that is served, once, and what is not served any more is not held."""
    engine, homeserver = ScriptedEngine(), serving(*chunks(data))
    before = open_descriptors()
    with House(tmp_path, homeserver, [engine]) as house:
        verdict, served = await house.ask()
        assert verdict.result is Result.CLEAN
        assert [seen for seen, _ in engine.seen] == [served] == [data]
        assert len(homeserver.asked) == 1
        assert homeserver.open == 0
    assert open_descriptors() == before


async def test_room_is_held_as_long_as_the_bytes(tmp_path: Path) -> None:
    """While a caller takes the bytes they count; the homeserver's connection is free by then."""
    homeserver = serving(*chunks(LARGE))
    with House(tmp_path, homeserver, [ScriptedEngine()]) as house:
        async with house.gateway.media(request()):
            assert house.held[1] == len(LARGE)
            assert homeserver.open == 0
        assert house.held == (0, 0)


async def test_a_homeserver_that_changes_its_mind(tmp_path: Path) -> None:
    """A homeserver that gives something else the second time is asked once (principle 2 of the design)."""
    answers = [media(b"innocent"), media(b"malware")]

    async def fickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))
        await writer.drain()

    async with FakeHomeserver() as server:
        server.otherwise = fickle
        client = Homeserver(server.url, timeout=10, max_concurrent=4)
        engine = ScriptedEngine()
        with House(tmp_path, client, [engine]) as house:
            _, served = await house.ask()
        await client.close()
        assert served == b"innocent"
        assert [seen for seen, _ in engine.seen] == [b"innocent"]
        assert len(server.received) == 1


async def test_engines_see_bytes_and_our_type_only(tmp_path: Path) -> None:
    """What the homeserver declares of a file reaches no engine: not as a type, not as a name."""
    samples: list[Sample] = []

    async def keep(sample: Sample) -> object:
        samples.append(sample)
        return Infected("x")

    homeserver = serving(
        PICTURE, content_type="text/x-secret-type", content_disposition="inline; filename=secret-name.exe"
    )
    with House(tmp_path, homeserver, [ScriptedEngine(keep)]) as house:
        await house.ask()
    (sample,) = samples
    assert {name: getattr(sample, name) for name in sample.__slots__} == {
        "blob": sample.blob,
        "detected_type": "image/png",
        "embedded": (),
        "upload": False,
        "reach": None,
        "again": False,
    }
    assert "secret" not in repr(sample)


@pytest.mark.parametrize(
    ("content_type", "disposition", "rule"),
    [
        ("image/png", None, DISGUISE_RULE),
        ("application/octet-stream", "inline; filename=cat.jpg", DISGUISE_RULE),
        ("application/octet-stream", "inline; filename*=utf-8''cat.jpg", DISGUISE_RULE),
        ("application/x-executable", "inline; filename=true", None),
        (None, None, None),
    ],
)
async def test_what_is_declared_counts_for_the_rules(
    tmp_path: Path, content_type: str | None, disposition: str | None, rule: str | None
) -> None:
    """A program under a harmless type or name is refused, by what we detect and what was declared."""
    homeserver = serving(
        Path("/bin/true").read_bytes(), content_type=content_type, content_disposition=disposition
    )
    with House(tmp_path, homeserver, [ScriptedEngine()]) as house:
        verdict, _ = await house.ask()
    assert verdict.name == rule
    assert verdict.release == (rule is None)


async def test_types_are_what_we_detect(tmp_path: Path) -> None:
    """The operator's lists are held against the bytes, whatever the homeserver calls them."""
    rules = Rules(allowed_types=("image/*",))
    for data, content_type, name in ((PICTURE, "text/html", None), (b"text", "image/png", TYPE_RULE)):
        with House(
            tmp_path, serving(data, content_type=content_type), [ScriptedEngine()], rules=rules
        ) as house:
            verdict, _ = await house.ask()
        assert verdict.name == name


@pytest.mark.parametrize("plain", [b"", SMALL, LARGE], ids=len)
async def test_an_attachment_is_scanned_in_the_clear_and_served_as_it_came(
    tmp_path: Path, plain: bytes
) -> None:
    """Engines see the plaintext and its type; the caller gets the ciphertext, byte for byte."""
    ciphertext, engine = encrypted(plain), ScriptedEngine()
    with House(tmp_path, serving(*chunks(ciphertext)), [engine]) as house:
        verdict, served = await house.ask(request(key_of(ciphertext)))
    assert verdict.release
    assert served == ciphertext
    ((seen, detected),) = engine.seen
    assert seen == plain
    assert detected == "image/png" or not plain


async def test_what_is_declared_of_ciphertext_is_nothing(tmp_path: Path) -> None:
    """The homeserver's words about an encrypted file are about noise: no rule looks at them."""
    ciphertext = encrypted(Path("/bin/true").read_bytes())
    homeserver = serving(ciphertext, content_type="image/png", content_disposition="inline; filename=a.png")
    with House(tmp_path, homeserver, [ScriptedEngine()]) as house:
        verdict, _ = await house.ask(request(key_of(ciphertext)))
    assert verdict.result is Result.CLEAN


@pytest.mark.parametrize("plain", [SMALL, LARGE], ids=len)
async def test_the_hash_is_checked_before_anything_is_decrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: bytes
) -> None:
    """A ciphertext that is not the client's never meets its key."""

    def never(*_: object) -> None:
        raise AssertionError("decrypting unchecked bytes")

    monkeypatch.setattr(attachment, "Decryptor", never)
    ciphertext, engine = encrypted(plain), ScriptedEngine()
    other = key_of(ciphertext + b"x")
    with House(tmp_path, serving(*chunks(ciphertext)), [engine]) as house:
        with pytest.raises(AttachmentError):
            await house.ask(request(other))
        assert house.held == (0, 0)
        with Blob.of(ciphertext) as blob, pytest.raises(AttachmentError):
            await house.gateway.judge_upload(blob, other, Declared())
    assert engine.seen == []


@pytest.mark.parametrize("plain", [SMALL, LARGE], ids=len)
async def test_a_wrong_key_gives_noise_which_is_judged_as_noise(tmp_path: Path, plain: bytes) -> None:
    """A wrong key under the right hash is not noticed and breaks nothing: the noise is what is judged."""
    ciphertext, engine = encrypted(plain), ScriptedEngine(finding(Infected("x")))
    with House(tmp_path, serving(*chunks(ciphertext)), [engine]) as house:
        verdict, _ = await house.ask(request(key_of(ciphertext, key=bytes(32))))
    assert verdict.result is Result.INFECTED
    ((seen, detected),) = engine.seen
    assert len(seen) == len(plain)
    assert seen not in {plain, ciphertext}
    assert detected != "image/png"


async def test_a_counter_that_overflows(tmp_path: Path) -> None:
    """An attachment that clients decrypt in two ways is refused, and all is given back."""
    iv = bytes(8) + b"\xff" * 8
    ciphertext = encrypted(LARGE, iv=iv)
    with House(tmp_path, serving(*chunks(ciphertext)), [ScriptedEngine()]) as house:
        with pytest.raises(AttachmentError, match="counter"):
            await house.ask(request(key_of(ciphertext, iv=iv)))
        assert house.held == (0, 0)


async def test_nobody_to_ask_is_not_clean(tmp_path: Path) -> None:
    """Without a single engine that counts nothing is ever clean."""
    for stations in ([], [Station(ScriptedEngine(), shadow=True)]):
        with House(tmp_path, serving(SMALL), stations) as house:
            verdict, _ = await house.ask()
        assert (verdict.result, verdict.release) == (Result.ERROR, False)


async def test_uploads(tmp_path: Path) -> None:
    """A file before its upload: too large, plain, under its key, and with what its sender declares."""
    engine = ScriptedEngine()
    with House(tmp_path, serving(), [engine], max_size=MAX) as house:
        judge = house.gateway.judge_upload
        assert (await judge(None, None, Declared())).verdict.name == "too_large"
        with Blob.of(PICTURE) as blob:
            assert (await judge(blob, None, Declared("image/png", "a.png"))).verdict.result is Result.CLEAN
        ciphertext = encrypted(PICTURE)
        with Blob.of(ciphertext) as blob:
            assert (await judge(blob, key_of(ciphertext), Declared("x", "y"))).verdict.result is Result.CLEAN
        with Blob.of(Path("/bin/true").read_bytes()) as blob:
            assert (await judge(blob, None, Declared("image/png"))).verdict.name == DISGUISE_RULE
    assert [detected for _, detected in engine.seen[:2]] == ["image/png"] * 2
    assert [seen for seen, _ in engine.seen[:2]] == [PICTURE] * 2


@pytest.mark.parametrize(
    ("engine", "result"),
    [
        (ScriptedEngine(), "clean"),
        (ScriptedEngine(finding(Infected("Eicar"))), "infected"),
        (ScriptedEngine(raising(EngineError("down"))), "error"),
    ],
)
async def test_every_judgement_is_counted_and_logged_once(
    tmp_path: Path, engine: ScriptedEngine, result: str
) -> None:
    """One metric and one line per decision, which names media, engine and signature, and nothing else."""
    with House(
        tmp_path, serving(PICTURE, content_disposition="inline; filename=private.png"), [engine]
    ) as house:
        with capture_logs() as lines:
            await house.ask()
        value = house.metrics.registry.get_sample_value
        assert value("content_scanner_scans_total", {"result": result}) == 1
        assert value("content_scanner_scan_duration_seconds_count") == 1
        assert value("content_scanner_infected_total") == (result == "infected")
        assert value("content_scanner_errors_total", {"kind": "engine"}) == (result == "error")
    (line,) = [line for line in lines if "media" in line]
    assert (line["event"], line["media"]) == (result, str(REF))
    assert ("name" in line) == (result != "clean")
    assert "private" not in repr(lines)
    assert "tok" not in repr(lines)
