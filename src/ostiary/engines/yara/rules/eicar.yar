/*
  The EICAR test file: proof that scanning works, harmless by design. Its 68 bytes stand here as
  hex, so that a scanner which meets this file stays calm.
*/

rule Ostiary_Eicar_TestFile
{
    meta:
        description = "The EICAR test file: its 68 bytes, then nothing but white space, 128 bytes at most"
        reference = "https://www.eicar.org/download-anti-malware-testfile/"
        severity = "test"
    strings:
        // suppress: text_as_hex
        $eicar = { 58 35 4F 21 50 25 40 41 50 5B 34 5C 50 5A 58 35 34 28 50 5E 29 37 43 43 29 37 7D 24
                   45 49 43 41 52 2D 53 54 41 4E 44 41 52 44 2D 41 4E 54 49 56 49 52 55 53 2D 54 45 53
                   54 2D 46 49 4C 45 21 24 48 2B 48 2A }
    condition:
        filesize <= 128 and $eicar at 0 and
        for all i in (68..127) : (
            i >= filesize or uint8(i) == 0x20 or uint8(i) == 0x09 or uint8(i) == 0x0A or
            uint8(i) == 0x0D or uint8(i) == 0x1A
        )
}

rule Ostiary_Eicar_ZipMember
{
    meta:
        description = "A zip member whose CRC-32 (6851CF3C) and size (68) are those of the EICAR test file, compressed or encrypted"
        reference = "https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT"
        severity = "test"
    strings:
        $local = { 50 4B 03 04 [10] 3C CF 51 68 [4] 44 00 00 00 }
        $descriptor = { 50 4B 07 08 3C CF 51 68 [4] 44 00 00 00 }
        $central = { 50 4B 01 02 [12] 3C CF 51 68 [4] 44 00 00 00 }
    condition:
        any of them
}
