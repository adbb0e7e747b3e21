"""What is written as YAML reads back as the same values, and remarks stay remarks."""

from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.config.document import Value, parse
from ostiary.config.writing import document

TEXTS = st.text(max_size=12) | st.sampled_from(
    ["", "~", "null", "yes", "0100", "1:30", "1e3", "2001-12-14", "=", "<<", "- a", "a: b", "#x", "*a", "&a",
     "!a", "a #b", "\u2028", "\x85", "\ufeff", "\ud800", "\U0001f600", "\udcff", "a\nb\n", " a ", "'", '"',
     "[", "{", "%x", "@", "`"]
)  # fmt: skip
VALUES: st.SearchStrategy[Value] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
@example("x" * 300)
@example({"k" * 300: ["v" * 300]})
@example(["a", "a", {"a": "a"}])
def test_every_value_reads_back(value: Value) -> None:
    """Whatever a text or a number looks like, it is read as what it was, and stays on its line."""
    written = document(["head"], {"section": {"key": value}, "list": [value]}, {("section", "key"): "was x"})
    read = parse(written)
    assert read.faults == ()
    assert read.data == {"section": {"key": value}, "list": [value]}
    assert len(written.splitlines()) == 6
    assert written.isascii()


def test_how_it_looks() -> None:
    """Sections with a blank line between, remarks behind their keys, nothing folded."""
    data: dict[str, Value] = {"web": {"host": "::", "port": 1}, "engines": [{"type": "yara"}]}
    assert document(["one", ""], data, {("web", "port"): "was 2"}) == (
        "# one\n#\n\nweb:\n  host: '::'\n  port: 1  # was 2\n\nengines: [{type: yara}]\n"
    )
