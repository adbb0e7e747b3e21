"""The bounds of the looks: how much they read, and what broken structures do to them."""

import struct
import zipfile
from io import BytesIO

import pytest

from ostiary.file_types.behind import behind
from ostiary.file_types.isobmff import media_type
from ostiary.file_types.look import look
from ostiary.file_types.markup import markup_type
from ostiary.file_types.packages import package_types
from ostiary.file_types.scripts import script_type
from ostiary.file_types.texts import text_of
from ostiary.file_types.view import View
from ostiary.file_types.zips import begins, directory_of, first_member
from tests.file_types.samples import ZIP, film, jpeg, office, png, zipped


def packaged(data: bytes) -> tuple[str, ...]:
    """Return what an archive is."""
    view = View.of(data)
    directory = directory_of(view)
    return () if directory is None else package_types(view, data, directory)


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "image/gif", "video/mp4", "text/plain"])
def test_no_more_is_read_than_64_mib(kind: str) -> None:
    """A file without an end costs what 64 MiB cost, however large it is."""
    read = 0

    def zeros(_: int, size: int) -> bytes:
        nonlocal read
        read += size
        return bytes(size)

    look(kind, View(1 << 40, zeros))
    assert read < (64 << 20) + (1 << 20)


def test_many_ends_are_not_all_looked_behind() -> None:
    """A picture full of false ends costs 256 looks; what lies in the last 64 KiB is found all the same."""
    data = jpeg() + b"\xff\xd9" * 300_000 + ZIP + bytes(40)
    assert behind(View.of(data), "image/jpeg") == ("application/zip",)


def test_a_view_ends_where_the_file_does() -> None:
    """Pieces before the beginning, behind the end or of no size are empty."""
    view = View.of(b"abc")
    assert [view.piece(*where) for where in ((-1, 2), (3, 1), (0, 0), (1, 9))] == [b"", b"", b"", b"bc"]
    assert list(View.of(b"aXbX").behind(b"X", 0, 9)) == [2, 4]
    assert list(View.of(b"aXbX").behind(b"X", 0, 1)) == [2]


def test_a_large_directory_is_searched() -> None:
    """A telling member is found behind 20,000 others."""
    many = [(f"d/{number}", "") for number in range(20_000)]
    assert packaged(zipped(*many, ("META-INF/MANIFEST.MF", "x"))) == ("application/java-archive",)
    word = office("word", "unknown", *many, ("word/vbaProject.bin", "x"))
    assert packaged(word) == ("application/vnd.ms-word.document.macroenabled.12",)


def test_an_archive_with_a_comment_or_junk_behind_it() -> None:
    """The end record is found before a comment of its own and before what somebody appended."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("doc.kml", "x")
        archive.comment = b"PK\5\6" + bytes(60_000)
    assert packaged(file.getvalue()) == ("application/vnd.google-earth.kmz",)
    assert packaged(zipped(("doc.kml", "x")) + bytes(1000)) == ("application/vnd.google-earth.kmz",)


def test_a_zip64_directory() -> None:
    """Archives whose counts stand in the larger record are read by it."""
    plain = zipped(("doc.kml", "x"))
    at = plain.rindex(b"PK\5\6")
    begin = plain.index(b"PK\1\2")
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, at - begin, begin)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert packaged(plain[:at] + record + locator + end) == ("application/vnd.google-earth.kmz",)
    assert packaged(plain[:at] + bytes(56) + locator + end) == ()


@pytest.mark.parametrize("at", range(-22, 0))
def test_a_cut_end_record_is_none(at: int) -> None:
    """Without its whole end record an archive has no directory."""
    assert directory_of(View.of(ZIP[:at])) is None


def test_an_empty_archive_is_none() -> None:
    """An end record without members makes no archive of what stands before it."""
    assert directory_of(View.of(jpeg() + zipped())) is None


def test_content_types_that_can_not_be_unpacked() -> None:
    """Broken, unknown or endless packing: the folders decide, and nothing is unpacked beyond 64 KiB."""
    document = ("application/vnd.openxmlformats-officedocument.wordprocessingml.document",)
    whole = office("word", document[0] + ".main+xml")
    local = whole.index(b"[Content_Types].xml") + 19
    assert packaged(whole[:local] + b"\xff" * 8 + whole[local + 8 :]) == document
    entry = whole.index(b"PK\1\2")
    assert packaged(whole[: entry + 10] + b"\x0e\0" + whole[entry + 12 :]) == document
    assert packaged(b"XX" + whole[2:]) == document
    assert packaged(zipped(("[Content_Types].xml", " " * 50_000_000), ("word/a", ""))) == document


@pytest.mark.parametrize(
    "written",
    ["macro&#69;nabled", "macro&#x45;nabled", "macro&#x00045;nabled", "&#109;acroEnabled", "macroEnabled"],
)
def test_content_types_in_references(written: str) -> None:
    """A document's type may be spelt in character references; its readers resolve them."""
    document = office("word", f"application/vnd.ms-word.document.{written}.main+xml")
    assert packaged(document) == ("application/vnd.ms-word.document.macroenabled.12",)


@pytest.mark.parametrize("reference", ["&#" + "1" * 5000 + ";", "&#1114112;", "&#xffffff;", "&#;", "&#x;"])
def test_references_to_nothing(reference: str) -> None:
    """Numbers beyond Unicode, and beyond what Python reads, are no letters and no error."""
    assert packaged(office("word", reference)) == (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    )


def test_programs_with_odd_headers() -> None:
    """A program's second header may lie within the first, or far behind it."""
    for at in (4, 64, 5000, 40_000):
        header = bytearray(at + 100)
        header[:2] = b"MZ"
        header[at : at + 4] = b"PE\0\0"
        header[60:64] = at.to_bytes(4, "little")
        assert behind(View.of(png() + header), "image/png") == ("application/x-dosexec",)


def test_heads_of_archives() -> None:
    """A local header counts if it makes sense; a packed first member says nothing."""
    assert begins(ZIP)
    assert not begins(ZIP[:20])
    assert not begins(b"PK\3\4" + b"\xff" * 40)
    assert first_member(b"PK\3\4") == (b"", b"")
    assert first_member(zipped(("a", "b" * 100))) == (b"a", b"")


def test_boxes_and_brands_that_break_off() -> None:
    """Cut or senseless boxes of films are no types and no ends."""
    assert media_type(film(b"isom")[:11]) is None
    assert media_type(film(b"xxxx")) is None
    assert media_type(b"\xff\xff\xff\xffftypisom") == "video/mp4"
    assert media_type(b"\0\0\0\x08moov") is None
    large = b"\0\0\0\1mdat" + (16 + 5).to_bytes(8) + bytes(5)
    assert behind(View.of(film(b"isom") + large + ZIP), "video/mp4") == ("application/zip",)
    assert behind(View.of(film(b"isom") + b"\0\0\0\0mdat" + ZIP), "video/mp4") == ("application/zip",)


def test_images_that_break_off() -> None:
    """An image without an end is searched as a whole: what lies in it is behind nothing, yet there."""
    for kind, data in (("image/jpeg", jpeg()[:-2]), ("image/png", png()[:-12]), ("image/jpeg", b"\xff\xd8")):
        assert behind(View.of(data), kind) == ()
        assert behind(View.of(data + ZIP), kind) == ("application/zip",)
    filled = jpeg().replace(b"\xff\xda", b"\xff\xff\xff\xda")
    assert behind(View.of(filled + ZIP), "image/jpeg") == ("application/zip",)


def test_what_is_text() -> None:
    """UTF-32 and bytes with control characters are none; a few bytes with a zero are none either."""
    assert text_of(b"\xff\xfe\0\0a\0\0\0") is None
    assert text_of(b"a\0b") is None
    assert text_of(b"abc\1") is None
    assert text_of("äb".encode("latin-1")) == "äb"
    assert text_of("\ufeffa".encode()) == "a"


def test_false_signatures_are_not_named() -> None:
    """A cabinet is named by its header; letters without what belongs to them are not."""
    assert behind(View.of(png() + b"MSCF" + bytes(40)), "image/png") == ("application/vnd.ms-cab-compressed",)
    for false in (b"MZ" + bytes(200), b"PK\3\4" + b"\xff" * 40, b"Rar!", b"\x7fELF\x09\x09\x09", b"%PDF-x"):
        assert behind(View.of(png() + false), "image/png") == ()


def test_false_end_records_are_passed_over() -> None:
    """Up to eight end records that fit nothing hide no archive; more of them are given up on."""
    false = b"PK\5\6" + b"\1" * 18
    assert packaged(zipped(("doc.kml", "x")) + false * 7) == ("application/vnd.google-earth.kmz",)
    assert packaged(zipped(("doc.kml", "x")) + false * 9) == ()


def test_comments_are_no_prose() -> None:
    """Sentences in block comments, closed or not, make no text of a script."""
    words = "this is a long sentence about what the script does and why\n" * 20
    code = "function f(a) {\n  return a;\n}\nconst b = f(2);\nconsole.log(b);\n"
    assert script_type(f"/*\n{words}*/\n{code}") == "text/javascript"
    assert script_type(f"{code}/*\n{words}") == "text/javascript"
    assert script_type(f"{code}{words}") is None
    assert script_type("<" + code) is None
    assert script_type(code + "x = 1;\n" * 300) == "text/javascript"


@pytest.mark.parametrize("text", ["<!-- never closed <svg>", "<?xml", "< svg>", "a <svg>"])
def test_markup_without_a_first_element(text: str) -> None:
    """Comments that do not end, and letters before the first element: no type."""
    assert markup_type(text) is None
    assert markup_type("<!---->" * 4000 + "<svg>") == "image/svg+xml"
