"""Complaints in our own words: what is expected, what was meant, and nothing that is secret."""

import pytest

from ostiary.config.problems import MAX_PROBLEMS
from tests.config.conftest import Complaining


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("web: {prot: 1}", "web.prot: no such key; did you mean web.port?"),
        ("wbe: {port: 1}", "wbe: no such key; did you mean web?"),
        ("web: {timeout: 5}", "web.timeout: no such key; is it scan.timeout or download.timeout?"),
        ("base_homeserver_url: x", "base_homeserver_url: no such key; is it download.base_homeserver_url?"),
        ("web: {log: x}", "web.log: no such key; is it log?"),
        ("engines: [{type: yara, rule: x}]", "engines[0].rule: no such key; did you mean rules?"),
        ("engines: [{type: yara, path: x}]", "engines[0].path: no such key; is it library.path?"),
        ("web: {zzzzzz: 1}", "web.zzzzzz: no such key"),
        ("5: 1", "5: no such key"),
        (f"web: {{{'p' * 100}: 1}}", f"web.{'p' * 37}...: no such key"),
        ("web: {port: '8080'}", "web.port: expected a whole number"),
        ("web: {port: true}", "web.port: expected a whole number"),
        ("web: {port: 80.5}", "web.port: expected a whole number"),
        ("web: {port: 65536}", "web.port: 65536 is out of range: at most 65535"),
        ("web: {port: -1}", "web.port: -1 is out of range: at least 0"),
        ("web: {host: 5}", "web.host: expected a text; put it in quotes"),
        ("web: {host: [a]}", "web.host: expected a text"),
        ("web: 5", "web: expected a section with keys"),
        ("web: [port]", "web: expected a section with keys"),
        ("scan: {on_oversize: serv}", 'scan.on_oversize: "serv" is not one of block or serve'),
        ("scan: {on_oversize: true}", "scan.on_oversize: true is not one of block or serve"),
        ("scan: {remove_metadata: 1}", "scan.remove_metadata: 1 is not one of uploads, true or false"),
        ("scan: {error_exit_codes: 2}", "scan.error_exit_codes: expected a list"),
        ("scan: {error_exit_codes: {2: 2}}", "scan.error_exit_codes: expected a list"),
        ("scan: {blocked_mimetypes: a/b}", "scan.blocked_mimetypes: expected a list"),
        ("media_api: {enabled: 1}", "media_api.enabled: expected true or false"),
        ("engines: {type: yara}", "engines: expected a list"),
        ("download: {additional_headers: [a]}", "download.additional_headers: expected a mapping"),
        ("engines: [{type: yara, proof: {bad: x}}]", "engines[0].proof.good: is missing"),
    ],
)
def test_complaints(problems: Complaining, text: str, problem: str) -> None:
    """Each kind of mistake has a sentence with its key, and the way out where there is one."""
    assert problems(text) == [f"ostiary.yaml:1: {problem}"]


def test_every_problem_is_listed(problems: Complaining) -> None:
    """One start shows all that is wrong, in the order of the file."""
    text = """web:
  prot: 1
  port: x
scan:
  max_size: abc
  timeout: -5
nonsense:
  - 1
web:
  host: x
"""
    assert [line.partition(" ")[0] for line in problems(text)] == [
        f"ostiary.yaml:{number}:" for number in (2, 3, 5, 6, 7, 9)
    ]


def test_the_list_is_bounded(problems: Complaining) -> None:
    """A file of another program does not fill the log."""
    assert len(problems("\n".join(f"key{number}: 1" for number in range(10_000)))) <= MAX_PROBLEMS + 1
    listed = problems("web:\n" + "  port: 1\n" * 1000)
    assert len(listed) == MAX_PROBLEMS + 1
    assert listed[-1] == "and 899 problems more"
