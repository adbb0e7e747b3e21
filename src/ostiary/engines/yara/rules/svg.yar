/*
  SVG images that run script. A browser runs it whenever the image is opened as a document.

  Plain and UTF-16 text; gzip (svgz) is not unpacked. The root element has to be svg: a web page
  with a drawing and a script is an ordinary web page. What stands before the first <svg is
  taken for a page when it holds a start tag of one outside a comment and outside a processing
  instruction; a document type with entities makes it SVG again. A file that starts as PHP is none.
*/

private rule svg
{
    strings:
        $root = /<([A-Za-z_][A-Za-z0-9_.-]{0,30}:)?svg[\s>\/]/ ascii wide
        $declaration = /<\?[A-Za-z_]/ ascii wide
        $comment = "<!--" ascii wide
        $comment_end = "-->" ascii wide
        $doctype = "<!DOCTYPE" ascii wide nocase
        $entity = "<!ENTITY" ascii wide
        $page = /<(html|head|body|template|script|style|meta|link|div|span|section|main|article|nav|header|footer|table|form|button|title|img|ul|ol|p|a|h[1-6])[\s>\/]/ ascii wide nocase
    condition:
        $root and uint32be(0) != 0x3C3F7068 and
        for any of ($root, $declaration, $comment, $doctype) : (
            @ == 0 or
            for all k in (0..65535) : (
                k >= @ or
                uint8(k) == 0x20 or uint8(k) == 0x09 or uint8(k) == 0x0A or uint8(k) == 0x0D or uint8(k) == 0x00 or
                uint8(k) == 0xEF or uint8(k) == 0xBB or uint8(k) == 0xBF or uint8(k) == 0xFE or uint8(k) == 0xFF
            )
        ) and
        (
            not $page in (0..@root[1]) or
            $entity in (0..@root[1]) or
            @comment[2001] < @root[1] or
            not for any i in (1..50) : (
                i <= #page and @page[i] < @root[1] and
                not for any j in (1..2000) : (
                    j <= #comment and @comment[j] < @page[i] and not $comment_end in (@comment[j] + 2..@page[i])
                ) and
                // A tag inside a processing instruction: <? before it, and no > between them.
                not for any back in (2..1000) : (
                    (uint16be(@page[i] - back) == 0x3C3F or uint32be(@page[i] - back) == 0x3C003F00) and
                    for all k in (1..back) : (uint8(@page[i] - k) != 0x3E)
                )
            )
        )
}

rule Ostiary_Svg_Script
{
    meta:
        description = "An SVG image with a script element, or with a stylesheet (XSLT) that can make one"
        reference = "https://www.w3.org/TR/SVG2/interact.html#ScriptElement"
        severity = "medium"
    strings:
        $script = /<([A-Za-z_][A-Za-z0-9_.-]{0,30}:)?script[\s>\/]/ ascii wide nocase
        $stylesheet = /<\?xml-stylesheet\s[^<>]{0,300}xslt?["'+]/ ascii wide
    condition:
        any of them and svg
}

rule Ostiary_Svg_EventHandler
{
    meta:
        description = "An SVG image with an event attribute, such as onload"
        reference = "https://www.w3.org/TR/SVG2/interact.html#EventAttributes"
        severity = "medium"
    strings:
        $handler = /[\s"'\/]on[a-z]{3,24}\s{0,50}=\s{0,50}["']/ ascii wide nocase
    condition:
        $handler and svg
}

rule Ostiary_Svg_ScriptUrl
{
    meta:
        description = "An SVG image with a javascript: link, also with character references in it, or with a link to a page inside a data: URL"
        reference = "https://www.w3.org/TR/SVG2/linking.html"
        severity = "medium"
    strings:
        $plain = /=\s{0,50}["']([^"'<>]{0,200};)?\s{0,200}javascript:/ ascii wide nocase
        $written = /(href|to|from|by|values)\s{0,50}=\s{0,50}["']\s{0,200}(&#(x0{0,8}(9|a|d|20|4a|6a)|0{0,8}(9|10|13|32|74|106));|j[a-z]{0,9}&(#|tab;|newline;|colon;))/ ascii wide nocase
        $data = /=\s{0,50}["']\s{0,200}data:(text\/(html|xml|javascript)|application\/(xhtml|xml|javascript|x-javascript))/ ascii wide nocase
        $use = /<([A-Za-z_][A-Za-z0-9_.-]{0,30}:)?use\s[^<>]{0,500}href\s{0,50}=\s{0,50}["']\s{0,200}data:/ ascii wide nocase
    condition:
        any of them and svg
}

rule Ostiary_Svg_Frame
{
    meta:
        description = "An SVG image with an HTML frame or plug-in in it (iframe, embed, object)"
        reference = "https://www.w3.org/TR/SVG2/embedded.html"
        severity = "medium"
    strings:
        $frame = /<([A-Za-z_][A-Za-z0-9_.-]{0,30}:)?(iframe|embed|frame)[\s>\/]/ ascii wide nocase
        $object = /<([A-Za-z_][A-Za-z0-9_.-]{0,30}:)?object\s/ ascii wide nocase
        $data = /\sdata\s{0,20}=/ ascii wide nocase
    condition:
        (
            $frame or
            $object and for any i in (1..1000) : (i <= #object and $data in (@object[i]..@object[i] + 600))
        ) and svg
}

rule Ostiary_Svg_HiddenMarkup
{
    meta:
        description = "An SVG image whose entities spell markup or letters as character references, which only serves to hide them"
        reference = "https://www.w3.org/TR/xml/#sec-entexpand"
        severity = "medium"
    strings:
        $entity = /<!ENTITY\s[^<"']{1,200}("[^"]{0,3000}|'[^']{0,3000})&#(0{0,8}(60|6[5-9]|[78][0-9]|90|9[7-9]|1[01][0-9]|12[0-2])|x0{0,8}(3c|4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a]));/ ascii wide nocase
    condition:
        $entity and svg
}
