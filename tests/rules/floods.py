"""Measures the built-in rules on floods: files made of a pattern's own beginnings, over and over.

A pattern with a gap starts a search at each of its beginnings, so that such a file costs the most
that a pattern can. Run `python -m tests.rules.floods`, from the root of the repository; the slowest
stand first. It takes part in no test: what it prints depends on the machine.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import yara_x

from ostiary.engines.yara.sources import BUILTIN, read_sources
from ostiary.engines.yara.worker import MATCH_LIMIT

SIZE: Final = 1 << 20
"""Bytes of a flood."""

TIMEOUT: Final = 60
"""Seconds after which a scan is given up."""

RUNS: Final = 3
"""Scans of one flood, of which the fastest counts."""

ENOUGH: Final = 0.5
"""Seconds that one scan may take to be repeated."""

PDF: Final = b"%PDF-1.7\n"
ZIP: Final = b"PK\3\4"
OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
RTF: Final = b"{\\rtf1 "
LINK: Final = bytes.fromhex("4c0000000114020000000000c000000000000046")
SVG: Final = b"<svg "
TAIL: Final = b" \0<svg "
"""How every flood ends: what stands before the first root element of an SVG is looked at twice."""

TYPE: Final = b"<!DOCTYPE svg [<!ENTITY a 'x'>"

FLOODS: Final[Mapping[str, tuple[Sequence[bytes], Sequence[bytes]]]] = {
    "svg root": (
        (b"", SVG),
        (b"<", b"<a", b"<a:", b"<a.", b"<" + b"a" * 30, b"<" + b"a" * 30 + b":", b"<a:sv", b"<svg"),
    ),
    "svg page": ((b"<a ", b"<!--"), (b"<p ", b"<!--", b"<!--<p ", b"--><p ", b"<!----><p ", b"<h")),
    "svg instruction": (
        (b"", SVG, b"<?a", b"<p >", b"<p ><!--"),
        (
            b"<?a<?b",
            b"<?",
            b"<?a",
            b"<?<",
            b"<?a ",
            b"<?>",
            b"<?a<A",
            b"<?" + b"<" * 60,
            b"<?" + b"x" * 40,
            b"<?a?",
        ),
    ),
    "svg hidden page": (
        (b"<?a",),
        (
            b"<?" * 250 + b">" + b"x" * 480 + b"<p ",
            b"<?" * 480 + b"><p ",
            b"<?" + b"x" * 990 + b"<p ",
            b"<?<p ",
            b"<p ",
        ),
    ),
    "svg stylesheet": (
        (SVG,),
        (
            b"<?xml-stylesheet ",
            b"<?xml-stylesheet xslt",
            b"<?xml-stylesheet xs",
            b"<?xml-stylesheet " + b"xsl" * 90,
        ),
    ),
    "svg script": ((SVG,), (b"<a:script", b"<script", b"<" + b"s" * 30 + b":scrip", b"<scrip")),
    "svg handler": (
        (SVG,),
        (
            b" on",
            b" onload ",
            b" onload",
            b" onload=",
            b" onload" + b" " * 50,
            b"/onload" + b" " * 24,
            b" ononon",
            b" onload" + b" " * 50 + b"=" + b" " * 50,
            b" onaaaaaaaaaaaaaaaaaaaaaaaa",
            b" on\t",
        ),
    ),
    "svg plain": (
        (SVG,),
        (
            b"=",
            b"='",
            b"= '",
            b"='a;",
            b"=';",
            b"=' ",
            b"=" + b" " * 50,
            b"='" + b";" * 200,
            b"='" + b" " * 200,
            b"='" + b"; " * 100,
            b"='javascript",
            b"='a;javascript",
            b"='" + b"a;" * 90,
            b"=\"'",
            b";javascript",
            b"=';javascript:"[:-1],
            b" javascript",
            b"='" + b" javascript" * 18,
        ),
    ),
    "svg written": (
        (SVG,),
        (
            b"by",
            b"by=",
            b"by='",
            b"by ",
            b"by" + b" " * 50,
            b"by='" + b" " * 200,
            b"by='&#",
            b"by='&#x0",
            b"by='&#00000000",
            b"by='jaaaaaaaaa",
            b"by='j&",
            b"to" + b" " * 50 + b"='" + b" " * 200,
            b"&#",
            b"&#x0",
        ),
    ),
    "svg data": (
        (SVG,),
        (
            b"='data:",
            b"='data:text/",
            b"=' data",
            b"='" + b" " * 200 + b"data:",
            b"=" + b" " * 50 + b"'" + b" " * 200,
        ),
    ),
    "svg use": (
        (SVG,),
        (
            b"<use ",
            b"<use href",
            b"<use " + b"href" * 99,
            b"<use " + b"href=" * 99,
            b"<use " + b"href='" * 80,
            b"<use " + b"href=' " * 70,
            b"<a:use ",
            b"href=",
            b"href='",
            b"href='" + b" " * 200,
            b"<use " + b"href ='" * 70 + b">",
        ),
    ),
    "svg frame": (
        (SVG,),
        (b"<object ", b"<a:object", b"<iframe", b" data", b" data" + b" " * 20, b"<object data", b" data="),
    ),
    "svg entity": (
        (SVG, TYPE, b"<?xml version='1.0'?>" + TYPE + SVG),
        (
            b"<!ENTITY ",
            b"<!ENTITY a ",
            b"<!ENTITY a '",
            b'<!ENTITY a "',
            b"<!ENTITY a '&#",
            b'<!ENTITY a "&#0',
            b"<!ENTITY a '&#x",
            b'<!ENTITY a "&#60',
            b"<!ENTITY a '&#00000000",
            b"<!ENTITY a '" + b"&#x" * 999,
            b"<!ENTITY a '" + b"&#9;" * 700,
            b"<!ENTITY a '" + b"&#x00" * 600,
            b"<!ENTITY ' '",
            b"&#",
            b"&#9",
            b"&#60;",
            b"&#x0",
            b"&#x00000000",
            b"&#00000000",
            b"&",
            b"<!ENTITY a '>",
            b"<!ENTITY a '&#9;'>",
            b"<!ENTITY a '" + b"x" * 2990,
            b"<!ENTITY",
        ),
    ),
    "office object": (
        (ZIP, b"<?xml version='1.0'?>"),
        (
            b"relationships/oleObject' Target='http://",
            b"relationships/oleObject'",
            b"relationships/oleObject'Target=",
            b"relationships/oleObject'Target='https://a",
            b"relationships/oleObject' Target='",
            b"oleObject' Target='http://",
            b"relationships/oleObject' Target='http://!",
            b"relationships/oleObject' Target     =     ",
            b"relationships/oleObject'" + b"Target='http://" * 30,
            b"relationships/oleObject'" + b"Target=" * 70,
        ),
    ),
    "office tag": (
        (ZIP, b"<?xml version='1.0'?>"),
        (
            b"<Relationship ",
            b"<a:Relationship ",
            b"<Relationship oleObject",
            b"<" + b"a" * 30 + b":",
            b"<Relationship relationships/oleObject' ",
            b"<Relationship Target='mhtml:",
            b"<Relationship relationships/oleObject'><Relationship Target='mhtml:'>",
        ),
    ),
    "office target": (
        (ZIP, b"<?xml version='1.0'?>"),
        (
            b"Target='http://",
            b"Target='mhtml:",
            b"Target='http://!'",
            b"Target=",
            b"Target     =     '",
            b"Target='http://!",
            b"Target='https://" + b"!" * 480,
            b"Target='http://x!' ",
            b"Target='mhtml:relationships/",
            b"Target='mhtml:relationships/oleObjec",
            b"Target='http://x!' relationships/oleObjec",
            b"Target",
            b"mhtml:",
            b"Target='mhtml:" + b"relationships/" * 33,
            b"Target='http://" + b"x" * 480 + b"!'",
            b"Target='https",
        ),
    ),
    "office names": (
        (OLE, ZIP + OLE),
        (b"AutoOpen", b"Document_", b"Workbook_", b"_\0V\0B\0A\0_\0P\0R\0O\0J\0E\0C\0T\0AutoOpen"),
    ),
    "office sheet": (
        (OLE,),
        (
            b"\x85\0",
            b"\x18\0",
            b"\x85\0\0\0\0\0\0\0\0\1",
            b"\x18\0\0\0\x20\0\0\1",
            b"\x18\0\0\0\x20\0\0\1" + bytes(9),
        ),
    ),
    "rtf": (
        (RTF, b" " * 20 + RTF),
        (
            b" ",
            b"\n{\\r",
            b" \\objupdate",
            b"{\\objautlink",
            b"4f4c45324c696e6b",
            b"\\objupdate 4f4c45324c696e6b 6800740074007000",
            b"\\objautlink 4f4c45324c696e6b",
            b"5061636b61676500",
            b"5061636b616765002e",
            b"2e657865",
            b"6800740074007000",
        ),
    ),
    "pdf launch": (
        (PDF, PDF + b"/OpenAction<<", PDF + b"/S/Launch "),
        (
            b"/S/Launch ",
            b"/S",
            b"/S ",
            b"/S" + b" " * 20,
            b"/S/Launc",
            b"/S/Launch /OpenAction<<",
            b"/OpenAction",
            b"/OpenAction ",
            b"/OpenAction<<",
            b"/Win",
            b"/Win ",
            b".exe",
            b".exe ",
            b".exe\0\0\0\0",
            b"2e657865",
            b"(cmd",
            b".\0e\0x\0e",
            b"/#53/#4c",
            b">>/S/Launch ",
            b"/OpenAction" + b" " * 20,
        ),
    ),
    "pdf javascript": (
        (PDF, PDF + b"/JS(", PDF + b"/OpenAction 1 0 R/JS(", PDF + b"/OpenAction<</JS("),
        (
            b"/AA<<",
            b"/AA",
            b"/AA<</O",
            b"/AA <<" + b" " * 54,
            b"/AA<<" + b"/O" * 30,
            b"/AA<<" + b"/O " * 20,
            b"/OpenAction 1",
            b"/OpenAction<<",
            b"1 ",
            b"1 1 obj",
            b"1 0 obj<<",
            b"1 0 obj<<        ",
            b"1 0 obj<<>>  /JS(",
            b"1 0 obj<<>>" + b"/" * 40 + b"/JS(",
            b"21 0 obj <<",
            b"11111111 0 obj<</JS",
            b"1 11111 ",
            b"11",
            b"1     11111     obj" + b" " * 20,
            b"/JS",
            b"/JS ",
            b"/JS(",
            b"/S/JavaScript",
            b"/S/JavaScript ",
            b"/AA<</O<</JS(",
            b"/AA<</O<<",
            b"/OpenAction<</JS(",
            b"/OpenAction<<>>/JS(",
        ),
    ),
    "pdf print": (
        (PDF,),
        (
            b"/JS(print(",
            b"/JS(this.print(",
            b"/JS(print",
            b"/JS(" + b" " * 20,
            b"/JS(print()",
            b"/JS(print() ;",
            b"/JS(print()\\r",
            b"/JS(print(" + b"\\" * 200 + b")",
            b"/JS(print(" + b"\\" * 99,
            b"print(",
            b"/JS(print()" + b"; " * 20,
        ),
    ),
    "pdf drop": (
        (PDF,),
        (
            b"exportDataObject({",
            b"exportDataObject({nLaunch",
            b"exportDataObject({nLaunch:",
            b"exportDataObject",
            b"exportDataObject(",
            b"exportDataObject({" + b"nLaunch" * 42,
            b"exportDataObject({" + b"nLaunch:" * 36,
            b"exportDataObject({" + b"nLaunch : " * 28,
            b"nLaunch",
            b"nLaunch:",
            b"nLaunch ",
            b"exportDataObject" + b" " * 20,
            b"exportDataObject({}",
            b"exportDataObject({nLaunch '",
        ),
    ),
    "pdf name": (
        (PDF, PDF + b"/EF 1 "),
        (
            b"/F(",
            b"/F",
            b"/UF(",
            b"/UF",
            b"/F ",
            b"/F (a",
            b"/F(.",
            b"/F(.e",
            b"/F(.exe",
            b"/F" + b" " * 20,
            b"/F(" + b"." * 290,
            b"/F(" + b".exe" * 70,
            b"/F(" + b".e" * 99,
            b"/F(" + b".\0" * 99,
            b".",
            b".exe",
            b".exe ",
            b".exe)",
            b"/#46(",
            b"/#55#46(",
            b"/F(" + b"/F" * 140,
            b"/F(" + b"/F." * 99,
            b"/EF",
            b"/EF ",
            b"/F(" + b".exe " * 55,
            b"/F(" + b"x" * 290,
            b"x.exe)",
            b".\0e\0x\0e\0",
        ),
    ),
    "pdf name_hex": (
        (PDF, PDF + b"/EF 1 "),
        (
            b"/F<",
            b"/F<00",
            b"/F<2e",
            b"/F<2e65",
            b"/UF<",
            b"/F<" + b"2e" * 390,
            b"/F<" + b"2e65" * 190,
            b"/F<" + b"2e657865" * 90,
            b"2e",
            b"2e65",
            b"2e657865",
            b"2e657865>",
            b"/F<" + b"0" * 780,
            b"/F " + b" " * 19 + b"<",
            b"/#46<",
            b"/F<" + b"2e0065007865" * 60,
            b"2e00650078",
        ),
    ),
    "zip names": (
        (ZIP, b"", b"PK\1\2"),
        (
            b".pdf",
            b".pdf ",
            b".pdf.",
            b".pdf.ex",
            b".pdf.exe",
            b".pdf" + b" " * 120,
            b" " * 120 + b".exe",
            b" " * 11 + b".exe",
            b".pdf" + b"_" * 120,
            b".pdf" + b"\xc2\xa0" * 120,
            b".pdf" + b"\xe2\x80\x80" * 120,
            b".pdf" + b" _" * 60 + b".",
            b" ",
            b"_",
            b"\xc2\xa0",
            b"\xe2\x80\x80",
            b"\xe3\x80\x80",
            b" " * 12 + b".",
            b" " * 12 + b".exe",
            b" .exe",
            b".pdf .js",
            b".pdf.js",
            b".pdf.jse",
            b".txt.jse",
            b".jpg ",
            b".jp",
            b" .",
            b".",
            b".pdf" + b" " * 11,
            b".exe",
            b".js",
        ),
    ),
    "zip right to left": (
        (ZIP, b"PK\1\2"),
        (
            b"\xe2\x80\xae",
            b"\xe2\x80\xae.exe",
            b"\xe2\x80\xae.js",
            b".exe",
            b".ex",
            b"PK\1\2\xe2\x80\xae.exe",
            b"\xe2\x80\xae" + b"x" * 96,
        ),
    ),
    "zip entries": (
        (ZIP, b"", b"\xe2\x80\xae.exe.pdf.exe"),
        (
            b"PK\1\2",
            b"PK\1\2" + bytes(42),
            b"PK\3\4",
            b"PK\3\4" + bytes(26),
            b"PK\5\6" + bytes(18),
            b"PK\1\2vbaProject.bin",
            b"vbaProject.bin",
            b"xl/macrosheets/",
            b"PK\1\2" + bytes(24) + b"\4" + bytes(17) + b".zip",
            b".zip",
            b"PK\1\2\0\0\0\0\1\0\x08\0" + b"\xff" * 34,
            b"PK\1\2\0\0\0\0\1\0\x08\0" + bytes(34),
            b"\x3c\xcf\x51\x68",
        ),
    ),
    "programs": (
        (b"\x89PNG\r\n\x1a\n", PDF, b"MZ" + bytes(58) + b"\x40\0\0\0" + b"PE\0\0" + PDF),
        (
            b"MZ",
            b"PE\0\0\x64\x86",
            b"PE\0\0\x64\x86\1\0" + bytes(12) + b"\xf0\0\0\0\x0b\2",
            b"\x7fELF",
            b"\x7fELF\2\1\1",
            b"%PDF-1",
        ),
    ),
    "shortcut": (
        (LINK, LINK + b"rundll32 powershell cmd.exe "),
        (
            b"\\\\a",
            b"\\\\",
            b"\\\\a\\",
            b"\\\\a@",
            b"\\\\a.a\\a.dl",
            b"\\\\a\\.",
            b"\\\\a\\" + b".dl" * 66,
            b"\\\\a\\" + b"." * 199,
            b"\\\\a\\" + b"x" * 199,
            b"\\\\" + b"a" * 100,
            b"\\\\" + b"a" * 100 + b"@aaaaa\\",
            b"\\\\a\\.dll"[:-1],
            b".dl",
            b"\\a",
            b"\\a.dl",
            b"-e ",
            b"-enc" + b" " * 20,
            b"-e aaaaaaaaaaaaaaa",
            b"-w" + b" " * 20,
            b"-c",
            b"/k",
            b"/a",
            b"powershel",
            b"iwr",
            b" curl",
            b"/i:",
            b"http",
            b"wscript.",
        ),
    ),
    "application": (
        (b"<hta:application >",),
        (b"<hta:application", b"<script", b"<hta:", b"wscript.", b"<hta:application><script>", b"\0"),
    ),
}
"""For each pattern or family of them: how a file begins, and what it then repeats."""


def compiled() -> yara_x.Rules:
    """Return the built-in rules, compiled as the engine does it."""
    compiler = yara_x.Compiler(includes_enabled=False)
    for source in read_sources([BUILTIN]):
        compiler.new_namespace(source.namespace)
        compiler.add_source(source.text, origin=source.origin)
    return compiler.build()


def floods() -> Iterator[tuple[str, bytes, bytes]]:
    """Yield name, beginning and unit of every flood; text also as UTF-16, where patterns are `wide`."""
    for name, (heads, units) in FLOODS.items():
        for head in heads:
            for unit in units:
                yield name, head, unit
                if name.startswith(("svg", "shortcut", "application")):
                    yield f"{name} wide", head, _wide(unit)


def speed(scanner: yara_x.Scanner, head: bytes, unit: bytes) -> float:
    """Return the megabytes per second at which a flood of these is scanned; 0 after the timeout."""
    data = (head + unit * (SIZE // len(unit)))[: SIZE - len(TAIL)] + TAIL
    taken = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        try:
            scanner.scan(data)
        except yara_x.TimeoutError:
            return 0.0
        taken = min(taken, time.perf_counter() - start)
        if taken > ENOUGH:
            break
    return len(data) / taken / 1e6


def main() -> None:
    """Print the speed of each flood, the slowest first."""
    scanner = yara_x.Scanner(compiled())
    scanner.max_matches_per_pattern(MATCH_LIMIT)
    scanner.set_timeout(TIMEOUT)
    results = sorted((speed(scanner, head, unit), name, head, unit) for name, head, unit in floods())
    for rate, name, head, unit in results:
        sys.stdout.write(f"{rate:8.2f} MB/s  {name:20} {_short(head)} + {_short(unit)} * n\n")


def _wide(text: bytes) -> bytes:
    return text.decode("latin-1").encode("utf-16-le")


def _short(data: bytes) -> str:
    return repr(data) if len(data) <= 40 else f"{data[:36]!r}.. ({len(data)})"


if __name__ == "__main__":
    main()
