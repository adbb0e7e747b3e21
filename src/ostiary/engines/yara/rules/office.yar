/*
  Office documents: macros, and RTF objects that start by themselves.

  VBA source is compressed; the names of procedures stand in clear in the stream _VBA_PROJECT as
  Office writes it. Where one that runs by itself is seen, the document is a finding; any other
  VBA project is `macro`, since its code can't be read here. For OOXML see Ostiary_Zip_Office_Macro.
*/

rule Ostiary_Office_Macro_AutoRun
{
    meta:
        description = "An Office document (OLE2) with a VBA macro that runs by itself when the document is opened or closed"
        reference = "https://attack.mitre.org/techniques/T1059/005/"
        severity = "high"
    strings:
        $ole = { D0 CF 11 E0 A1 B1 1A E1 }
        $project = "_VBA_PROJECT" wide
        $word = /(AutoOpen|AutoExec|AutoClose|AutoExit|AutoNew|Document_Open|Document_Close|Document_New|Document_BeforeClose)/ nocase
        $excel = /(Auto_Open|Auto_Close|Auto_Exec|Workbook_Open|Workbook_Activate|Workbook_Close|Workbook_BeforeClose|Workbook_WindowActivate)/ nocase
    condition:
        $ole and ($ole at 0 or uint32(0) == 0x04034B50) and ($word or $excel) and
        for any i in (1..1000) : (
            // A directory entry: name length in bytes at +64, type 2 (stream) at +66.
            i <= #project and uint16(@project[i] + 64) == 26 and uint8(@project[i] + 66) == 2
        )
}

rule Ostiary_Office_Macro
{
    meta:
        description = "An Office document (OLE2) with a VBA project whose code can't be read here"
        reference = "https://learn.microsoft.com/en-us/openspecs/office_file_formats/ms-ovba/575462ba-bf67-4190-9fac-c275523c75fc"
        severity = "medium"
        finding = "macro"
    strings:
        $ole = { D0 CF 11 E0 A1 B1 1A E1 }
        $project = "_VBA_PROJECT" wide
    condition:
        $ole at 0 and
        (
            #project > 1000 or
            for any i in (1..1000) : (
                i <= #project and uint16(@project[i] + 64) == 26 and uint8(@project[i] + 66) == 2
            )
        )
}

rule Ostiary_Office_Xlm_AutoRun
{
    meta:
        description = "An Excel 97-2003 workbook with an Excel 4.0 macro sheet and a built-in name Auto_Open or Auto_Close"
        reference = "https://attack.mitre.org/techniques/T1059/"
        severity = "high"
    strings:
        $ole = { D0 CF 11 E0 A1 B1 1A E1 }
        // BOUNDSHEET: visible, hidden or very hidden; type 1 is a macro sheet.
        $sheet = { 85 00 [6] (00 | 01 | 02) 01 [1-2] 00 }
        // NAME: flags with fBuiltin, no shortcut key, one character: 01 Auto_Open, 02 Auto_Close.
        $name = { 18 00 ?? 00 (20 | 21) 00 00 01 [2] 00 00 [2] 00 00 00 00 00 (01 | 02) }
    condition:
        $ole at 0 and $sheet and $name
}

rule Ostiary_Rtf_Equation
{
    meta:
        description = "An RTF document with an Equation 3.0 object that is updated, and so started, when the document is opened"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2017-11882"
        severity = "high"
    strings:
        $rtf = /\s{0,20}\{\\rt/
        $update = /[^\\]\\objupdate/
        $class = "4571756174696f6e2e33" nocase
        $clsid = "02ce020000000000c000000000000046" nocase
    condition:
        $rtf at 0 and $update and ($class or $clsid)
}

rule Ostiary_Rtf_LinkedObject
{
    meta:
        description = "An RTF document with a linked object from the web that is fetched when the document is opened"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2017-0199"
        severity = "high"
    strings:
        $rtf = /\s{0,20}\{\\rt/
        $update = /[^\\]\\objupdate/
        $link = /[^\\]\\objautlink/
        $class = "4f4c45324c696e6b" nocase
        $url = /6800740074007000(7300)?3a00/ nocase
    condition:
        $rtf at 0 and ($update or $link) and $class and
        for any i in (1..1000) : (
            i <= #class and $url in (@class[i]..@class[i] + 16384)
        )
}

rule Ostiary_Rtf_Embedded_Program
{
    meta:
        description = "An RTF document with a packaged file whose name is that of a program"
        reference = "https://attack.mitre.org/techniques/T1027/009/"
        severity = "high"
    strings:
        $rtf = /\s{0,20}\{\\rt/
        $package = "5061636b61676500" nocase
        $program = /2e(657865|736372|636f6d|706966|626174|636d64|63706c|687461|6d7369|6c6e6b|766273|766265|6a7365|777366)00/ nocase
    condition:
        $rtf at 0 and $package and
        for any i in (1..10000) : (
            i <= #package and $program in (@package[i]..@package[i] + 2048)
        )
}

rule Ostiary_Office_RemoteObject
{
    meta:
        description = "An Office document, as far as it lies there unpacked, with an OLE object from a web page (mhtml: or a link that ends in !)"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2021-40444"
        severity = "high"
    strings:
        $tag = /<([a-z0-9_.-]{1,30}:)?Relationship\s/ nocase
        $object = /relationships\/oleObject["']/ nocase
        $target = /Target\s{0,5}=\s{0,5}["'](mhtml:|https?:\/\/[^"'<>]{1,500}!["'])/ nocase
    condition:
        $object and $target and (uint32(0) == 0x04034B50 or uint16(0) == 0x3F3C) and
        for any i in (1..65536) : (
            i <= #tag and
            (
                ($object in (@tag[i]..@tag[i + 1]) and $target in (@tag[i]..@tag[i + 1])) or
                (i == #tag and $object in (@tag[i]..@tag[i] + 1200) and $target in (@tag[i]..@tag[i] + 1200))
            )
        )
}
