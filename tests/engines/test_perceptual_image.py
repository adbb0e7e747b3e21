"""How an image becomes hashes, and what is said of one that does not; with images of ours."""

import io
import warnings
import zlib
from collections.abc import Iterator

import pytest
from PIL import Image, ImageFile

from ostiary.engines.perceptual import canary
from ostiary.engines.perceptual.reasons import Reason
from tests.engines.perceptual_images import encoded, pdq, picture, png

pytestmark = pytest.mark.peer("pdqhash")

perceptual_image = pytest.importorskip("ostiary.engines.perceptual.image", reason="pdqhash is missing")
SMALL = picture(1, 400, 300)


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set Pillow up as in a scan process, and back afterwards."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
    with warnings.catch_warnings():
        perceptual_image.prepare()
        yield


def look_at(data: bytes) -> tuple[list[str], Reason | None, bool]:
    """Return the hashes, the reason, and whether the image waited for its turn as a large one."""
    called: list[None] = []
    look = perceptual_image.look_at(io.BytesIO(data), lambda: called.append(None))
    return [pdq.hex() for pdq in look.hashes], look.reason, bool(called)


def test_an_image() -> None:
    """Its first hash is the library's own, and there are eight positions."""
    hashes, reason, large = look_at(encoded(SMALL))
    assert hashes[0] == pdq(SMALL)
    assert len(set(hashes)) == 8
    assert reason is None
    assert not large


def test_what_waits_for_its_turn() -> None:
    """More than 8 megapixels do; a JPEG by what it is decoded to, a progressive one by what it is."""
    image = SMALL.resize((4000, 3000))
    assert look_at(encoded(image, compress_level=1))[2]
    assert not look_at(encoded(image, "JPEG"))[2]
    assert look_at(encoded(image, "JPEG", progressive=True))[2]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.FORMAT),
        (b"text", Reason.FORMAT),
        (encoded(SMALL, "PPM"), Reason.FORMAT),
        (encoded(SMALL, "EPS"), Reason.FORMAT),
        (encoded(SMALL)[:-2000], Reason.DAMAGED),
        (png(8192, 8193), Reason.PIXELS),
        (png(30_000, 30_000), Reason.PIXELS),
        (png(8, 8, zlib.compress(bytes(72))), None),
    ],
)
def test_reasons(data: bytes, reason: Reason | None) -> None:
    """Each fault has its name; EPS, for one, is not handed to Ghostscript."""
    assert look_at(data)[1] is reason


def test_a_damaged_image_is_compared_as_far_as_it_goes() -> None:
    """Viewers show that much."""
    hashes, reason, _ = look_at(encoded(SMALL)[:-200])
    assert reason is Reason.DAMAGED
    assert any((int(each, 16) ^ int(pdq(SMALL), 16)).bit_count() <= 31 for each in hashes)


def test_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that does not fit is one of too much memory."""

    def load(_image: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert look_at(encoded(SMALL))[1] is Reason.MEMORY


def test_canaries() -> None:
    """Each has a hash that can be trusted, and is far from the others."""
    hashes = [perceptual_image.hash_of(canary.random_image()) for _ in range(20)]
    for at, one in enumerate(hashes):
        for other in hashes[:at]:
            assert (int.from_bytes(one) ^ int.from_bytes(other)).bit_count() > 60


@pytest.mark.parametrize("data", [b"text", png(8, 8, zlib.compress(bytes(72)))])
def test_what_has_no_hash(data: bytes) -> None:
    """Our own images have one; anything else is a bug."""
    with pytest.raises(ValueError, match="can't be hashed"):
        perceptual_image.hash_of(data)


@pytest.mark.parametrize("mode", ["L", "I", "I;16", "F", "CMYK"])
def test_pixels_of_any_make(mode: str) -> None:
    """Deep and printed images have the hash of what is seen, or nearly."""
    grey = SMALL.convert("L")
    if mode == "I;16":
        image = Image.frombytes(mode, grey.size, b"".join(bytes([0, level]) for level in grey.tobytes()))
    else:
        image = grey.convert(mode)
    hashes, reason, _ = look_at(encoded(image, "TIFF"))
    assert reason is None
    assert (int(hashes[0], 16) ^ int(pdq(grey), 16)).bit_count() <= 8


def test_one_colour_in_any_depth() -> None:
    """There is nothing to stretch, and nothing to compare."""
    assert look_at(encoded(Image.new("F", (99, 99), 0.5), "TIFF")) == ([], None, False)


def test_transparency() -> None:
    """A transparent image is hashed by its colours, on white and on black; an opaque one once."""
    image = SMALL.convert("RGBA")
    assert len(look_at(encoded(image))[0]) == 8
    image.putalpha(picture(2, 400, 300).convert("L"))
    hashes, reason, _ = look_at(encoded(image))
    assert reason is None
    assert hashes[0] == pdq(SMALL)
    assert len(hashes) == 24


def test_eight_frames_of_many() -> None:
    """They are spread over the animation."""
    frames = [picture(seed, 100, 100) for seed in range(20)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    hashes, reason, _ = look_at(data)
    assert reason is None
    assert [pdq(frames[at]) in hashes for at in (0, 2, 5, 7, 10, 12, 15, 17)] == [True] * 8
    assert len(hashes) == 64
