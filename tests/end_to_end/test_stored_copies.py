"""Stored copies in front of a real Synapse: they save bodies and scans, and open no door.

What Synapse was asked stands in its own access log; a marker request tells that all of it is written.
"""

import re
import secrets
from collections.abc import Iterator
from typing import Any, Final

import pytest

from peers.gateway import Answer, Gateway
from peers.samples import EICAR, png
from peers.synapse import Synapse, SynapseError, User
from tests.end_to_end.conftest import Upload
from tests.flow.samples import encrypted
from tests.web.clients import file_of, unpadded

DEBUG: Final = {"log": {"level": "debug"}}
AT_ONCE: Final = {"library": {"revalidate": 0}, "access": {"ttl": 0}}
_LINE: Final = re.compile(r'Processed request: .* (\d+)B (\d+) "GET (\S+) HTTP')


def picture() -> bytes:
    """Return a picture that nobody has uploaded before."""
    return png() + secrets.token_bytes(16)


def asked(synapse: Synapse, what: str) -> list[tuple[int, int]]:
    """Return status and size of all answers so far to GETs whose target holds these words."""
    marker = f"/_matrix/client/versions?marker={secrets.token_hex(8)}"
    synapse.request("GET", marker)
    log = synapse.folder / "homeserver.log"
    synapse.child.wait_until(lambda: marker in log.read_text(errors="replace"))
    lines = (_LINE.search(line) for line in log.read_text(errors="replace").splitlines())
    return [(int(line[2]), int(line[1])) for line in lines if line and what in line[3]]


def media_id(place: str) -> str:
    """Return the second part of `server/mediaId`."""
    return place.partition("/")[2]


@pytest.fixture(scope="module")
def keeping(synapse: Synapse) -> Iterator[Gateway]:
    """A gateway as it comes, which logs everything."""
    with Gateway(synapse.url, DEBUG) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def asking(synapse: Synapse) -> Iterator[Gateway]:
    """A gateway that keeps copies and asks the homeserver about each of them every time."""
    with Gateway(synapse.url, {**DEBUG, **AT_ONCE}) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def root(synapse: Synapse) -> User:
    """Return an admin of the homeserver."""
    return synapse.register("quarantiner", admin=True)


def moved(gateway: Gateway, before: dict[str, float]) -> dict[str, float]:
    """Return by how much the judgements' metrics have moved."""
    names = {"clean": 'scans_total{result="clean"}', "infected": 'scans_total{result="infected"}'}
    names |= {"hits": "cache_hits_total", "found": "infected_total", "scans": "scan_duration_seconds_count"}
    after = gateway.metrics()
    series = {short: f"content_scanner_{name}" for short, name in names.items()}
    return {
        short: after[name] - before[name] for short, name in series.items() if after[name] != before[name]
    }


def test_the_second_download_costs_the_homeserver_nothing(
    keeping: Gateway, synapse: Synapse, upload: Upload, alice: User, bob: User
) -> None:
    """One body for both callers, and one scan; `cache hit` is what the log says of the second."""
    data, before = picture(), keeping.metrics()
    place = upload(data, "image/png", "cat.png")
    first, second = (keeping.get(f"download/{place}", user.token) for user in (alice, bob))
    assert (first.status, first.body) == (second.status, second.body) == (200, data)
    different = {"date"}
    assert {k: v for k, v in first.headers.items() if k not in different} == {
        k: v for k, v in second.headers.items() if k not in different
    }
    assert [status for status, _ in asked(synapse, media_id(place))] == [200]
    assert moved(keeping, before) == {"clean": 2, "hits": 1, "scans": 1}
    lines = [line for line in keeping.log.splitlines() if place in line]
    assert ["cache hit" in line for line in lines] == [False, True]
    assert "debug" in lines[1]


def test_what_is_infected_is_scanned_once_and_never_kept(
    keeping: Gateway, synapse: Synapse, upload: Upload, bob: User
) -> None:
    """Under two media IDs: each refusal counts, one inspection found it, and no bytes were stored."""
    blanks = b" " * secrets.randbelow(57) + b"\t" * 3  # with more than 128 bytes it is no EICAR
    data, before = EICAR + blanks, keeping.metrics()
    places = [upload(data), upload(data)]
    for place in [*places, *places]:
        assert keeping.get(f"download/{place}", bob.token).json["reason"] == "MCS_MEDIA_NOT_CLEAN"
    assert moved(keeping, before) == {"infected": 4, "hits": 3, "found": 1, "scans": 1}
    for place in places:
        assert [status for status, _ in asked(synapse, media_id(place))] == [200, 200]
        assert keeping.log.count(place) > 2


def test_a_copy_is_asked_about_without_its_body(
    asking: Gateway, synapse: Synapse, upload: Upload, alice: User, bob: User
) -> None:
    """Synapse says 304 to the caller's own token, and its 0 bytes are all that comes."""
    data = picture()
    place = upload(data, "image/png")
    for user in (alice, bob, alice):
        assert asking.get(f"download/{place}", user.token).body == data
    (first, size), *later = asked(synapse, f"download/{place}")
    assert (first, size >= len(data)) == (200, True)
    assert later == [(304, 0)] * 2


def test_what_is_quarantined_is_gone(
    asking: Gateway, synapse: Synapse, upload: Upload, bob: User, root: User
) -> None:
    """A stored copy is no way around a quarantine: 404 for everybody, also under a twin's media ID."""
    data = picture()
    place, twin, other = upload(data), upload(data), upload(picture())
    for one in (place, twin, other):
        assert asking.get(f"download/{one}", bob.token).status == 200
    copies = asking.metrics()["content_scanner_library_copies"]
    synapse.request("POST", f"/_synapse/admin/v1/media/quarantine/{place}", token=root.token, json_body={})
    for one in (place, twin):
        for route in ("download", "scan"):
            refused = asking.get(f"{route}/{one}", bob.token)
            assert (refused.status, refused.json["reason"]) == (404, "M_NOT_FOUND")
    assert asking.metrics()["content_scanner_library_copies"] == copies - 2
    assert asking.get(f"download/{other}", bob.token).status == 200


def test_who_is_logged_out_has_nothing(
    asking: Gateway, synapse: Synapse, upload: Upload, alice: User
) -> None:
    """With `access.ttl` and `library.revalidate` at 0 a logout counts at once, in Synapse's own words."""
    dave = synapse.register(f"dave{secrets.token_hex(4)}")
    place = upload(picture())
    for user in (alice, dave):
        assert asking.get(f"download/{place}", user.token).status == 200
    synapse.logout(dave.token)
    for route in ("download", "scan"):
        refused = asking.get(f"{route}/{place}", dave.token)
        assert (refused.status, refused.json["reason"]) == (401, "M_UNKNOWN_TOKEN")
        assert refused.json["soft_logout"] is False
    assert asking.get(f"download/{place}", alice.token).status == 200


def test_a_logout_counts_within_its_time_without_a_question_about_the_media(
    synapse: Synapse, upload: Upload, alice: User
) -> None:
    """With `access.ttl: 0` alone it is whoami that says so; the media is not asked for."""
    dave = synapse.register(f"dave{secrets.token_hex(4)}")
    place = upload(picture())
    with Gateway(synapse.url, {"access": {"ttl": 0}}) as gateway:
        for user in (alice, dave):
            assert gateway.get(f"download/{place}", user.token).status == 200
        synapse.logout(dave.token)
        assert gateway.get(f"download/{place}", dave.token).status == 401
    assert len(asked(synapse, media_id(place))) == 1


@pytest.mark.parametrize("token", [None, "nonsense", "syt_" + "a" * 40])
def test_strangers_get_no_stored_copy(
    keeping: Gateway, asking: Gateway, upload: Upload, bob: User, token: str | None
) -> None:
    """Without a token, or with a wrong one, a stored copy is what it is at the homeserver: 401."""
    place = upload(picture())
    for gateway in (keeping, asking):
        assert gateway.get(f"download/{place}", bob.token).status == 200
        for path in (f"download/{place}", f"scan/{place}", f"download/{place}/x.png"):
            refused = gateway.get(path, token)
            expected = "M_MISSING_TOKEN" if token is None else "M_UNKNOWN_TOKEN"
            assert (refused.status, refused.json["reason"]) == (401, expected)
        assert gateway.get(f"download/{place}", bob.token).status == 200


def test_copies_of_public_media_are_public(public: tuple[Gateway, Upload]) -> None:
    """Where the homeserver serves without a token, so does the copy that came without one."""
    gateway, upload = public
    data = picture()
    place = upload(data)
    before = gateway.metrics()
    for _ in range(2):
        assert gateway.get(f"download/{place}").body == data
    assert moved(gateway, before) == {"clean": 2, "hits": 1, "scans": 1}
    assert gateway.get(f"download/{place}", "nonsense").status == 401


@pytest.mark.parametrize("check", ["token", "media", "none"])
def test_guests_are_what_the_homeserver_takes_them_for(check: str) -> None:
    """A guest gets through the gateway what it gets from Synapse, with a stored copy as without one."""
    data = picture()
    with Synapse(config={"allow_guest_access": True}) as synapse:
        user = synapse.register("carol")
        guest = str(
            synapse.request("POST", "/_matrix/client/v3/register?kind=guest", json_body={})["access_token"]
        )
        uri = synapse.upload(user.token, data)
        try:
            direct = 200 if synapse.download(guest, uri) == data else 0
        except SynapseError as error:
            direct = error.status
        with Gateway(synapse.url, {"access": {"check": check}}) as gateway:
            place = uri.removeprefix("mxc://")
            assert gateway.get(f"download/{place}", guest).status == direct
            assert gateway.get(f"download/{place}", user.token).body == data
            stored = gateway.get(f"download/{place}", guest)
            assert stored.status == (200 if check == "none" else direct)
            statuses = [status for status, _ in asked(synapse, f"download/{place}")]
            if direct == 200 and check == "token":
                assert statuses == [200, 200, 304]  # Synapse itself, the first, and the guest's last


def test_checking_by_the_media_itself(synapse: Synapse, upload: Upload, alice: User, bob: User) -> None:
    """`access.check: media`: Synapse is asked for the media each time, and never for the token."""
    place = upload(picture())
    whoami = len(asked(synapse, "account/whoami"))
    with Gateway(synapse.url, {"access": {"check": "media"}}) as gateway:
        for user in (alice, bob, bob):
            assert gateway.get(f"download/{place}", user.token).status == 200
        assert gateway.get(f"download/{place}", "nonsense").status == 401
    assert [status for status, _ in asked(synapse, media_id(place))] == [200, 304, 304, 401]
    assert len(asked(synapse, "account/whoami")) == whoami


def test_noise_opens_nothing(
    keeping: Gateway, synapse: Synapse, upload: Upload, alice: User, bob: User
) -> None:
    """An attacker's wrong key makes clean noise of malware; whoever has the right key is still refused."""
    ciphertext = encrypted(EICAR + b"\t")
    body: dict[str, Any] = file_of(ciphertext, url=upload.uri(ciphertext))
    key = {**body["file"]["key"], "k": unpadded(bytes(32))}
    wrong = {"file": {**body["file"], "key": key}}
    for user in (alice, bob):
        noise = keeping.post("download_encrypted", wrong, user.token)
        assert (noise.status, noise.body) == (200, ciphertext)
        refused = keeping.post("download_encrypted", body, user.token)
        assert (refused.status, refused.json["reason"]) == (403, "MCS_MEDIA_NOT_CLEAN")
        assert keeping.post("scan_encrypted", body, user.token).json["clean"] is False
        assert keeping.post("scan_encrypted", wrong, user.token).json["clean"] is True


def test_one_attachment_for_many(
    keeping: Gateway, synapse: Synapse, upload: Upload, alice: User, bob: User
) -> None:
    """Recipients share the stored ciphertext and its verdict; another hash for it is an error, not a copy."""
    ciphertext = encrypted(picture())
    uri, before = upload.uri(ciphertext), keeping.metrics()
    body = file_of(ciphertext, url=uri)
    for user in (alice, bob):
        assert keeping.post("download_encrypted", body, user.token).body == ciphertext
    assert moved(keeping, before) == {"clean": 2, "hits": 1, "scans": 1}
    place = uri.removeprefix("mxc://")
    assert [status for status, _ in asked(synapse, media_id(place))] == [200]
    other = keeping.post("download_encrypted", file_of(ciphertext + b"x", url=uri), bob.token)
    assert (other.status, other.json["reason"]) == (400, "MCS_MEDIA_FAILED_TO_DECRYPT")


def test_thumbnails_are_kept_too(
    keeping: Gateway, synapse: Synapse, upload: Upload, alice: User, bob: User
) -> None:
    """Each size by itself."""
    place = upload(png(800, 600), "image/png")
    sizes = ("width=32&height=32&method=crop", "width=320&height=240&method=scale")
    answers: list[Answer] = []
    for user in (alice, bob):
        answers += [keeping.get(f"thumbnail/{place}?{size}", user.token) for size in sizes]
    assert [answer.status for answer in answers] == [200] * 4
    assert answers[0].body == answers[2].body != answers[1].body == answers[3].body
    assert [status for status, _ in asked(synapse, f"thumbnail/{place}")] == [200, 200]
