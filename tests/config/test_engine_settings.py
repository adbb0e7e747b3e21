"""The engines: their keys, those that are not built, and which of them run."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ostiary.config.engines import (
    ENGINES,
    ClamdSettings,
    FileTypeSettings,
    HmaSettings,
    PerceptualSettings,
    ScriptSettings,
    YaraSettings,
)
from ostiary.config.engines.clamd import Addresses
from ostiary.config.settings import Settings, effective_engines
from ostiary.engines.clamd.address import parse_address
from tests.config.conftest import Complaining, Loading

ADDRESSES: TypeAdapter[tuple[str, ...]] = TypeAdapter(Addresses)
EMPTY = "the list is empty, so nothing would be scanned; leave the key out for the built-in YARA rules"
ADDRESS = "expected unix:/path/to/socket, tcp:host:port or tcp:[address]:port"
ONE_OR_MORE = f"expected an address or a list of addresses, each {ADDRESS.removeprefix('expected ')}"
OURS = "is what verdicts and logs call a part of Ostiary: choose another"
TYPES = ", ".join(ENGINES)
NOBODY = "nobody could call a file clean: one engine at least is required and no shadow"


def names(settings: Settings) -> list[str | None]:
    """Return the names of the engines that run."""
    return [engine.name for engine in effective_engines(settings)]


def test_defaults(load_text: Loading) -> None:
    """Each type has the settled defaults, and its own bound of work at the same time."""
    text = "engines: [{type: clamd, address: unix:/c}, {type: yara}, {type: script, path: s}]"
    clamd, yara, script = load_text(text).engines
    assert isinstance(clamd, ClamdSettings)
    assert (clamd.address, clamd.concurrency) == (("unix:/c",), 8)
    assert isinstance(yara, YaraSettings)
    assert (yara.rules, yara.concurrency) == (("builtin",), None)
    assert isinstance(script, ScriptSettings)
    assert (script.path, script.concurrency) == (Path("s"), 4)
    for engine in (clamd, yara, script):
        assert (engine.required, engine.shadow, engine.timeout, engine.proof) == (True, False, 30.0, "auto")


def test_file_types(load_text: Loading) -> None:
    """By default all types pass and nothing else may lie in a file; lists are read in lower case."""
    text = "engines: [{type: filetype}, {type: filetype, allow: [Image/*], block: ['application/vnd.ms-*']}]"
    plain, listed = load_text(text).engines
    assert isinstance(plain, FileTypeSettings)
    assert (plain.allow, plain.block, plain.trailing_data) == (None, (), "block")
    assert isinstance(listed, FileTypeSettings)
    assert (listed.allow, listed.block) == (("image/*",), ("application/vnd.ms-*",))


def test_settings_can_be_made_of_values() -> None:
    """Tests and tools may build settings without a file; the same rules hold."""
    engine = ClamdSettings(type="clamd", address=("unix:/c",))
    assert effective_engines(Settings(engines=(engine,))) == (engine.model_copy(update={"name": "clamd"}),)
    with pytest.raises(ValueError, match="nobody could call a file clean"):
        Settings(engines=(YaraSettings(type="yara", shadow=True),))


def test_neither_script_nor_engines(load_text: Loading) -> None:
    """By default the built-in YARA rules decide alone."""
    (engine,) = effective_engines(load_text(""))
    assert isinstance(engine, YaraSettings)
    assert (engine.name, engine.rules, engine.required) == ("yara", ("builtin",), True)


@pytest.mark.parametrize("engines", ["", "engines: null\n", "engines: []\n"])
def test_a_script_without_engines_runs_alone(load_text: Loading, engines: str) -> None:
    """As in the Matrix Content Scanner; it may take the whole of scan.timeout, since it never had another."""
    (engine,) = effective_engines(load_text(engines + "scan: {script: ./s.sh, timeout: 90s}"))
    assert isinstance(engine, ScriptSettings)
    assert (engine.name, engine.path, engine.timeout, engine.required) == ("script", Path("s.sh"), 90.0, True)


def test_a_script_beside_engines_is_one_more(load_text: Loading) -> None:
    """The engines come first, the script last."""
    assert names(load_text("scan: {script: s}\nengines: [{type: yara}]")) == ["yara", "script"]


def test_engines_alone(load_text: Loading) -> None:
    """Without a script there is none."""
    assert names(load_text("engines: [{type: clamd, address: unix:/c}]")) == ["clamd"]


def test_names_are_unique(load_text: Loading, problems: Complaining) -> None:
    """Each engine has a name; those given are kept, the others go past them."""
    text = """
engines:
- {type: yara}
- {type: yara, name: yara-2}
- {type: yara}
- {type: script, path: a}
- {type: clamd, address: unix:/c, name: script}
scan: {script: s}
"""
    assert names(load_text(text)) == ["yara", "yara-2", "yara-3", "script-2", "script", "script-3"]
    twice = "engines:\n- {type: yara, name: a}\n- type: yara\n  name: a\n"
    assert problems(twice) == ["ostiary.yaml:4: engines[1].name: a is the name of another engine"]


@pytest.mark.parametrize(
    ("engines", "problem"),
    [
        ("[]", f"engines: {EMPTY}"),
        ("[{type: yara, shadow: true}]", f"engines: {NOBODY}"),
        ("[{type: yara, required: false}]", f"engines: {NOBODY}"),
        ("[{type: yara, required: false}, {type: yara, shadow: true}]",
         f"engines: {NOBODY}"),
        ("[{}]", f"engines[0].type: is missing: one of {TYPES}"),
        ("[{type: YARA}]", f'engines[0].type: "YARA" is none: one of {TYPES}'),
        ("[{type: [yara]}]", f"engines[0].type: a list is none: one of {TYPES}"),
        ("[yara]", "engines[0]: expected a mapping with a type, as {type: yara}"),
        ("[null]", "engines[0]: expected a mapping with a type, as {type: yara}"),
        ("[{type: clamd}]", "engines[0].address: is missing"),
        ("[{type: clamd, address: []}]", "engines[0].address: the list is empty"),
        ("[{type: clamd, address: [unix:/a, unix:/a]}]", "engines[0].address: the list holds an entry twice"),
        ("[{type: clamd, address: 3310}]", f"engines[0].address: {ONE_OR_MORE}"),
        ("[{type: clamd, address: {tcp: 3310}}]", f"engines[0].address: {ONE_OR_MORE}"),
        ("[{type: yara, name: policy}]", f'engines[0].name: "policy" {OURS}'),
        ("[{type: yara}, {type: yara, name: Gateway}]", f'engines[1].name: "Gateway" {OURS}'),
        ("[{type: clamd, address: [5]}]", "engines[0].address[0]: expected a text; put it in quotes"),
        ("[{type: clamd, address: localhost}]",
         f'engines[0].address[0]: "localhost": {ADDRESS}'),
        ("[{type: yara, rules: []}]", "engines[0].rules: the list is empty"),
        ("[{type: yara, proof: maybe}]", 'engines[0].proof: "maybe" is not one of auto or none'),
        ("[{type: yara, name: 'a b'}]",
         "engines[0].name: \"a b\" is no name: up to 64 letters, digits, '_', '.' and '-'"),
        ("[{type: yara, concurrency: 1001}]", "engines[0].concurrency: 1001 is out of range: at most 1000"),
        ("[{type: script}]", "engines[0].path: is missing"),
        ("[{type: filetype, block: [exe]}]",
         'engines[0].block[0]: "exe" is no media type: write type/subtype, as image/jpeg, or image/*'),
        ("[{type: filetype, trailing_data: maybe}]",
         'engines[0].trailing_data: "maybe" is not one of allow or block'),
    ],
)  # fmt: skip
def test_refused_engines(problems: Complaining, engines: str, problem: str) -> None:
    """An engine that could not run, or a list that could not judge, is a start error."""
    assert problems(f"engines: {engines}") == [f"ostiary.yaml:1: {problem}"]


def test_a_script_can_vouch_for_engines_that_can_not(load_text: Loading) -> None:
    """scan.script is required, and so decides where all others only watch."""
    assert names(load_text("scan: {script: s}\nengines: [{type: yara, shadow: true}]")) == ["yara", "script"]


@pytest.mark.parametrize(
    "text",
    [
        "unix:/run/clamav/clamd.ctl", "unix:/a:b", "unix:/" + "a" * 106, "tcp:clamav:3310", "tcp:127.0.0.1:1",
        "tcp:clamd.av.svc.cluster.local.:3310", "tcp:my_host:3310", "tcp:[::1]:65535",
        "tcp:[fe80::1%eth0]:3310",
    ],
)  # fmt: skip
def test_addresses(text: str) -> None:
    """A unix socket, or a host and a port; one address or a list of them."""
    assert ADDRESSES.validate_python(text) == (text,)
    assert ADDRESSES.validate_python([text, "unix:/x"]) == (text, "unix:/x")


@pytest.mark.parametrize(
    "text",
    [
        "", "unix:", "unix:clamd.sock", "unix:/a\0b", "unix:/a\nb", "unix:/" + "a" * 107, "tcp:", "tcp:h",
        "tcp:h:", "tcp:h:0", "tcp:h:65536", "tcp:h:x", "tcp:h:+1", "tcp:h:\u0663", "tcp:::1:3310",
        "tcp::3310", "tcp:[h]:1", "tcp:[]:1", "tcp:[::1::]:1", "tcp:a b:1",
        "tcp:a..b:1", "udp:h:1", "h:3310", "TCP:h:1", "/run/clamd.ctl",
    ],
)  # fmt: skip
def test_refused_addresses(text: str) -> None:
    """What a connect could misread is refused; a socket's path has at most 107 bytes."""
    with pytest.raises(ValidationError):
        ADDRESSES.validate_python(text)


@given(st.text() | st.from_regex(r"(unix:/?|tcp:)\[?[a-f0-9:%._]{0,20}\]?:?[0-9]{0,6}", fullmatch=True))
def test_the_engine_reads_every_address_that_loads(text: str) -> None:
    """The two grammars agree: an address that loads is one that the engine connects to, as it is spelt."""
    try:
        ADDRESSES.validate_python(text)
    except ValidationError:
        return
    read = str(parse_address(text))
    assert read == text or read.rpartition(":")[0] == text.rpartition(":")[0]  # port 03310 is 3310


def test_hma_and_perceptual(load_text: Loading, problems: Complaining) -> None:
    """HMA is asked about photos and videos unless told otherwise; PDQ hashes may differ by 31 of 256 bits."""
    hma, perceptual = load_text("engines: [{type: hma, url: http://h}, {type: perceptual, path: l}]").engines
    assert isinstance(hma, HmaSettings)
    assert (hma.url, hma.content_types, hma.concurrency) == ("http://h", ("photo", "video"), 8)
    assert isinstance(perceptual, PerceptualSettings)
    assert (perceptual.path, perceptual.distance, perceptual.concurrency) == (Path("l"), 31, None)
    assert problems("engines: [{type: hma, url: http://h, content_types: []}]") == [
        "ostiary.yaml:1: engines[0].content_types: the list is empty"
    ]
    (problem,) = problems("engines: [{type: hma, url: http://h, content_types: [text]}]")
    assert problem.startswith("ostiary.yaml:1: engines[0].content_types[0]: ")


def test_what_an_operator_tells_of_a_clamd(load_text: Loading) -> None:
    """Its limits and its kind of signatures, with clamd 1.4's defaults where nothing is told."""
    (clamd,) = load_text("engines: [{type: clamd, address: unix:/c}]").engines
    assert isinstance(clamd, ClamdSettings)
    assert (clamd.loose_signatures, clamd.max_file_size, clamd.max_scan_size) == (True, 100 << 20, 400 << 20)
    keys = "loose_signatures: false, max_file_size: 25MiB, max_scan_size: 100MiB"
    (told,) = load_text(f"engines: [{{type: clamd, address: unix:/c, {keys}}}]").engines
    assert isinstance(told, ClamdSettings)
    assert (told.loose_signatures, told.max_file_size, told.max_scan_size) == (False, 25 << 20, 100 << 20)
