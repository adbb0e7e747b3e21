/*
  Executables inside what a viewer takes for an image or a PDF, and files that are both.

  A PE is told by its whole header (signature, machine, a plausible optional header) and by an MZ
  before it whose e_lfanew (+3C) leads there; an ELF by sixteen bytes of e_ident, type and version.
  A program that is nothing else is no finding: what may be sent is a question of type lists.
*/

rule Ostiary_Image_With_Executable
{
    meta:
        description = "A Windows or Linux program behind the start of a JPEG, PNG, GIF, WebP, BMP or TIFF image or of a PDF"
        reference = "https://attack.mitre.org/techniques/T1036/008/"
        severity = "high"
    strings:
        $pdf = "%PDF-"
        $pe = { 50 45 00 00 (4C 01 | 64 86 | C4 01 | 64 AA) ?? 00 [12] ?? (00 | 01) [2] 0B (01 | 02) }
        $elf_little = { 7F 45 4C 46 (01 | 02) 01 01 [2] 00 00 00 00 00 00 00 (02 | 03) 00 [2] 01 00 00 00 }
        $elf_big = { 7F 45 4C 46 (01 | 02) 02 01 [2] 00 00 00 00 00 00 00 00 (02 | 03) [2] 00 00 00 01 }
    condition:
        ($pe or $elf_little or $elf_big) and
        (
            uint32be(0) & 0xFFFFFF00 == 0xFFD8FF00 or
            (uint32be(0) == 0x89504E47 and uint32be(4) == 0x0D0A1A0A) or
            (uint32be(0) == 0x47494638 and uint8(5) == 0x61) or
            (uint32be(0) == 0x52494646 and uint32be(8) == 0x57454250) or
            (uint16be(0) == 0x424D and uint32(14) >= 12 and uint32(14) <= 124 and uint32(10) < filesize) or
            uint32be(0) == 0x49492A00 or uint32be(0) == 0x4D4D002A or
            $pdf in (0..1019)
        ) and
        (
            $elf_little or $elf_big or #pe > 250 or
            for any i in (1..250) : (
                i <= #pe and
                for any words in (1..1024) : (
                    uint16(@pe[i] - 4 * words) == 0x5A4D and uint32(@pe[i] - 4 * words + 0x3C) == 4 * words
                )
            )
        )
}

rule Ostiary_Polyglot_Dicom_Executable
{
    meta:
        description = "A program in the preamble of a medical image: both a DICOM file and a Windows or Linux executable"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2019-11687"
        severity = "high"
    condition:
        uint32be(128) == 0x4449434D and
        (
            (uint16be(0) == 0x4D5A and uint32be(uint32(0x3C)) == 0x50450000) or
            uint32be(0) == 0x7F454C46
        )
}

rule Ostiary_Polyglot_Pdf_Executable
{
    meta:
        description = "A Windows program with a PDF header in its first 1024 bytes: both an executable and a PDF"
        reference = "https://attack.mitre.org/techniques/T1036/008/"
        severity = "high"
    strings:
        $pdf = /%PDF-[12]\.[0-9]/
    condition:
        uint16be(0) == 0x4D5A and uint32be(uint32(0x3C)) == 0x50450000 and $pdf in (0..1019)
}
