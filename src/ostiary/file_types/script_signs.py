"""Signs of the script languages that Windows runs on a double click, and of Python: a table.

Each sign is looked for where a statement begins. A certain sign is worth 3 points, a strong one 2, a weak
one 1, each once; ENOUGH points make a script. A bare weak sign is what other languages have as well.
"""

import re
from dataclasses import dataclass
from typing import Final

BATCH: Final = "text/x-msdos-batch"
JAVASCRIPT: Final = "text/javascript"
POWERSHELL: Final = "text/x-powershell"
PYTHON: Final = "text/x-script.python"
VBSCRIPT: Final = "text/vbscript"

ENOUGH: Final = 3

_STATEMENT: Final = r"(?:^|(?<=[;{(|&=]))[ \t]{0,80}"
_VERB: Final = (
    "(?:Add|Clear|Compress|Convert(?:From|To)|Copy|Disable|Enable|Expand|Export|ForEach|Format|Get|Import"
    "|Invoke|Join|Move|New|Out|Read|Register|Remove|Restart|Resolve|Select|Send|Set|Sort|Split|Start|Stop|Test"
    "|Unblock|Update|Wait|Where|Write)"
)


@dataclass(frozen=True, slots=True)
class Language:
    """A language's type, the pattern of all its signs, and what each sign's group is worth.

    Without one of its words (lower case) a text is not searched any further.
    """

    kind: str
    signs: re.Pattern[str]
    worth: dict[str, int]
    words: tuple[str, ...]


def _language(
    kind: str,
    *,
    words: tuple[str, ...],
    certain: tuple[str, ...],
    strong: tuple[str, ...],
    weak: tuple[str, ...],
    begin: str = _STATEMENT,
    flags: int = re.IGNORECASE,
) -> Language:
    graded = [(sign, points) for signs, points in ((certain, 3), (strong, 2), (weak, 1)) for sign in signs]
    names = [f"g{number}" for number in range(len(graded))]
    parts = "|".join(f"(?P<{name}>{sign})" for name, (sign, _) in zip(names, graded, strict=True))
    worth = {name: points for name, (_, points) in zip(names, graded, strict=True)}
    return Language(kind, re.compile(f"{begin}(?:{parts})", re.MULTILINE | flags), worth, words)


LANGUAGES: Final = (
    _language(
        PYTHON,
        words=("import ", "def ", "__name__"),
        certain=(),
        strong=(
            r"if[ \t]+__name__[ \t]*==",
            r"from[ \t]+[\w.]+[ \t]+import[ \t]+[\w(*]",
            r"(?:async[ \t]+)?def[ \t]+\w+\([^\n]{0,200}:[ \t]*$",
        ),
        weak=(
            r"import[ \t]+[a-z_][\w.]*(?:[ \t]+as[ \t]+\w+)?[ \t]*$",
            r"class[ \t]+\w+(?:\([^)\n]*\))?:[ \t]*$",
            r"(?:if|elif|for|while|with|try|except)\b[^\n{]{0,120}:[ \t]*$",
            r"print\(",
            r"@\w[\w.]*[ \t]*(?:\(|$)",
        ),
        begin="^",
        flags=0,
    ),
    _language(
        POWERSHELL,
        words=(
            "$", "iex", "invoke-", "cmdletbinding", "add-type", "new-object", "set-",
            "[parameter", "function"
        ),
        certain=(
            r"(?:iex|Invoke-Expression)[ \t]*[($\"'&]",
            r"\[CmdletBinding\b",
            r"Set-(?:StrictMode|ExecutionPolicy)[ \t]+\S",
            r"Add-Type[ \t]+-",
            rf"function[ \t]+(?:\w+:)?{_VERB}-\w+",
        ),
        strong=(
            r"New-Object[ \t]+(?:-\w+[ \t]+)?[\w.]+",
            r"#requires[ \t]+-",
            r"\[Parameter\b",
            r"\$(?:env:|script:|global:|PSScriptRoot\b|ErrorActionPreference\b|PSVersionTable\b)",
            r"(?:if|elseif|while)[ \t]*\([^\n]{0,80}[ \t]-(?:eq|ne|lt|gt|le|ge|like|match|not|and|or)\b",
            r"foreach[ \t]*\([ \t]*\$\w+[ \t]+in\b",
        ),
        weak=(
            rf"{_VERB}-[A-Z][A-Za-z]+(?=[ \t]+[-$\"'@({{|]|[ \t]*$|[ \t]*[|;)])",
            rf"\$\w+[ \t]*=[ \t]*\(?(?:@[({{]|\[|{_VERB}-)",
            r"\[(?:string|int|bool|switch|array|hashtable|void|byte\[\]|(?:System|Net|IO)\.[\w.]+)\]",
            r"param[ \t]*\(",
            r"\$\w+[ \t]*=[ \t]*[$\"'\d]",
            r"\$\w+\.\w+",
        ),
    ),
    _language(
        VBSCRIPT,
        words=("createobject", "on error", "execute", "wscript", "option explicit", "msgbox", "dim "),
        certain=(
            r"(?:Set[ \t]+\w+[ \t]*=[ \t]*)?(?:WScript\.)?CreateObject[ \t]*\([ \t]*\"",
            r"On Error Resume Next\b",
            r"Execute(?:Global)?\b[ \t]*\(?[ \t]*\w+\(",
        ),
        strong=(
            r"WScript\.\w+",
            r"Option Explicit\b",
            r"MsgBox[ \t]*[(\"]",
            r"(?:Public[ \t]+|Private[ \t]+)?Dim[ \t]+\w+",
        ),
        weak=(
            r"Set[ \t]+\w+[ \t]*=[ \t]*\w",
            r"(?:(?:Public|Private)[ \t]+)?(?:Sub|Function)[ \t]+\w+[ \t]*(?:\(|$)",
            r"End (?:Sub|Function|If|With)[ \t]*$",
            r"(?:Else)?If[ \t][^\n]{1,120}[ \t]Then\b",
            r"Const[ \t]+\w+[ \t]*=",
        ),
    ),
    _language(
        BATCH,
        words=(
            "echo off", "cmd", "powershell", "pwsh", "setlocal", "%", "exist ", "errorlevel", "defined ",
            "mshta", "certutil", "rundll32", "regsvr32", "bitsadmin", "wscript", "cscript", "exit /b",
            "taskkill", "schtasks", "reg ", "attrib",
            "cd /", "rd /", "dir /", "del /", "copy /", "move /", "md /",
        ),
        certain=(
            r"@echo[ \t]+off\b",
            r"@?(?:start[ \t]+(?:/\w+[ \t]+)*)?(?:cmd|powershell|pwsh)(?:\.exe)?[ \t]+[-/][A-Za-z]",
        ),
        strong=(
            r"@?setlocal\b",
            r"@?for[ \t]+(?:/[dflr][ \t]+)?[^\n]{0,80}%%\w",
            r"@?if[ \t]+(?:/i[ \t]+)?(?:not[ \t]+)?(?:exist[ \t]+\S|errorlevel[ \t]+\d|defined[ \t]+\w)",
            r"@?(?:mshta|certutil|rundll32|regsvr32|bitsadmin|wscript|cscript)(?:\.exe)?[ \t]+[-/\"\w]",
            r"@?exit[ \t]+/b\b",
            r"@?(?:cd|rd|rmdir|del|copy|xcopy|move|md)[ \t]+(?:/[a-z]\b|\"?%)",
            r"[^\n%]{0,120}%(?:~[a-z]*\d|(?:(?:local)?appdata|te?mp|userprofile|systemroot|windir|comspec|errorlevel)%)",
            r"@?(?:taskkill|schtasks|reg|attrib)[ \t]+(?:/\w|add[ \t]|delete[ \t]|[+-][hrsa]\b)",
        ),
        weak=(
            r"@?set[ \t]+(?:/[ap][ \t]+)?\"?\w+=",
            r"@?goto[ \t]+:?\w+[ \t]*$",
            r":\w+[ \t]*$",
            r"(?:@?rem[ \t]|::)",
            r"@?echo[ \t.]",
            r"@?pause[ \t]*$",
            r"@?start[ \t]+(?:/\w+|\"|\w+\.exe|https?:)",
            r"@?call[ \t]+[:%\"]",
        ),
    ),
    _language(
        JAVASCRIPT,
        words=(
            "function", "=>", "var ", "let ", "const ", "wscript", "activex",
            "import ", "export ", "strict", "module.", "eval",
        ),
        certain=(
            r"(?:var[ \t]+\w+[ \t]*=[ \t]*)?new[ \t]+ActiveXObject[ \t]*\(",
            r"WScript\.(?:CreateObject|Shell|Sleep|Quit|Echo|Arguments|ScriptFullName)\b",
        ),
        strong=(
            r"[\"']use strict[\"'][ \t]*(?:;|$)",
            r"module\.exports\b",
            r"(?:const|let|var)[ \t]+[\w${}, ]{1,80}=[ \t]*(?:await[ \t]+)?(?:require|import)[ \t]*\(",
            r"import[ \t][^\n;]{1,200}[ \t]from[ \t]+[\"']",
            r"\(function[ \t]*\(",
            r"\([ \t]*\([ \t]*\)[ \t]*=>[ \t]*\{",
            r"!function[ \t]*\(",
            r"export[ \t]+(?:default[ \t]|(?:const|function|class|async)[ \t]+\w)",
        ),
        weak=(
            r"(?:const|let|var)[ \t]+[A-Za-z_$][\w$]*[ \t]*(?:=[^\n]{0,200};|;|,)",
            r"(?:async[ \t]+)?function[ \t]*\*?[ \t]*[\w$]*[ \t]*\([^)\n]{0,200}\)[ \t]*\{",
            r"(?:console|document|window|JSON|Math|Object)[ \t]*\.[a-zA-Z]+",
            r"(?:const|let|var)[ \t]+[^\n]{0,120}=>",
            r"eval[ \t]*\(",
            r"[\w$.]+[ \t]*=[ \t]*function\b",
            r"return\b[^\n]{0,120};[ \t]*$",
        ),
        flags=0,
    ),
)  # fmt: skip
"""In the order in which they are asked, the cheapest first: the first that says yes decides."""

NEED_MORE_THAN_WEAK: Final = frozenset({VBSCRIPT, BATCH, PYTHON})
"""Languages whose weak signs other languages share."""

OTHERS: Final = re.compile(
    r"^(?:#include[ \t]*[<\"]|package[ \t]+[\w.]+;?[ \t]*$|using[ \t]+[\w.]+;|namespace[ \t]+\w|func[ \t]+\w"
    r"|(?:pub[ \t]+)?(?:fn|mod|impl|struct|enum|trait)[ \t]+\w|use[ \t]+\w+(?:::|[ \t;])|let[ \t]+mut[ \t]"
    r"|(?:public|private|protected|abstract|final)[ \t]+(?:class|static|final|interface)[ \t]|fun[ \t]+\w"
    r"|import[ \t]+[\w.]+;|sub[ \t]+\w+[ \t]*\{|my[ \t]+[$@%]|local[ \t]+function|<\w|SELECT[ \t]"
    r"|CREATE[ \t]TABLE|\.(?:TH|SH|PP|Dd|so)\b|\.\\\"|'\\\""
    r"|@(?:interface|implementation|property)\b|typedef[ \t]|template[ \t]*<|%[%!])",
    re.MULTILINE,
)
"""What stands at the beginning of lines in other languages: with it, weak and strong signs count nothing."""
