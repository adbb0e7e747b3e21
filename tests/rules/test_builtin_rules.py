"""The built-in rules: each matches what it is for, and lets near things pass."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yara_x
from _pytest.mark import ParameterSet

from ostiary.engines.yara.sources import BUILTIN, RuleSource, read_sources
from ostiary.engines.yara.worker import MATCH_LIMIT
from tests.rules.builders import Builder
from tests.rules.formats import BENIGN
from tests.rules.negatives import NEGATIVE
from tests.rules.positives import POSITIVE

SOURCES = read_sources([BUILTIN])
NAMES = [name for source in SOURCES for name in re.findall(r"^rule (\w+)", source.text, re.MULTILINE)]
MANUAL = Path(__file__).parents[2] / "docs" / "reference" / "rules.md"
REFERENCES = re.compile(
    r"https://(attack\.mitre\.org/techniques/T\d{4}/(\d{3}/)?|nvd\.nist\.gov/vuln/detail/CVE-\d{4}-\d{4,5}"
    r"|(www\.w3\.org|www\.rfc-editor\.org|learn\.microsoft\.com|www\.eicar\.org|www\.bamsoftware\.com"
    r"|pkware\.cachefly\.net)/\S+)"
)


def _compiled(sources: tuple[RuleSource, ...]) -> yara_x.Rules:
    compiler = yara_x.Compiler(error_on_slow_pattern=True, includes_enabled=False)
    for source in sources:
        compiler.new_namespace(source.namespace)
        compiler.add_source(source.text, origin=source.origin)
    assert compiler.warnings() == []
    return compiler.build()


@pytest.fixture(scope="module")
def rules() -> yara_x.Rules:
    """Return all built-in rules, compiled with warnings as errors."""
    return _compiled(SOURCES)


def matching(rules: yara_x.Rules, data: bytes) -> list[str]:
    """Return the names of the rules that match, as the scan process would find them."""
    scanner = yara_x.Scanner(rules)
    scanner.max_matches_per_pattern(MATCH_LIMIT)
    return [rule.identifier for rule in scanner.scan(data).matching_rules]


def _cases(cases: Mapping[str, Sequence[Builder]]) -> list[ParameterSet]:
    return [
        pytest.param(name, builder, id=f"{name}-{number}")
        for name, builders in cases.items()
        for number, builder in enumerate(builders, 1)
    ]


def test_every_rule_has_a_positive_and_a_negative_sample() -> None:
    """A rule without a sample of either kind is a rule that nobody tried."""
    assert NAMES
    assert set(NAMES) == {name for name, cases in POSITIVE.items() if cases}
    assert set(NAMES) == {name for name, cases in NEGATIVE.items() if cases}


@pytest.mark.parametrize(("name", "build"), _cases(POSITIVE))
def test_positive(rules: yara_x.Rules, name: str, build: Builder) -> None:
    """The rule matches what it is made for."""
    assert name in matching(rules, build())


@pytest.mark.parametrize(("name", "build"), _cases(NEGATIVE))
def test_negative(rules: yara_x.Rules, name: str, build: Builder) -> None:
    """The rule does not match what only looks like it."""
    assert name not in matching(rules, build())


@pytest.mark.parametrize("name", BENIGN)
def test_benign_formats(rules: yara_x.Rules, name: str) -> None:
    """No rule matches an ordinary file."""
    assert matching(rules, BENIGN[name]()) == []


def test_each_file_compiles_alone() -> None:
    """No rule file needs another, nor a module of YARA-X: the engine gives each a namespace."""
    for source in SOURCES:
        assert not _compiled((source,)).imports()


def test_meta(rules: yara_x.Rules) -> None:
    """Every rule says what it finds, why that matters, and where one can read about it."""
    for rule in rules:
        if rule.identifier not in NAMES:
            continue
        meta = dict(rule.metadata)
        assert re.fullmatch(r"Ostiary(_[A-Z][A-Za-z]+){2,3}", rule.identifier)
        assert meta.keys() - {"finding"} == {"description", "reference", "severity"}
        assert REFERENCES.fullmatch(meta["reference"]), meta["reference"]
        assert meta["severity"] in {"test", "info", "medium", "high"}


def test_manual_describes_every_rule(rules: yara_x.Rules) -> None:
    """docs/reference/rules.md has a line for each rule, with its kind of finding and its reference."""
    text = MANUAL.read_text()
    for rule in rules:
        if rule.identifier in NAMES:
            meta = dict(rule.metadata)
            line = next(line for line in text.splitlines() if f"`{rule.identifier}`" in line)
            assert f"| {meta.get('finding', 'infected')} |" in line
            assert meta["reference"] in line
    documented = set(re.findall(r"`(Ostiary_\w+)`", text))
    assert documented == set(NAMES)
