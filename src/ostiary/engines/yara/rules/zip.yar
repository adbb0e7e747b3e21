/*
  Zip archives: names that lie, macros and encryption that the directory gives away, and bombs.

  A directory entry (PK 01 02) holds: flags +8, method +10, CRC-32 +16, packed size +20, size +24,
  name length +28, extra length +30, comment length +32, offset of the local entry +42, name +46.
  A local entry (PK 03 04): flags +6, name length +26, name +30. A name counts only where a header
  of the right length stands before it. Loops are bounded: over names they walk backwards from the
  last one, since the directory stands at the end; an archive with more entries than the others
  walk is Ostiary_Zip_Bomb_Members.
*/

rule Ostiary_Zip_Name_DoubleExtension
{
    meta:
        description = "A zip member that looks like a document or an image and is a program, as invoice.pdf.exe, also with spaces before the last extension"
        reference = "https://attack.mitre.org/techniques/T1036/007/"
        severity = "high"
    strings:
        // Longer gaps are those of $spaces, whatever stands before them.
        $program = /\.(jpe?g|png|gif|bmp|webp|heic|tiff?|pdf|docx?|xlsx?|pptx?|rtf|odt|ods|txt|mp3|mp4|avi|mov)(\x20|_|\xC2\xA0|\xE2\x80[\x80-\x8F\xAF]|\xE2\xA0\x80|\xE3\x80\x80){0,11}\.(exe|scr|com|pif|bat|cmd|cpl|hta|msi|lnk|vbs|vbe|wsf|ps1)/ nocase
        $script = /\.(pdf|docx|xlsx|pptx|rtf|jpe?g)(\x20|_|\xC2\xA0|\xE2\x80[\x80-\x8F\xAF]|\xE2\xA0\x80|\xE3\x80\x80){0,120}\.js/ nocase
        $encoded = /\.(pdf|docx?|xlsx?|pptx?|rtf|txt|jpe?g|png|gif)(\x20|_|\xC2\xA0|\xE2\x80[\x80-\x8F\xAF]|\xE2\xA0\x80|\xE3\x80\x80){0,11}\.jse/ nocase
        $spaces = /(\x20|\xC2\xA0|\xE2\x80[\x80-\x8F\xAF]|\xE2\xA0\x80|\xE3\x80\x80){12}\.(exe|scr|com|pif|bat|cmd|cpl|hta|msi|lnk|vbs|vbe|wsf|jse|ps1)/ nocase
    condition:
        for any of them : (
            # > 0 and
            for any back in (0..900) : (
                with end = @[# - back] + ![# - back] : (
                    for any length in (5..1000) : (
                        (uint32(end - length - 46) == 0x02014B50 and uint16(end - length - 18) == length) or
                        (uint32(end - length - 30) == 0x04034B50 and uint16(end - length - 4) == length)
                    )
                )
            )
        )
}

rule Ostiary_Zip_Name_RightToLeft
{
    meta:
        description = "A zip member that is a program and whose name holds the right-to-left override, so that it shows another extension"
        reference = "https://attack.mitre.org/techniques/T1036/002/"
        severity = "high"
    strings:
        $override = { E2 80 AE }
    condition:
        $override and
        for any back in (0..1000) : (
            for any before in (0..250) : (
                with name = @override[#override - back] - before : (
                    (
                        uint32(name - 46) == 0x02014B50 and before < uint16(name - 18) and
                        // The last four bytes in lower case: a program, or .js behind any letter.
                        with ending = uint32be(name + uint16(name - 18) - 4) | 0x20202020 : (
                            ending == 0x2E657865 or ending == 0x2E736372 or ending == 0x2E636F6D or
                            ending == 0x2E706966 or ending == 0x2E626174 or ending == 0x2E636D64 or
                            ending == 0x2E63706C or ending == 0x2E687461 or ending == 0x2E6D7369 or
                            ending == 0x2E6C6E6B or ending == 0x2E766273 or ending == 0x2E766265 or
                            ending == 0x2E777366 or ending == 0x2E6A7365 or ending == 0x2E707331 or
                            ending & 0xFFFFFF == 0x2E6A73
                        )
                    ) or
                    (
                        uint32(name - 30) == 0x04034B50 and before < uint16(name - 4) and
                        with ending = uint32be(name + uint16(name - 4) - 4) | 0x20202020 : (
                            ending == 0x2E657865 or ending == 0x2E736372 or ending == 0x2E636F6D or
                            ending == 0x2E706966 or ending == 0x2E626174 or ending == 0x2E636D64 or
                            ending == 0x2E63706C or ending == 0x2E687461 or ending == 0x2E6D7369 or
                            ending == 0x2E6C6E6B or ending == 0x2E766273 or ending == 0x2E766265 or
                            ending == 0x2E777366 or ending == 0x2E6A7365 or ending == 0x2E707331 or
                            ending & 0xFFFFFF == 0x2E6A73
                        )
                    )
                )
            )
        )
}

rule Ostiary_Zip_Encrypted
{
    meta:
        description = "A zip archive with an encrypted member: nobody can look inside"
        reference = "https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT"
        severity = "info"
        finding = "encrypted_archive"
    strings:
        $member = { 50 4B 01 02 [4] (?1 | ?3 | ?5 | ?7 | ?9 | ?B | ?D | ?F) ?? ?? 00 }
        $end = { 50 4B 05 06 }
        $local = { 50 4B 03 04 [2] (?1 | ?3 | ?5 | ?7 | ?9 | ?B | ?D | ?F) ?? ?? 00 }
    condition:
        $local at 0 or
        ($member and for any i in (1..100) : (
            i <= #end and
            (uint32(0) == 0x04034B50 or @end[i] + 22 + uint16(@end[i] + 20) == filesize) and
            uint32(@end[i] - uint32(@end[i] + 12)) == 0x02014B50 and
            $member in (@end[i] - uint32(@end[i] + 12)..@end[i])
        ))
}

rule Ostiary_Zip_Office_Macro
{
    meta:
        description = "An Office document (OOXML) with a VBA project or an Excel 4.0 macro sheet; it is packed, so whether it runs by itself can't be seen"
        reference = "https://attack.mitre.org/techniques/T1059/005/"
        severity = "medium"
        finding = "macro"
    strings:
        $vba = "vbaProject.bin" nocase
        $sheet = "xl/macrosheets/" nocase
    condition:
        ($vba and for any back in (0..1000) : (
            for any before in (0..60) : (
                with name = @vba[#vba - back] - before : (
                    (uint32(name - 46) == 0x02014B50 and uint16(name - 18) == before + 14) or
                    (uint32(name - 30) == 0x04034B50 and uint16(name - 4) == before + 14)
                )
            )
        )) or
        ($sheet and for any back in (0..1000) : (
            with name = @sheet[#sheet - back] : (uint32(name - 46) == 0x02014B50 or uint32(name - 30) == 0x04034B50)
        ))
}

rule Ostiary_Zip_Bomb_Ratio
{
    meta:
        description = "A zip member that unpacks to 256 MiB or more at 200 to 1 or more, or eight of 32 MiB or more at that ratio"
        reference = "https://www.bamsoftware.com/hacks/zipbomb/"
        severity = "medium"
        finding = "limit"
    strings:
        $member = { 50 4B 01 02 [6] (08 | 09 | 0C | 0E | 5D | 5F | 62 | 63) 00 }
    condition:
        $member and
        (
            for any i in (1..65536) : (
                i <= #member and
                with packed = uint32(@member[i] + 20), size = uint32(@member[i] + 24) : (
                    size >= 0x10000000 and size \ 200 >= packed
                )
            ) or
            for 8 i in (1..65536) : (
                i <= #member and
                with packed = uint32(@member[i] + 20), size = uint32(@member[i] + 24) : (
                    size >= 0x2000000 and size \ 200 >= packed
                )
            ) or
            for any i in (1..65536) : (
                i <= #member and uint32(@member[i] + 24) == 0xFFFFFFFF and
                with extra = @member[i] + 46 + uint16(@member[i] + 28) : (
                    uint16(extra) == 1 and uint32(extra + 8) > 0 and uint32(extra + 8) * 0x100000000 \ 200 >= filesize
                )
            )
        )
}

rule Ostiary_Zip_Bomb_Overlap
{
    meta:
        description = "A zip archive whose members share packed bytes, each unpacking to over 1 MiB"
        reference = "https://www.bamsoftware.com/hacks/zipbomb/"
        severity = "high"
        finding = "limit"
    strings:
        $member = { 50 4B 01 02 [6] (08 | 09 | 0C | 0E | 5D | 5F | 62 | 63) 00 }
    condition:
        $member and
        (
            for 2 i in (1..65536) : (
                i <= #member and uint32(@member[i] + 24) > 0x100000 and
                with offset = uint32(@member[i] + 42),
                     next = @member[i] + 46 + uint16(@member[i] + 28) + uint16(@member[i] + 30) + uint16(@member[i] + 32) : (
                    uint32(next) == 0x02014B50 and offset < filesize and offset <= uint32(next + 42) and
                    uint32(next + 42) < offset + 30 + uint32(@member[i] + 20)
                )
            ) or
            // Nine members that each take over an eighth of the file can't lie beside each other in it.
            for 9 i in (1..65536) : (
                i <= #member and uint32(@member[i] + 24) > 0x100000 and uint32(@member[i] + 20) > filesize \ 8
            )
        )
}

rule Ostiary_Zip_Bomb_Nested
{
    meta:
        description = "A zip archive that holds the same archive ten times or more, as 42.zip does on each of its levels"
        reference = "https://www.bamsoftware.com/hacks/zipbomb/"
        severity = "medium"
        finding = "limit"
    strings:
        $member = { 50 4B 01 02 }
        $archive = ".zip" nocase
    condition:
        $archive and
        for any first in (1..500) : (
            first <= #member and
            $archive at @member[first] + 42 + uint16(@member[first] + 28) and
            for 9 other in (1..1000) : (
                other <= #member and other != first and
                uint32(@member[other] + 16) == uint32(@member[first] + 16) and
                uint32(@member[other] + 24) == uint32(@member[first] + 24) and
                $archive at @member[other] + 42 + uint16(@member[other] + 28)
            )
        )
}

rule Ostiary_Zip_Bomb_Members
{
    meta:
        description = "More than 65,536 zip directory entries: more than the other rules walk, and a bomb of its own for who unpacks it"
        reference = "https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT"
        severity = "medium"
        finding = "limit"
    strings:
        $member = { 50 4B 01 02 }
    condition:
        #member > 65536
}

rule Ostiary_Gzip_Bomb_Ratio
{
    meta:
        description = "A gzip file that says it unpacks to 256 MiB or more at 200 to 1 or more, which deflate can do (1032 to 1 at most)"
        reference = "https://www.rfc-editor.org/rfc/rfc1952"
        severity = "medium"
        finding = "limit"
    condition:
        uint32be(0) & 0xFFFFFF00 == 0x1F8B0800 and
        with size = uint32(filesize - 4) : (
            size >= 0x10000000 and size \ 200 >= filesize and size \ 1032 <= filesize
        )
}
