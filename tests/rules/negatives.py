"""For every built-in rule: files that it must not match, as near to its own as benign files come."""

import zipfile
from collections.abc import Mapping, Sequence
from typing import Final

from tests.rules.archives import (
    EICAR,
    MIB,
    Member,
    encrypted_zip,
    gzip_bomb,
    ratio_bomb,
    zip_members,
    zip_of,
)
from tests.rules.builders import Builder, a_link, a_pdf, a_svg, named
from tests.rules.documents import ole, ooxml, pdf, rtf, rtf_object, stream, svg, vba
from tests.rules.formats import DIAGRAM, PAGE, form, jpeg, png
from tests.rules.programs import dicom, pe, shortcut

OVERRIDE: Final = "\N{RIGHT-TO-LEFT OVERRIDE}"

NEGATIVE: Final[Mapping[str, Sequence[Builder]]] = {
    "Ostiary_Eicar_TestFile": [
        lambda: EICAR[:-1],
        lambda: EICAR + b"x",
        lambda: EICAR.ljust(129),
        lambda: b" " + EICAR,
        lambda: b"The test file is " + EICAR,
    ],
    "Ostiary_Eicar_ZipMember": [
        lambda: zip_of({"eicar.com": EICAR + b"\n"}),
        lambda: zip_of({"eicar.com": EICAR[::-1]}),
    ],
    "Ostiary_Image_With_Executable": [
        lambda: pe() + png(),
        lambda: png() + b"MZ" + bytes(58) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0",
        lambda: png() + b"ZM" + pe()[2:],
        lambda: jpeg() + b"\x7fELF is a magic",
        lambda: pdf(b"", stream(b"MZ and PE\0\0 in a text")),
    ],
    "Ostiary_Polyglot_Dicom_Executable": [dicom, lambda: dicom(b"MZ"), lambda: bytes(128) + b"DICM" + pe()],
    "Ostiary_Polyglot_Pdf_Executable": [lambda: pe() + form(), lambda: b"MZ" + bytes(99) + form()],
    "Ostiary_Office_Macro_AutoRun": [
        lambda: vba("Module1 Calculate"),
        lambda: ole({"WordDocument": b"AutoOpen"}),
    ],
    "Ostiary_Office_Macro": [
        lambda: ole({"WordDocument": "_VBA_PROJECT".encode("utf-16-le")}),
        lambda: vba("x")[512:],
    ],
    "Ostiary_Office_Xlm_AutoRun": [lambda: ole({"Workbook": b"\x85\0\x0e\0" + bytes(4) + b"\0\0\6\0Sheet1"})],
    "Ostiary_Rtf_Equation": [lambda: rtf_object(b"\\objemb", b"Equation.3", b"\x1c\0" * 90), rtf],
    "Ostiary_Rtf_LinkedObject": [
        lambda: rtf_object(b"\\objemb", b"Excel.Sheet.12", "http://example.org/".encode("utf-16-le")),
        lambda: rtf_object(b"\\objautlink", b"OLE2Link", "C:\\budget.xlsx".encode("utf-16-le")),
        lambda: rtf(b"{\\b \\\\objupdate}{\\*\\datafield 4f4c45324c696e6b 6800740074007000 3a00}"),
    ],
    "Ostiary_Rtf_Embedded_Program": [lambda: rtf_object(b"\\objemb", b"Package", b"\2\0minutes.docx\0")],
    "Ostiary_Office_RemoteObject": [
        lambda: (
            b'<?xml version="1.0"?><Relationship Target="https://intranet.example/letter.dotx" '
            b'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate"/>'
        ),
        lambda: (
            b'<?xml version="1.0"?><Relationship Type="relationships/oleObject" Target="embeddings/a.bin"/>'
            b'<Relationship Type="relationships/hyperlink" Target="https://intranet.example/news!"/>'
        ),
    ],
    "Ostiary_Pdf_Launch": [
        form,
        a_pdf(b"/OpenAction [3 0 R /Fit]", b"<< /A << /S /Launch /F (minutes.docx) >> >>"),
        a_pdf(b"/OpenAction << /S /GoTo /D [3 0 R /Fit] >>", b"<< /S /Launch /F (film.avi) >>"),
        lambda: b"/S /Launch /F (cmd.exe)",
    ],
    "Ostiary_Pdf_AutoRun_JavaScript": [
        form,
        a_pdf(b"/OpenAction << /S /JavaScript /JS (print\\(true\\);) >>"),
        a_pdf(
            b"/OpenAction 14 0 R",
            b"<< /S /JavaScript /JS (x) >>",
            *[b"<< >>"] * 9,
            b"<< /S /GoTo /D [3 0 R] >>",
        ),
        a_pdf(b"/OpenAction 5 0 R", b"<< /S /JavaScript /JS (x) >>", b"<< /S /GoTo /D [3 0 R /Fit] >>"),
        a_pdf(b"/OpenAction << /S /GoTo /D [3 0 R /Fit] >>", b"<< /S /JavaScript /JS (x) >>"),
        a_pdf(b"", b"<< /AA << /C << /S /JavaScript /JS (x) >> /E << /S /JavaScript /JS (x) >> >> >>"),
    ],
    "Ostiary_Pdf_Dropper_JavaScript": [
        a_pdf(b"", b'<< /S /JavaScript /JS (this.exportDataObject\\({ cName: "a", nLaunch: 0 }\\);) >>'),
    ],
    "Ostiary_Pdf_Embedded_Program": [
        a_pdf(b"", b"<< /Type /Filespec /F (invoice.xml) /EF << /F 5 0 R >> >>", stream(b"x")),
        a_pdf(b"", b"<< /F (remote.exe.pdf) /S /GoToR >>"),
    ],
    "Ostiary_Svg_Script": [
        a_svg(DIAGRAM),
        PAGE.encode,
        lambda: b"see " + svg("<script>x</script>"),
        lambda: b"<!DOCTYPE html><html><?php echo '<p>' ?>" + svg("<script>x</script>"),
    ],
    "Ostiary_Svg_EventHandler": [a_svg(DIAGRAM), PAGE.encode, a_svg(attributes='data-onload="x" one="x"')],
    "Ostiary_Svg_ScriptUrl": [
        a_svg(DIAGRAM),
        PAGE.encode,
        a_svg('<image href="data:image/png;base64,iVBORw0KGgo="/>'),
    ],
    "Ostiary_Svg_Frame": [a_svg(DIAGRAM), PAGE.encode, a_svg("<metadata><object label='x'/></metadata>")],
    "Ostiary_Svg_HiddenMarkup": [
        a_svg("&a;&#65;&#60;", prolog='<!DOCTYPE svg [<!ENTITY a "A&#160;B"><!ENTITY lt "&#38;#60;">]>'),
    ],
    "Ostiary_Lnk_Dropper": [
        a_link("powershell.exe", "-NoExit -ExecutionPolicy ByPass -Command \"& 'C:\\tools\\hook.ps1'\""),
        a_link("%ComSpec%", '/k "C:\\tools\\vars.bat"'),
        a_link("rundll32.exe", "shell32.dll,Control_RunDLL"),
        a_link("rundll32.exe", "printui.dll,PrintUIEntry /in /n \\\\printserver\\ward3"),
        a_link("cmd.exe", "/c start https://intranet.example/"),
        a_link("powershell.exe", "-WindowStyle Hidden -File \\\\server\\login\\drives.ps1"),
        a_link("regsvr32.exe", "/n /i:user viewer.ocx"),
        lambda: shortcut("powershell.exe", "-w hidden")[1:],
    ],
    "Ostiary_Hta_Dropper": [
        lambda: b"# How it works\n<hta:application><script>new ActiveXObject('WScript.Shell')</script>",
        lambda: b"<html><hta:application id='a'><p>Hours</p></html>",
        lambda: b"<html><script>new ActiveXObject('WScript.Shell')</script></html>",
    ],
    "Ostiary_Zip_Name_DoubleExtension": [
        named(
            "setup.exe",
            "readme.pdf",
            "archive.tar.gz",
            "photo.jpg.exe.txt",
            "pdf.js",
            "icon.png.js",
            "a.exe.pdf",
        ),
        lambda: zip_of({"list.txt": b"invoice.pdf.exe" * 100}, method=zipfile.ZIP_STORED),
        named("x.pdf.exe/readme.txt"),
    ],
    "Ostiary_Zip_Name_RightToLeft": [
        named(f"{OVERRIDE}txet.pdf", "setup.exe", "\N{RIGHT-TO-LEFT MARK}\u05e9\u05dc\u05d5\u05dd.exe"),
    ],
    "Ostiary_Zip_Encrypted": [
        named("a.txt"),
        lambda: zip_of({"inner.zip.bin": encrypted_zip("a", b"x")}),
        lambda: b"notes on " + encrypted_zip("a.txt", b"hello") + b" and more",
    ],
    "Ostiary_Zip_Office_Macro": [
        lambda: ooxml("word/document.xml"),
        lambda: zip_of({"notes.txt": b"word/vbaProject.bin"}, method=zipfile.ZIP_STORED),
        named("vbaProject.bin.txt"),
    ],
    "Ostiary_Zip_Bomb_Ratio": [
        lambda: ratio_bomb(40 * MIB),
        lambda: zip_members([Member(b"a", b"x" * 2_000_000, 1, 300 * MIB)]),
    ],
    "Ostiary_Zip_Bomb_Overlap": [
        lambda: ratio_bomb(2 * MIB, count=12),
        lambda: zip_of({f"{n}.zip": ratio_bomb(2 * MIB) for n in range(12)}, method=zipfile.ZIP_STORED),
    ],
    "Ostiary_Zip_Bomb_Nested": [
        lambda: zip_of({f"{number}.zip": zip_of({"a": bytes([number])}) for number in range(16)}),
        lambda: zip_of(dict.fromkeys([f"{number}.txt" for number in range(16)], b"the same")),
    ],
    "Ostiary_Zip_Bomb_Members": [lambda: zip_members([Member(b"a", b"", 0, 0, 0)] * 3000)],
    "Ostiary_Gzip_Bomb_Ratio": [
        lambda: gzip_bomb(40 * MIB),
        lambda: b"\x1f\x8b\x08\0" + b"x" * 90_000 + b"\xff\xff\xff\x7f",
    ],
}
