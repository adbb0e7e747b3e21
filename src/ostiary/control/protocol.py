"""The control socket's protocol: one JSON object each way, then the end of the stream. Pure.

A request is `{"ostiary": 1, "command": NAME, "arguments": {...}}`, its answer `{"ostiary": 1, "result":
{...}}` or `{"ostiary": 1, "error": TEXT}`. There is no framing that two readers could see
differently, and what was cut short is no JSON. The shape of an error stays the same in every
version, so that a command can say that it met a server of another release.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ostiary.errors import MalformedRequestError, OstiaryError
from ostiary.wire.strict_json import parse_object

VERSION: Final = 1

MAX_REQUEST: Final = 1 << 14
"""Bytes of a request."""

MAX_ANSWER: Final = 1 << 24
"""Bytes of an answer."""

READING: Final = 5.0
"""Seconds in which a request must be there, whole."""

ACTING: Final = 60.0
"""Seconds that a command may take."""

WRITING: Final = 10.0
"""Seconds in which an answer must be taken."""

_PARTS: Final = {"ostiary", "command", "arguments"}
_OTHER_RELEASE: Final = "server and command are of different releases: use the same"


class ControlError(OstiaryError):
    """A command did not reach the server, or the server refused it; the text is for the operator."""


class Arguments(BaseModel):
    """What a command takes; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Result(BaseModel):
    """What a command gives; a reader skips what it does not know."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


A = TypeVar("A", bound=Arguments)
R = TypeVar("R", bound=Result)

Action = Callable[[str], Awaitable[Result]]
"""What the server does for one command, given its arguments as a JSON text."""

Actions = Mapping[str, Action]
"""The commands that a server knows, by name."""


def action(takes: type[A], work: Callable[[A], Awaitable[Result]]) -> Action:
    """Return the work as an action whose arguments are checked first (MalformedRequestError)."""

    async def act(arguments: str) -> Result:
        try:
            checked = takes.model_validate_json(arguments)
        except ValidationError as error:
            raise MalformedRequestError(f"these arguments make no sense: {_said(error)}") from None
        return await work(checked)

    return act


def format_request(command: str, arguments: Arguments) -> bytes:
    """Return a request; ControlError if it is longer than a server takes."""
    whole = {"ostiary": VERSION, "command": command, "arguments": arguments.model_dump(mode="json")}
    data = json.dumps(whole).encode()
    if len(data) > MAX_REQUEST:
        raise ControlError(f"this is more than the {MAX_REQUEST} bytes that a server takes")
    return data


def parse_request(data: bytes) -> tuple[str, str]:
    """Return the command and its arguments, a JSON text; MalformedRequestError for anything else."""
    whole = parse_object(data)
    version = whole.get("ostiary")
    if type(version) is int and version != VERSION:
        raise MalformedRequestError(
            f"this server speaks version {VERSION} of the control protocol: {_OTHER_RELEASE}"
        )
    command, arguments = whole.get("command"), whole.get("arguments")
    if type(version) is not int or whole.keys() != _PARTS:
        raise MalformedRequestError("this is not a request of the control protocol")
    if not isinstance(command, str) or not isinstance(arguments, dict):
        raise MalformedRequestError("this is not a request of the control protocol")
    return command, json.dumps(arguments)


def format_answer(result: Result) -> bytes:
    """Return the answer that holds a result; ValueError where it is too long, which is a bug."""
    data = json.dumps({"ostiary": VERSION, "result": result.model_dump(mode="json")}).encode()
    if len(data) > MAX_ANSWER:
        raise ValueError("an answer is too long")
    return data


def format_error(text: str) -> bytes:
    """Return the answer that says why there is no result."""
    return json.dumps({"ostiary": VERSION, "error": text[:MAX_REQUEST]}).encode()


def parse_answer(data: bytes, gives: type[R]) -> R:
    """Return the result; ControlError with the server's words, or where it is not such an answer."""
    try:
        whole: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise ControlError("the server's answer is cut short, or it is no Ostiary") from None
    if not isinstance(whole, dict) or type(whole.get("ostiary")) is not int:
        raise ControlError("what answers there is no Ostiary")
    if isinstance(whole.get("error"), str):
        raise ControlError(whole["error"])
    if whole["ostiary"] != VERSION:
        raise ControlError(_OTHER_RELEASE)
    try:
        return gives.model_validate(whole.get("result"))
    except ValidationError as error:
        raise ControlError(
            f"the answer is not what was asked for ({_said(error)}): {_OTHER_RELEASE}"
        ) from None


def _said(error: ValidationError) -> str:
    """Return what is wrong, in one line that repeats no value."""
    found = [f"{'.'.join(map(str, one['loc'])) or 'all'}: {one['msg']}" for one in error.errors()]
    return "; ".join(found[:3])
