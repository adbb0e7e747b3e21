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
        $powershell_arguments = /(\s[\-\/]e(c|nc|ncodedcommand)?\s+["']?[a-z0-9+\/=]{16}|\s[\-\/]w(in|indowstyle)?\s+["']?(h|1\s)|frombase64string|downloadstring|downloadfile|downloaddata|net\.webclient|invoke-webrequest|invoke-restmethod|invoke-expression|start-bitstransfer|\biwr\s|\birm\s|\biex[\s(]|https?:\/\/)/ ascii wide nocase
        $cmd = /(cmd|comspec)[^\r\n]{0,60}\s\/[a-z]{0,2}[ck]\s/ ascii wide nocase
        $cmd_arguments = /(mshta|wscript|cscript|certutil|bitsadmin|regsvr32|\bcurl(\.exe)?\s|\bftp(\.exe)?\s|finger(\.exe)?\s|https?:\/\/|findstr[^\r\n]{1,100}\.lnk)/ ascii wide nocase
        $mshta = /mshta(\.exe)?["']?[^\r\n]{0,60}(https?:|javascript:|vbscript:|\.hta|about:)/ ascii wide nocase
        $rundll = /rundll32(\.exe)?["']?[^\r\n]{0,60}(javascript:|https?:|\\\\[^\s\\]{1,100}\\)/ ascii wide nocase
        $regsvr = /regsvr32(\.exe)?["']?[^\r\n]{0,100}(\/i:|scrobj)/ ascii wide nocase
        $script = /[wc]script(\.exe)?["']?[^\r\n]{0,60}(https?:|\/\/e:|\.(js|jse|vbs|vbe|wsf)\b)/ ascii wide nocase
        $certutil = /certutil(\.exe)?["']?[^\r\n]{0,60}[\-\/](urlcache|decode)/ ascii wide nocase
        $bits = /bitsadmin(\.exe)?["']?[^\r\n]{0,60}\/transfer/ ascii wide nocase
    condition:
        uint32be(0) == 0x4C000000 and uint32be(4) == 0x01140200 and uint32be(8) == 0 and
        uint32be(12) == 0xC0000000 and uint32be(16) == 0x00000046 and
        (
            ($powershell and $powershell_arguments) or ($cmd and $cmd_arguments) or
            $mshta or $rundll or $regsvr or $script or $certutil or $bits
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
        all of them
}
