/*
  Windows shortcuts and HTML applications that fetch or start programs.

  A shortcut is told by its header (size 4C and the class 00021401-0000-0000-C000-000000000046).
  Its arguments are UTF-16 or the system's code page. A shortcut that just starts a shell, as
  Windows itself has many, is no finding.
*/

rule Ostiary_Lnk_Dropper
{
    meta:
        description = "A Windows shortcut whose arguments make a shell or a script host fetch, decode or hide something"
        reference = "https://attack.mitre.org/techniques/T1204/002/"
        severity = "high"
    strings:
        $powershell = /(powershell|pwsh)/ ascii wide nocase
        $powershell_work = /([\-\/]e(c|nc|ncodedcommand)?\s{1,20}["']?[a-z0-9+\/=]{16}|frombase64string|downloadstring|downloadfile|downloaddata|net\.webclient|invoke-webrequest|invoke-restmethod|invoke-expression|start-bitstransfer|\b(iwr|irm|iex)[\s(]|https?:\/\/)/ ascii wide nocase
        $hidden = /[\-\/]w(in|indowstyle)?\s{1,20}["']?(h|1\s)/ ascii wide nocase
        $inline = /[\-\/]c(ommand)?[\s"'&{]/ ascii wide nocase
        $cmd = /(cmd\.exe|comspec)/ ascii wide nocase
        $cmd_switch = /\/[a-z]{0,2}[ck][\s"']/ ascii wide nocase
        $cmd_work = /\b(curl|ftp|finger)(\.exe)?\s/ ascii wide nocase
        $mshta = "mshta" ascii wide nocase
        $mshta_work = /(https?:|javascript:|vbscript:|about:)/ ascii wide nocase
        $rundll = "rundll32" ascii wide nocase
        $rundll_work = /(javascript:|runhtmlapplication|\\\\[a-z0-9.\-]{1,100}(@[a-z0-9]{1,5})?\\[^\r\n"',]{1,200}\.(dll|cpl|ocx))/ ascii wide nocase
        $regsvr = "regsvr32" ascii wide nocase
        $regsvr_work = /(\/i:["']?(https?:|ftp:|\\\\)|scrobj\.dll)/ ascii wide nocase
        $host = /[wc]script\.exe/ ascii wide nocase
        $host_work = /(https?:|\/\/e:)/ ascii wide nocase
        $certutil = "certutil" ascii wide nocase
        $certutil_work = /[\-\/](urlcache|decode)/ ascii wide nocase
        $bits = "bitsadmin" ascii wide nocase
        $bits_work = /[\-\/]transfer/ ascii wide nocase
    condition:
        uint32be(0) == 0x4C000000 and uint32be(4) == 0x01140200 and uint32be(8) == 0 and
        uint32be(12) == 0xC0000000 and uint32be(16) == 0x00000046 and
        (
            ($powershell and ($powershell_work or ($hidden and $inline))) or
            ($cmd and $cmd_switch and $cmd_work) or
            ($mshta and $mshta_work) or ($rundll and $rundll_work) or ($regsvr and $regsvr_work) or
            ($host and $host_work) or ($certutil and $certutil_work) or ($bits and $bits_work)
        )
}

rule Ostiary_Hta_Dropper
{
    meta:
        description = "An HTML application whose script uses the Windows shell, writes files or fetches them"
        reference = "https://attack.mitre.org/techniques/T1218/005/"
        severity = "high"
    strings:
        $application = /<hta:application[\s>\/]/ ascii wide nocase
        $script = /<script[\s>]/ ascii wide nocase
        $object = /(wscript\.shell|shell\.application|adodb\.stream|scripting\.filesystemobject|xmlhttp)/ ascii wide nocase
    condition:
        $application and $script and $object and
        (
            // Markup from the start, or hung onto a program; an article that quotes one is neither.
            for any k in (0..510) : (uint16(k) == 0) or
            for any k in (0..255) : (
                uint8(k) == 0x3C and
                for all before in (0..255) : (
                    before >= k or uint8(before) <= 0x20 or uint8(before) == 0xEF or uint8(before) == 0xBB or
                    uint8(before) == 0xBF or uint8(before) == 0xFE or uint8(before) == 0xFF
                )
            )
        )
}
