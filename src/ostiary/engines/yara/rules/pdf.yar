/*
  PDF files that start something when they are opened.

  Names may be written with #xx escapes, as /L#61unch: each letter below has both forms. Between a
  key and its value stands any white space. What lies in a compressed object stream, or in a
  string of an encrypted file, can't be seen here. Form fields with scripts (/AA with /K, /F, /V,
  /C) and scripts by name are ordinary forms and no finding; nor is printing at opening.
*/

rule Ostiary_Pdf_Launch
{
    meta:
        description = "A PDF whose launch action starts a program or passes Windows parameters, or that launches anything as soon as it is opened"
        reference = "https://attack.mitre.org/techniques/T1204/002/"
        severity = "high"
    strings:
        $pdf = "%PDF-"
        $launch = /\/(S|#53)[\x00\t\n\x0c\r ]{0,20}\/(L|#4[cC])(a|#61)(u|#75)(n|#6[eE])(c|#63)(h|#68)[\x00\t\n\x0c\r \/<>\[(]/
        $opens = /\/(O|#4[fF])(p|#70)(e|#65)(n|#6[eE])(A|#41)(c|#63)(t|#74)(i|#69)(o|#6[fF])(n|#6[eE])[\x00\t\n\x0c\r ]{0,20}<</
        $close = ">>"
        $windows = /\/(W|#57)(i|#69)(n|#6[eE])[\x00\t\n\x0c\r ]{0,20}<</
        $program = /\.(exe|com|scr|bat|cmd|pif|ps1|vbs|vbe|js|jse|wsf|hta|lnk|msi|cpl|dll|jar|sh)[\x00\x20]{0,4}\)/ nocase
        $program_wide = /\.\x00(e\x00x\x00e|c\x00o\x00m|s\x00c\x00r|b\x00a\x00t|c\x00m\x00d|h\x00t\x00a|l\x00n\x00k|m\x00s\x00i)[\x00\x20]{0,4}\)/ nocase
        $program_hex = /2e(00)?(65(00)?78(00)?65|63(00)?6f(00)?6d|73(00)?63(00)?72|62(00)?61(00)?74|63(00)?6d(00)?64|68(00)?74(00)?61|6c(00)?6e(00)?6b|6d(00)?73(00)?69)>/ nocase
        $interpreter = /[(\/\\](cmd|powershell|pwsh|mshta|wscript|cscript|rundll32|regsvr32|certutil|msiexec|bash)[\s)]/ nocase
    condition:
        $launch and $pdf in (0..1019) and
        (
            for any i in (1..50) : (
                i <= #opens and
                for any further in (12..400) : (
                    uint8(@opens[i] + further) == 0x2F and $launch at @opens[i] + further and
                    not $close in (@opens[i]..@opens[i] + further)
                )
            ) or
            #launch > 5000 or
            for any i in (1..5000) : (
                i <= #launch and
                for any of ($windows, $program, $program_wide, $program_hex, $interpreter) : (
                    $ in (@launch[i] - 500..@launch[i] + 700)
                )
            )
        )
}

// The loop over objects looks long, but most fail its first comparison, of one digit.
// suppress: too_many_iterations
rule Ostiary_Pdf_AutoRun_JavaScript
{
    meta:
        description = "A PDF that runs JavaScript when it, or a page of it, is opened, unless all the script does is print"
        reference = "https://attack.mitre.org/techniques/T1059/007/"
        severity = "medium"
        finding = "macro"
    strings:
        $pdf = "%PDF-"
        $opens = /\/(O|#4[fF])(p|#70)(e|#65)(n|#6[eE])(A|#41)(c|#63)(t|#74)(i|#69)(o|#6[fF])(n|#6[eE])[\x00\t\n\x0c\r ]{0,20}<</
        $page = /\/(A|#41){2}[\x00\t\n\x0c\r ]{0,20}<<[^<>]{0,60}\/(O|#4[fF]|PO)[\x00\t\n\x0c\r ]{0,20}<</
        $refers = /\/(O|#4[fF])(p|#70)(e|#65)(n|#6[eE])(A|#41)(c|#63)(t|#74)(i|#69)(o|#6[fF])(n|#6[eE])[\x00\t\n\x0c\r ]{1,20}[0-9]{1,8}/
        // Starts at the last digit of the object's number.
        $object = /[0-9][\x00\t\n\x0c\r ]{1,5}[0-9]{1,5}[\x00\t\n\x0c\r ]{1,5}obj[\x00\t\n\x0c\r ]{0,20}<</
        $script = /\/(S|#53)[\x00\t\n\x0c\r ]{0,20}\/(J|#4[aA])(a|#61)(v|#76)(a|#61)(S|#53)(c|#63)(r|#72)(i|#69)(p|#70)(t|#74)[\x00\t\n\x0c\r \/<>\[(]/
        $source = /\/(J|#4[aA])(S|#53)[\x00\t\n\x0c\r ]{0,20}[(<0-9]/
        $close = ">>"
        $print = /\/JS[\x00\t\n\x0c\r ]{0,20}\(\s{0,20}(this\.)?print\s{0,5}\\?\([^()]{0,200}\\?\)[;\s]{0,20}(\\[rn]){0,4}[;\s]{0,20}\)/
        $next = /\/(N|#4[eE])(e|#65)(x|#78)(t|#74)[\x00\t\n\x0c\r \/<>\[(]/
    condition:
        ($script or $source) and $pdf in (0..1019) and
        (
            #opens > 1000 or #page > 1000 or #script > 65536 or #source > 65536 or
            for any of ($opens, $page) : (
                for any i in (1..1000) : (
                    i <= # and (not $print in (@[i]..@[i] + 500) or $next in (@[i]..@[i] + 1000)) and
                    for any further in (5..300) : (
                        uint8(@[i] + further) == 0x2F and ($script at @[i] + further or $source at @[i] + further) and
                        not $close in (@[i]..@[i] + further)
                    )
                )
            ) or
            // The number after /OpenAction, compared from its last digit with those of the objects.
            ($refers and #object > 65536) or
            for any i in (1..2) : (
                i <= #refers and
                with named = @refers[i] + !refers[i] - 1 : (
                    for any j in (1..65536) : (
                        j <= #object and uint8(named) == uint8(@object[j]) and
                        for any digits in (1..8) : (
                            (uint8(named - digits) < 0x30 or uint8(named - digits) > 0x39) and
                            (uint8(@object[j] - digits) < 0x30 or uint8(@object[j] - digits) > 0x39) and
                            for all k in (0..7) : (k >= digits or uint8(named - k) == uint8(@object[j] - k))
                        ) and
                        (
                            not $print in (@object[j]..@object[j] + 500) or $next in (@object[j]..@object[j] + 1000)
                        ) and
                        ($script in (@object[j]..@object[j] + 300) or $source in (@object[j]..@object[j] + 300)) and
                        for any further in (5..300) : (
                            uint8(@object[j] + further) == 0x2F and
                            ($script at @object[j] + further or $source at @object[j] + further) and
                            not $close in (@object[j]..@object[j] + further)
                        )
                    )
                )
            )
        )
}

rule Ostiary_Pdf_Dropper_JavaScript
{
    meta:
        description = "A PDF with a script that saves an attached file and starts it (exportDataObject with nLaunch)"
        reference = "https://attack.mitre.org/techniques/T1204/002/"
        severity = "high"
    strings:
        $pdf = "%PDF-"
        $drop = /exportDataObject\s{0,20}\\?\(\s{0,20}\{[^{}]{0,300}nLaunch\s{0,20}["']?\s{0,20}:\s{0,20}[12]/
    condition:
        $pdf in (0..1019) and $drop
}

rule Ostiary_Pdf_Embedded_Program
{
    meta:
        description = "A PDF with an attached file whose name is that of a program"
        reference = "https://attack.mitre.org/techniques/T1027/009/"
        severity = "high"
    strings:
        $pdf = "%PDF-"
        $embedded = /\/(E|#45)(F|#46)[\x00\t\n\x0c\r ]{0,20}(<<|[0-9])/
        $name = /\/(U|#55)?(F|#46)[\x00\t\n\x0c\r ]{0,20}\([^()]{1,300}\.\x00?(e\x00?x\x00?e|s\x00?c\x00?r|c\x00?o\x00?m|p\x00?i\x00?f|b\x00?a\x00?t|c\x00?m\x00?d|c\x00?p\x00?l|h\x00?t\x00?a|m\x00?s\x00?i|l\x00?n\x00?k|v\x00?b\x00?[se]|j\x00?s\x00?e|w\x00?s\x00?f)[\x00\x20]{0,4}\)/ nocase
        $name_hex = /\/(U|#55)?(F|#46)[\x00\t\n\x0c\r ]{0,20}<[0-9a-f]{2,800}2e(00)?(65(00)?78(00)?65|73(00)?63(00)?72|63(00)?6f(00)?6d|62(00)?61(00)?74|63(00)?6d(00)?64|68(00)?74(00)?61|6c(00)?6e(00)?6b|6d(00)?73(00)?69|76(00)?62(00)?73)>/ nocase
    condition:
        $pdf in (0..1019) and $embedded and ($name or $name_hex)
}
