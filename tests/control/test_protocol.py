"""The control protocol refuses everything but its own words."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.control import protocol
from ostiary.control.protocol import (
    MAX_REQUEST,
    ControlError,
    action,
    format_answer,
    format_error,
    format_request,
    parse_answer,
    parse_request,
)
from ostiary.errors import MalformedRequestError
from tests.control.desks import ECHO, Said, Text

REQUEST = format_request("echo", Text(text="a\u00fc\u2028"))
ANSWER = format_answer(Said(text="a\u00fc"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_a_request_comes_through() -> None:
    """Command and arguments are what was asked."""
    command, arguments = parse_request(REQUEST)
    assert (command, json.loads(arguments)) == ("echo", {"text": "a\u00fc\u2028"})


def test_an_answer_comes_through() -> None:
    """A result is what was given; an error is raised in the server's words."""
    assert parse_answer(ANSWER, Said).text == "a\u00fc"
    with pytest.raises(ControlError, match=r"^so it is$"):
        parse_answer(format_error("so it is"), Said)


@pytest.mark.parametrize("cut", range(len(REQUEST)))
def test_a_request_cut_short_is_none(cut: int) -> None:
    """At each byte."""
    with pytest.raises(MalformedRequestError):
        parse_request(REQUEST[:cut])


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_an_answer_cut_short_is_none(cut: int) -> None:
    """At each byte: a server that dies halfway has said nothing."""
    with pytest.raises(ControlError):
        parse_answer(ANSWER[:cut], Said)


def test_nothing_may_follow_a_request() -> None:
    """Two requests, or a word behind one, are none."""
    for more in (REQUEST, b"x", b"\0"):
        with pytest.raises(MalformedRequestError):
            parse_request(REQUEST + more)


@pytest.mark.parametrize(
    "whole",
    [
        {},
        {"ostiary": 1, "command": "echo"},
        {"ostiary": 1, "command": "echo", "arguments": []},
        {"ostiary": 1, "command": ["echo"], "arguments": {}},
        {"ostiary": True, "command": "echo", "arguments": {}},
        {"ostiary": "1", "command": "echo", "arguments": {}},
        {"ostiary": 1.0, "command": "echo", "arguments": {}},
        {"ostiary": 1, "command": "echo", "arguments": {}, "more": 1},
    ],
)
def test_what_is_no_request(whole: object) -> None:
    """Each part is there, of its type, and nothing else."""
    with pytest.raises(MalformedRequestError, match="not a request"):
        parse_request(json.dumps(whole).encode())


def test_another_version_is_named() -> None:
    """Both sides say that they are of different releases."""
    with pytest.raises(MalformedRequestError, match="different releases"):
        parse_request(b'{"ostiary": 2, "command": "echo", "arguments": {}}')
    with pytest.raises(ControlError, match="different releases"):
        parse_answer(b'{"ostiary": 2, "result": {"text": "a"}}', Said)
    with pytest.raises(ControlError, match=r"^why$"):
        parse_answer(b'{"ostiary": 2, "error": "why"}', Said)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 100_000)
@example(b'{"ostiary": 1, "ostiary": 1}')
@example(b"\xef\xbb\xbf" + REQUEST)
def test_any_request_is_refused_in_our_own_words(data: bytes) -> None:
    """Nothing but MalformedRequestError comes out of what is no request."""
    with pytest.raises(MalformedRequestError):
        parse_request(data)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 100_000)
@example(b'{"ostiary": 1, "result": {"text": ' + b"[" * 5000)
@example(b'{"ostiary": 1, "result": {}}')
@example(b'{"ostiary": 1, "result": null}')
@example(b'{"ostiary": 1, "error": 5}')
def test_any_answer_is_refused_in_our_own_words(data: bytes) -> None:
    """Nothing but ControlError comes out of what is no answer."""
    with pytest.raises(ControlError):
        parse_answer(data, Said)


async def test_arguments_are_checked() -> None:
    """An unknown name, a missing one, another type: refused, and no value is repeated."""
    for arguments in ('{"text": "a", "more": 1}', "{}", '{"text": 5}', '{"text": ["secret"]}', "[]", '"x"'):
        with pytest.raises(MalformedRequestError, match="make no sense") as caught:
            await ECHO["echo"](arguments)
        assert "secret" not in str(caught.value)


async def test_an_action_is_a_line() -> None:
    """What it takes and what it does is all that a command needs."""

    async def double(wanted: Text) -> Said:
        return Said(text=wanted.text * 2)

    assert await action(Text, double)('{"text": "ab"}') == Said(text="abab")


def test_both_ways_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is longer than the other side takes is not sent."""
    with pytest.raises(ControlError, match="more than"):
        format_request("echo", Text(text="x" * MAX_REQUEST))
    monkeypatch.setattr(protocol, "MAX_ANSWER", 100)
    with pytest.raises(ValueError, match="too long"):
        format_answer(Said(text="x" * 100))
