"""Layers: the places of values, one over the other, and the two names of one section."""

from ostiary.config.document import parse
from ostiary.config.layers import Layer, Place, Problem, over, shown_path, with_one_download
from tests.config.conftest import Complaining, Loading


def layer(text: str, source: str = "f") -> Layer:
    """Return a text as a layer."""
    document = parse(text)
    assert isinstance(document.data, dict)
    return Layer(document.data, {path: Place(line, source) for path, line in document.lines.items()})


def test_the_top_layer_wins_key_by_key() -> None:
    """Sections are merged, the values of keys replaced, and each keeps its place."""
    below = layer("a: {x: 1, y: {p: 1, q: 2}}\nb: [1, {c: 2}]\n", "below")
    both = over(layer("a: {y: {p: 3}}\nb: []\n", "top"), below)
    assert both.data == {"a": {"x": 1, "y": {"p": 3}}, "b": []}
    places = {path: str(both.place(path)) for path in [("a", "x"), ("a", "y", "q"), ("b", 1, "c"), ("z",)]}
    assert places == {
        ("a", "x"): "below:1", ("a", "y", "q"): "top:1", ("b", 1, "c"): "top:2", ("z",): "top:1",
    }  # fmt: skip


def test_a_place_reads_as_compilers_write_it() -> None:
    """FILE:LINE, or the name of a variable alone."""
    assert str(Problem(Place(12, "f"), ("web", "port"), "no")) == "f:12: web.port: no"
    assert str(Problem(Place(0, "V"), (), "no")) == "V: no"
    assert str(Layer().place(("a",))) == "configuration"


def test_paths_stop_at_the_key() -> None:
    """What lies inside a value is not shown: {hunter2: x} may be a passphrase in braces."""
    assert shown_path(("crypto", "pickle_key", "hunter2")) == "crypto.pickle_key"
    assert shown_path(("scan", "blocked_mimetypes", 2)) == "scan.blocked_mimetypes[2]"
    assert shown_path(("engines", 0, "address", 1)) == "engines[0].address[1]"
    assert shown_path(("engines", 0, "proof", "good")) == "engines[0].proof.good"
    assert shown_path(("engines", 0, "path", "hunter2")) == "engines[0].path"
    assert shown_path(("a\x1b\n",)) == r"a\x1b\n"


def test_proxy_is_another_name_of_download(load_text: Loading) -> None:
    """Keys of both sections count, and proxy's keep their lines."""
    settings = load_text("proxy: {base_homeserver_url: http://h, timeout: 5}\ndownload: {max_concurrent: 3}")
    assert settings.download.base_homeserver_url == "http://h"
    assert (settings.download.timeout, settings.download.max_concurrent) == (5.0, 3)
    assert load_text("proxy:\ndownload: {timeout: 3}").download.timeout == 3.0
    assert load_text("proxy: {timeout: 3}\ndownload:\n").download.timeout == 3.0


def test_proxy_and_download_may_not_both_set_a_key(problems: Complaining) -> None:
    """The same key in both is refused, even with the same value."""
    first, second = problems("download:\n  timeout: 4\nproxy:\n  timeout: 4\n  foo: 1\n")
    assert first.startswith("ostiary.yaml:4: proxy.timeout: set in ")
    assert first.endswith("ostiary.yaml:2 too")
    assert second == "ostiary.yaml:5: download.foo: no such key"


def test_a_proxy_url_in_the_place_of_the_section(problems: Complaining) -> None:
    """`proxy: http://...` is told where that belongs, and its password is not repeated."""
    assert problems("proxy: http://u:hunter2@proxy:3128") == [
        "ostiary.yaml:1: proxy: expected a section (it is another name of download); is it download.proxy?"
    ]


def test_a_download_that_is_no_section_is_told_so(problems: Complaining) -> None:
    """With proxy beside it, too."""
    found = ["ostiary.yaml:1: download: expected a section with keys"]
    assert problems("download: 5\nproxy: {timeout: 3}") == found


def test_merging_leaves_its_layers_alone() -> None:
    """Layers are values: neither `over` nor `with_one_download` changes what it is given."""
    one, two = layer("proxy: {timeout: 1}\n"), layer("proxy: {timeout: 2}\ndownload: {proxy: x}\n")
    over(with_one_download(one), with_one_download(two))
    assert one.data == {"proxy": {"timeout": 1}}
    assert two.data == {"proxy": {"timeout": 2}, "download": {"proxy": "x"}}
