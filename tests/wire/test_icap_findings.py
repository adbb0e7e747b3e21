"""What the products' headers mean, by the answers that their documents show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.errors import EngineError
from ostiary.model import Cause, Finding, Forbidden, Infected, Unscannable
from ostiary.wire.icap.findings import READERS, Blocked, reading
from ostiary.wire.icap.head import Head
from ostiary.wire.icap.presets import PRESETS


def read(*fields: tuple[str, str], preset: str = "generic") -> Finding | Blocked | None:
    """Return what these fields say under a preset."""
    return reading(Head("ICAP/1.0 200 OK", fields), PRESETS[preset].headers)


@pytest.mark.parametrize(
    ("preset", "fields", "name"),
    [
        (
            "c-icap",
            [("x-infection-found", "Type=0; Resolution=2; Threat=Eicar-Test.UNOFFICIAL;")],
            "Eicar-Test.UNOFFICIAL",
        ),
        ("squidclamav", [("x-virus-id", "{HEX}EICAR.TEST.3.UNOFFICIAL")], "{HEX}EICAR.TEST.3.UNOFFICIAL"),
        (
            "kaspersky",
            [("x-virus-id", "HEUR:Backdoor.Java.QRat.gen"), ("x-response-info", "blocked")],
            "HEUR:Backdoor.Java.QRat.gen",
        ),
        ("sophos", [("x-virus-id", "Troj/DocDl-OYC")], "Troj/DocDl-OYC"),
        (
            "eset",
            [
                ("x-infection-found", "Type=0; Resolution=0; Threat=VBA/TrojanDownloader.Agent.JOA;"),
                ("x-virus-id", "Trojaner"),
                ("x-response-info", "Blocked"),
            ],
            "VBA/TrojanDownloader.Agent.JOA",
        ),
        (
            "trendmicro",
            [
                ("x-virus-id", "TSPY_ONLINEG.MCS"),
                ("x-infection-found", "Type=0; Resolution=2; Threat=TSPY_ONLINEG.MCS;"),
            ],
            "TSPY_ONLINEG.MCS",
        ),
        (
            "mcafee",
            [
                ("x-virus-name", "McAfeeGW: Artemis!603F, Avira: TR/Gendal.1024.J"),
                ("x-block-reason", "Malware found"),
            ],
            "McAfeeGW: Artemis!603F, Avira: TR/Gendal.1024.J",
        ),
        ("mcafee", [("x-block-reason", "Malware found")], "Malware found"),
        (
            "symantec",
            [("x-violations-found", "1\nblah2092302392\nEICAR Test String\n11101\n0")],
            "EICAR Test String",
        ),
        (
            "f-secure",
            [
                ("x-fsecure-scan-result", "infected"),
                ("x-fsecure-infection-name", '"Malware.W97M/Agent.32584203"'),
            ],
            "Malware.W97M/Agent.32584203",
        ),
        ("f-secure", [("x-fsecure-scan-result", "suspected")], "suspected"),
        (
            "metadefender",
            [
                ("x-blocked-reason", "Infected"),
                ("x-response-info", "Blocked"),
                ("x-virus-id", "EICAR Test String"),
            ],
            "EICAR Test String",
        ),
        (
            "clearswift",
            [("x-infection-found", "Type=0; Resolution=0; Threat=EICAR Test String;")],
            "EICAR Test String",
        ),
        ("generic", [("x-infection-name", "W32/Caf\u00c3\u00a9")], "W32/Caf\u00e9"),
    ],
)
def test_products_name_what_they_find(preset: str, fields: list[tuple[str, str]], name: str) -> None:
    """Each product's own answer to malware; the generic preset understands them all."""
    assert read(*fields, preset=preset) == Infected(name)
    assert read(*fields) == Infected(name)


@pytest.mark.parametrize(
    ("field", "cause"),
    [
        (
            ("x-infection-found", "Type=2; Resolution=2; Threat=Encrypted container violation;"),
            Cause.ENCRYPTED_ARCHIVE,
        ),
        (("x-infection-found", "Type=2; Resolution=2; Threat=Container size violation"), Cause.LIMIT),
        (("x-infection-found", "Type=2; Resolution=0; Threat=Something new;"), Cause.LIMIT),
        (("x-infection-found", "Type=1; Resolution=0; Threat=Encrypted Archive;"), Cause.ENCRYPTED_ARCHIVE),
        (
            ("x-infection-found", "Type=0; Resolution=2; Threat=Heuristics.Limits.Exceeded.MaxFileSize;"),
            Cause.LIMIT,
        ),
        (("x-infection-found", "Type=0; Resolution=2; Threat=Heuristics.OLE2.ContainsMacros;"), Cause.MACRO),
        (("x-virus-id", "Heuristics.Encrypted.Zip"), Cause.ENCRYPTED_ARCHIVE),
        (("x-virus-id", "Encrypted Archive"), Cause.ENCRYPTED_ARCHIVE),
        (("x-block-reason", "Archive not supported"), Cause.LIMIT),
    ],
)
def test_what_could_not_be_scanned_has_its_cause(field: tuple[str, str], cause: Cause) -> None:
    """It is neither clean nor malware, and each cause has a policy of its own."""
    said = read(field)
    assert isinstance(said, Unscannable)
    assert said.cause is cause


@pytest.mark.parametrize(
    "name",
    [
        "Ransom.Encrypted",
        "Heuristics.Encrypted.Zip.UNOFFICIAL",
        "Trojan.Encrypted archive",
        "X.password protected",
    ],
)
def test_a_threat_is_never_taken_for_an_archive(name: str) -> None:
    """Only whole texts are causes: policy may serve those."""
    assert read(("x-virus-id", name)) == Infected(name)


def test_a_rule_is_forbidden_and_a_reason_is_a_block() -> None:
    """Type=1 names a rule; a reason that we do not know may be anything, a missing licence too."""
    assert read(("x-infection-found", "Type=1; Resolution=2; Threat=Bad name;")) == Forbidden("Bad name")
    assert read(("x-block-reason", "Media Type (Block List)")) == Blocked("Media Type (Block List)")
    assert read(("x-virus-id", "no threats"), ("x-response-info", "blocked")) == Blocked("blocked")
    assert read(("x-violations-found", "1")) == Blocked("violations found")


@pytest.mark.parametrize(
    "field",
    [
        ("x-virus-id", "no threats"),
        ("x-virus-id", "No Threats"),
        ("x-virus-id", ""),
        ("x-violations-found", "0"),
        ("x-response-info", "Allowed"),
        ("x-response-info", "passed"),
        ("x-fsecure-scan-result", "clean"),
        ("x-blocked-reason", "none"),
        ("x-unknown", "Infected"),
    ],
)
def test_headers_that_say_nothing(field: tuple[str, str]) -> None:
    """Some products send them with every answer."""
    assert read(field) is None


@pytest.mark.parametrize(
    "field",
    [
        ("x-infection-found", ""),
        ("x-infection-found", "Threat=x"),
        ("x-infection-found", "Type=0; Resolution=0; Threat=;"),
        ("x-infection-found", "Type=7; Resolution=0; Threat=x;"),
        ("x-infection-found", "no threats"),
        ("x-violations-found", ""),
        ("x-violations-found", "many"),
        ("x-violations-found", "\u0663"),
        ("x-fsecure-scan-result", "error"),
        ("x-fsecure-scan-result", ""),
        ("x-virus-id", "\x85"),
        ("x-virus-id", "x" * 1025),
        ("x-virus-id", "x\x85y\u202e".encode("utf-8").decode("latin-1")),
    ],
)
def test_headers_that_can_not_be_read_are_errors(field: tuple[str, str]) -> None:
    """They may be a finding: passing over them could be a wrong clean."""
    with pytest.raises(EngineError):
        read(field)


def test_a_clean_answer_with_a_warning_was_not_scanned_whole() -> None:
    """F-Secure says clean of what it could look into."""
    said = read(("x-fsecure-scan-result", "clean"), ("x-fsecure-warnings", "encrypted"))
    assert said == Unscannable(Cause.ENCRYPTED_ARCHIVE, "the ICAP server warns: encrypted")
    said = read(("x-fsecure-scan-result", "clean"), ("x-fsecure-warnings", "max-nested, corrupted"))
    assert said == Unscannable(Cause.LIMIT, "the ICAP server warns: corrupted, max-nested")


def test_a_header_that_comes_twice_is_an_error() -> None:
    """Which of the two would count?"""
    with pytest.raises(EngineError, match="more than once"):
        read(("x-virus-id", "no threats"), ("x-virus-id", "Eicar"))


@given(st.sampled_from(sorted(READERS)), st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_value_is_read_or_refused(name: str, value: str) -> None:
    """Accepted, or our error; whatever is shown can be printed."""
    try:
        said = read((name, value))
    except EngineError:
        return
    match said:
        case (
            Infected(signature=text) | Forbidden(rule=text) | Unscannable(detail=text) | Blocked(reason=text)
        ):
            assert text
            assert text.isprintable()


def test_presets_name_headers_that_can_be_read() -> None:
    """Each has a product and a source, and looks at one header at least."""
    for preset in PRESETS.values():
        assert preset.product
        assert preset.source
        assert preset.headers
        assert preset.headers <= READERS.keys()
        assert preset.clean is None or preset.clean in preset.headers
    assert PRESETS["generic"].headers == READERS.keys()
