"""The environment as a layer: names, values, and what is not ours."""

import pytest

from ostiary.config.environment import read_environment
from tests.config.conftest import Complaining, Loading


def test_a_variable_wins_over_the_file(load_text: Loading) -> None:
    """OSTIARY__WEB__PORT overrides web.port, key by key."""
    settings = load_text("web: {host: 0.0.0.0, port: 1}", {"OSTIARY__WEB__PORT": "8081"})
    assert (settings.web.host, settings.web.port) == ("0.0.0.0", 8081)  # noqa: S104


def test_names_count_in_either_case(load_text: Loading) -> None:
    """Windows and some orchestrators change the case of names."""
    assert load_text("", {"ostiary__Web__PORT": "8081"}).web.port == 8081


def test_values_are_yaml(load_text: Loading) -> None:
    """Lists of engines, sections and mappings are given whole."""
    settings = load_text(
        "engines: [{type: script, path: x}]\nscan: {timeout: 5s, max_size: 1MB}",
        {
            "OSTIARY__ENGINES": "[{type: clamd, address: 'tcp:[::1]:3310'}, {type: yara}]",
            "OSTIARY__SCAN": "{timeout: 7s}",
            "OSTIARY__DOWNLOAD__ADDITIONAL_HEADERS": "{user-agent: x}",
        },
    )
    assert [engine.type for engine in settings.engines] == ["clamd", "yara"]
    assert (settings.scan.timeout, settings.scan.max_size) == (7.0, 1_000_000)
    assert settings.download.additional_headers == {"user-agent": "x"}


def test_a_keys_variable_wins_over_its_sections(load_text: Loading) -> None:
    """The nearer name counts, whatever the order of the variables."""
    environ = {"OSTIARY__WEB__PORT": "1", "OSTIARY__WEB": "{port: 2, host: h}"}
    assert load_text("", environ).web.model_dump(include={"port", "host"}) == {"port": 1, "host": "h"}
    assert load_text("", dict(reversed(environ.items()))).web.port == 1


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_variable_is_not_set(load_text: Loading, value: str) -> None:
    """`KEY=${UNSET}` in a compose file must not switch off what the file says."""
    settings = load_text("scan: {blocked_mimetypes: [a/b]}", {"OSTIARY__SCAN__BLOCKED_MIMETYPES": value})
    assert settings.scan.blocked_mimetypes == ("a/b",)


def test_null_switches_off(load_text: Loading) -> None:
    """Who means it writes null."""
    settings = load_text("scan: {script: x}", {"OSTIARY__SCAN__SCRIPT": "null"})
    assert settings.scan.script is None


def test_other_names_are_not_ours() -> None:
    """Kubernetes injects OSTIARY_PORT and more for a Service called ostiary."""
    environ = {
        "OSTIARY_PORT": "tcp://10.0.0.1:80",
        "OSTIARY_SERVICE_HOST": "x",
        "OST\u0131ARY__WEB": "1",
        "PATH": "/",
    }
    assert read_environment(environ).data == {}


def test_problems_name_the_variable(problems: Complaining) -> None:
    """Whatever is wrong with a variable is said under its name, as it is spelt."""
    environ = {
        "OSTIARY__WEB__PROT": "1",
        "ostiary__log__level": "loud",
        "OSTIARY__SCAN__TIMEOUT": "[",
        "OSTIARY__ENGINES": "[{type: yara, foo: 1}]",
        "OSTIARY__LIMITS": "{memory: 1MB}",
        "OSTIARY__ENGINES__0": "x",
        "OSTIARY__ENGINES__0__TYPE": "yara",
        "OSTIARY__": "x",
        "OSTIARY__WEB__": "x",
        "OSTIARY__PROXY__TIMEOUT": "x",
    }
    form = (
        "no such key: a name is OSTIARY__SECTION or OSTIARY__SECTION__KEY; "
        "lists and mappings are given whole, as YAML"
    )
    durations = "write a number of seconds, 90s, 5m, 1h, 1d or 1w"
    assert problems("web: {port: 70000}", environ) == [
        "ostiary.yaml:1: web.port: 70000 is out of range: at most 65535",
        f"OSTIARY__: {form}",
        "OSTIARY__ENGINES: engines[0].foo: no such key",
        f"OSTIARY__ENGINES__0: {form}",
        f"OSTIARY__ENGINES__0__TYPE: {form}",
        "OSTIARY__LIMITS: limits.memory: 1MB is too little: at least 8MiB",
        f'OSTIARY__PROXY__TIMEOUT: download.timeout: "x" is no duration: {durations}',
        "OSTIARY__SCAN__TIMEOUT: scan.timeout: not YAML: expected the node content, but found '<stream end>'",
        f"OSTIARY__WEB__: {form}",
        "OSTIARY__WEB__PROT: web.prot: no such key; did you mean web.port?",
        'ostiary__log__level: log.level: "loud" is not one of debug, info, warning or error',
    ]


def test_one_key_in_two_variables_is_refused(problems: Complaining) -> None:
    """Which of two spellings would win is nothing to guess."""
    environ = {"OSTIARY__WEB__PORT": "1", "OSTIARY__web__port": "2"}
    assert problems("", environ) == ["OSTIARY__WEB__PORT: web.port: set in OSTIARY__web__port too"]


def test_a_part_of_a_list_is_no_name(problems: Complaining) -> None:
    """OSTIARY__ENGINES__0 names no key: the list is given whole."""
    (problem,) = problems("engines: [{type: yara}]", {"OSTIARY__ENGINES__0": "{type: yara}"})
    assert problem.startswith("OSTIARY__ENGINES__0: no such key")


def test_a_section_that_is_none_keeps_its_complaint(problems: Complaining) -> None:
    """A key's variable does not hide that its section's variable is wrong."""
    environ = {"OSTIARY__WEB": "5", "OSTIARY__WEB__PORT": "1"}
    assert problems("", environ) == ["OSTIARY__WEB: web: expected a section with keys"]


def test_a_variable_does_not_hide_that_the_files_section_is_none(problems: Complaining) -> None:
    """The environment wins over values, not over mistakes."""
    found = ["ostiary.yaml:1: web: expected a section with keys"]
    assert problems("web: 5", {"OSTIARY__WEB__PORT": "1"}) == found
