"""YAML documents: values, lines, faults, and nothing without a bound."""

import math

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.config.document import MAX_CHARACTERS, MAX_DEPTH, MAX_NODES, Fault, Value, parse


def data(text: str) -> Value:
    """Return what the text holds, which is without fault."""
    document = parse(text)
    assert not document.faults
    return document.data


def only_fault(text: str) -> Fault:
    """Return the text's one fault."""
    (fault,) = parse(text).faults
    return fault


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing\n", None),
        ("~", None),
        ("null", None),
        ("text", "text"),
        ("'5'", "5"),
        ("5", 5),
        ("-5", -5),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1.5e+3", 1500.0),
        ("-.inf", -math.inf),
        ("yes", True),
        ("OFF", False),
        ("[a, 1, {b: null}]", ["a", 1, {"b": None}]),
        ("<<", "<<"),
        ("=", "="),
        ("{1: a, true: b, null: c}", {"1": "a", "true": "b", "null": "c"}),
        ("{? }", {"": None}),
        ("!!str 5", "5"),
        ("!!int 5", 5),
        ("!!null something", "something"),
    ],
)
def test_values(text: str, value: Value) -> None:
    """Texts, numbers, flags, null, lists and mappings; keys are always texts, as written."""
    assert data(text) == value


@pytest.mark.parametrize(
    "text",
    ["0100", "0o17", "0x1F", "0b1", "1:30", "1:30.5", "2001-12-14", "2001-12-14t21:59:43Z", "1e3", "9" * 41],
)  # fmt: skip
def test_what_yaml_versions_read_differently_stays_text(text: str) -> None:
    """1:30 is 90 to YAML 1.1: nobody who writes it in a size means that."""
    assert data(text) == text


def test_not_a_number() -> None:
    """.nan is a number to YAML, for durations and sizes to refuse."""
    value = data(".nan")
    assert isinstance(value, float)
    assert math.isnan(value)


def test_lines() -> None:
    """Every key and every entry knows its line, counted from one."""
    lines = parse("a:\n  b: 1\n\n  c:\n  - x\n  - {d: 1}\n").lines
    assert lines == {
        (): 1, ("a",): 1, ("a", "b"): 2, ("a", "c"): 4, ("a", "c", 0): 5,
        ("a", "c", 1): 6, ("a", "c", 1, "d"): 6,
    }  # fmt: skip


def test_a_key_that_is_set_twice_names_both_lines() -> None:
    """YAML libraries keep the last one silently; here both lines are named."""
    document = parse("a:\n  b: 1\n  c: 1\n  b: 2\n")
    assert document.faults == (Fault(4, ("a", "b"), "set twice, first in line 2"),)
    assert document.data == {"a": {"b": 1, "c": 1}}


def test_aliases_and_merge_keys() -> None:
    """A mapping's own keys win over merged ones, and the first merged one over the next."""
    text = (
        "- &a {x: 1, y: 1}\n- &b {y: 2, z: 2}\n- {<<: [*a, *b], x: 0}\n- *a\n- &c {<<: *b, w: 3}\n- <<: *c\n"
    )
    assert data(text) == [
        {"x": 1, "y": 1},
        {"y": 2, "z": 2},
        {"x": 0, "y": 1, "z": 2},
        {"x": 1, "y": 1},
        {"w": 3, "y": 2, "z": 2},
        {"w": 3, "y": 2, "z": 2},
    ]


@pytest.mark.parametrize("source", ["1", "[1]", "[{a: 1}, null]"])
def test_merge_keys_take_mappings(source: str) -> None:
    """Anything else under << is a fault, at its line."""
    assert only_fault(f"a: 1\nb:\n  <<: {source}") == Fault(3, ("b",), "a merge key (<<) takes mappings")


@pytest.mark.parametrize(
    "text",
    [
        "!!binary aGVsbG8=", "!!set {a, b}", "!!omap [a: 1]", "!!python/object/apply:os.system [id]", "!x y",
        "!!map [a]", "!!seq {a: 1}", "!<tag:yaml.org,2002:python/none> a", "{a: !!timestamp [1]}",
    ],
)  # fmt: skip
def test_other_tags_are_refused(text: str) -> None:
    """No tag makes anything but plain values."""
    assert "tag" in only_fault(text).text


@pytest.mark.parametrize(
    "key", ["? [a]\n: 1", "? {a: 1}\n: 1", "!!binary x: 1", "? !!python/name:os.system x\n: 1"]
)
def test_keys_are_plain_texts(key: str) -> None:
    """Lists, mappings and tagged things are no keys."""
    assert only_fault(f"b: 1\n{key}") == Fault(2, (), "a key is a plain text")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: [c", 2, "not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\nb: c: d", 2, "not YAML: mapping values are not allowed"),
        ("a: 1\n\tb: 2", 2, "not YAML: a tab: indent with spaces"),
        ("a: 1\n--- b\n", 2, "not YAML: but found another document"),
        ("a: \x00", 1, "control character"),
        ("a: 1\nb: '\x1b'", 2, "control character"),
        ('a: "\\UFFFFFFFF"', 1, "out of range"),
        (f"%YAML {'9' * 5000}.1\n--- a", 1, "out of range"),
        ("{a: 1}}", 1, "not YAML"),
    ],
)
def test_what_is_no_yaml(text: str, line: int, words: str) -> None:
    """A text that is no YAML has one fault with its line, and no values."""
    document = parse(text)
    assert document.data is None
    assert [fault.line for fault in document.faults] == [line]
    assert words in document.faults[0].text


@pytest.mark.parametrize(
    "secret",
    [
        "*hunter2", "!hunter2 x", "&hunter2 [", "%hunter2", "{hunter2", "[hunter2", "'hunter2", "*it's",
        "!<hunter2", "!e!hunter2", "@hunter2", "`hunter2", "hunter2: x",
    ],
)  # fmt: skip
def test_faults_repeat_nothing_of_the_text(secret: str) -> None:
    """To YAML a passphrase may be an alias, a tag or an anchor; PyYAML's messages would repeat it."""
    for fault in parse(f"crypto:\n  pickle_key: {secret}\n").faults:
        assert "hunter2" not in fault.text
        assert "it's" not in fault.text


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1000,
        "{a: " * 1000,
        "- " * 1000,
        "? " * 1000,
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "&a [*a]",
        "&a {b: *a}",
        "&a {<<: *a}",
        "&a {<<: [*a, *a]}",
    ],
)
def test_depth_is_bounded(text: str) -> None:
    """Neither nesting nor an alias of itself reaches Python's own limit."""
    assert "nested deeper" in only_fault(text).text


@pytest.mark.parametrize(
    "text",
    [
        "[a" + ",a" * MAX_NODES + "]",
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{b}: &{b} [{', '.join(['*' + a] * 10)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
        ),
        "".join(
            f"- &{b} {{<<: [{', '.join(['*' + a] * 10)}]}}\n" if a else "- &a {x: 1}\n"
            for a, b in zip(["", *"abcdef"], "abcdefg", strict=True)
        ),
    ],
)
def test_expansion_is_bounded(text: str) -> None:
    """Aliases and merges count as often as they expand (the billion laughs are cut short)."""
    assert "aliases expanded" in only_fault(text).text


def test_the_bounds_leave_room() -> None:
    """What lies just within the bounds is read."""
    assert data("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)) is not None
    assert data(f"[{','.join(['a'] * (MAX_NODES - 1))}]") == ["a"] * (MAX_NODES - 1)
    assert data("a: 1 " + "#" * (MAX_CHARACTERS - 5)) == {"a": 1}
    assert "longer than" in only_fault("#" * (MAX_CHARACTERS + 1)).text


SCALARS = st.sampled_from(
    [
        "a", "1", "0x1", "-.inf", ".nan", "1e400", "9" * 60, "2001-12-14", "~", "yes", "<<", "*a", "*b",
        "&a x", "&b {}", "!!binary x", "!!set {a}", "!!python/name:os.x y", '"\\ud800"', "1:30", "'", '"',
        "|", ">", "---", "...", "%TAG ! x",
    ]
)  # fmt: skip
PIECES = (
    st.sampled_from([": ", "- ", "? ", "[", "]", "{", "}", ", ", "\n", "\n  ", "\n    ", " ", "#", "<<: "])
    | SCALARS
)


@given(st.text() | st.lists(PIECES | st.text(max_size=3), max_size=40).map("".join))
@example("<<: *a")
@example("&a {<<: [*a, {b: *a}]}")
@example("\ud800")
@example("!<> x")
@example("%TAG ! tag:a,2000:\n---\n!b c")
def test_no_text_raises(text: str) -> None:
    """Whatever the text: values and faults, each with a line of the text and a text of one line."""
    document = parse(text)
    for fault in document.faults:
        assert 1 <= fault.line <= len(text) + 1
        assert "\n" not in fault.text


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, width=32)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN)
def test_what_pyyaml_writes_is_read(value: Value) -> None:
    """Every plain value survives PyYAML's writer and our reader (an oracle of our scalars)."""
    assert parse(yaml.safe_dump(value)).data == value
