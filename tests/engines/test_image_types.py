"""Which bytes are taken for an image."""

import pytest

from ostiary.engines.image_types import HEAD, is_image, may_be_image
from tests.engines.perceptual_images import encoded, picture


@pytest.mark.parametrize(
    "kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "HEIF", "BMP", "TIFF", "ICO", "JPEG2000"]
)
def test_first_bytes(kind: str) -> None:
    """Each format that browsers know is known by its first bytes, whatever type was detected."""
    head = encoded(picture(1, 64, 64), kind)[:HEAD]
    assert may_be_image("application/octet-stream", (), head)
    assert not may_be_image("application/octet-stream", (), b" " + head)


@pytest.mark.parametrize(
    ("detected_type", "image"),
    [
        ("image/png", True),
        ("image/x-anything", True),
        ("image/svg+xml", False),
        ("image/emf", False),
        ("video/mp4", False),
        ("text/plain", False),
    ],
)
def test_types(detected_type: str, image: bool) -> None:  # noqa: FBT001
    """What has pixels is an image; what is made of lines and shapes is a document."""
    assert is_image(detected_type) is image
    assert may_be_image(detected_type, (), b"") is image
    assert may_be_image("application/pdf", ("text/plain", detected_type), b"") is image


def test_videos_are_no_images() -> None:
    """Films in the same container as HEIC and AVIF are told apart by their brand."""
    for brand in (b"isom", b"mp42", b"qt  ", b"M4V "):
        assert not may_be_image("video/mp4", (), b"\0\0\0\x18ftyp" + brand)
    for brand in (b"heic", b"heix", b"hevc", b"avif", b"avis", b"mif1", b"msf1"):
        assert may_be_image("video/mp4", (), b"\0\0\0\x18ftyp" + brand)
