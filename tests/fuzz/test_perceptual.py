"""Lists of PDQ hashes, and images, spoiled in many ways."""

import io
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ostiary.blob import Blob
from ostiary.engines.perceptual.list import ListError, Match, PdqIndex
from ostiary.engines.perceptual.process import Index, Process
from ostiary.model import Clean, Infected, Unscannable
from tests.engines.perceptual_images import encoded, picture
from tests.fuzz.mutations import fewer, mutated

HASH = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
LISTS = st.sampled_from([
    f"{HASH}\n".encode(), f"# x\n{HASH} name # why\r\n\n{HASH.upper()}\tna me\n".encode(),
    f"\ufeff{HASH} é".encode(),
])  # fmt: skip
SMALL = picture(1, 80, 60)
KINDS = ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "HEIF", "BMP", "TIFF", "ICO", "JPEG2000")
IMAGES = [encoded(SMALL, kind) for kind in KINDS]
IMAGES += [
    encoded(SMALL, kind, save_all=True, append_images=[picture(2, 80, 60), SMALL])
    for kind in ("GIF", "PNG", "WEBP", "TIFF")
]
IMAGES += [
    encoded(SMALL, "JPEG", progressive=True),
    encoded(SMALL.quantize(9)),
    encoded(SMALL.convert("RGBA"), "TIFF"),
]


@given(mutated(LISTS, [HASH.encode(), b"#", b" "], most=6))
def test_lists(text: bytes) -> None:
    """A list is read or refused with a line; what was read names entries in printable words."""
    lines = io.BytesIO(text).readlines()
    try:
        index = PdqIndex.of(lines, bytes(32), 256)
    except ListError as error:
        assert 1 <= int(str(error).removeprefix("line ").partition(":")[0]) <= len(lines)
        return
    found = index.nearest([bytes.fromhex(HASH)])
    assert isinstance(found, Match)
    assert found.name.isprintable()
    assert found.name


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Give one process for all examples, whose list holds nothing: whatever it is shown, it lives."""
    path = tmp_path_factory.mktemp("list") / "list"
    path.write_text("")
    source = Process()
    with path.open("rb") as file:
        index: Index = source.make_index(file.fileno(), encoded(picture(9, 128, 128)))
    source.end()
    process = Process()
    process.load(index, 31)
    yield process
    assert process.alive
    process.end()


@pytest.mark.peer("pdqhash")
@fewer(2)
@given(data=mutated(st.sampled_from(IMAGES), [b"\xff", b"\x7f\xff\xff\xff", b"IDAT", b"\xff\xda"], most=6))
def test_mutated(process: Process, data: bytes) -> None:
    """Each ends in a finding within its time, in the same process; what is clean can be decoded whole."""
    with Blob.of(data) as blob:
        finding = process.judge(blob, 30, image=True)
    assert isinstance(finding, Clean | Unscannable)
    if isinstance(finding, Clean):
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            image.load()


@pytest.mark.peer("pdqhash")
@pytest.mark.parametrize("data", IMAGES)
def test_cut(process: Process, data: bytes) -> None:
    """Of an image that was cut anywhere before its last pixel nobody says that it is clean unseen."""
    for end in range(0, len(data), max(1, len(data) // 25)):
        with Blob.of(data[:end]) as blob:
            finding = process.judge(blob, 30, image=True)
        assert not isinstance(finding, Infected)
        if end < len(data) // 2:
            assert isinstance(finding, Unscannable)
