"""The section of a `clamd` engine: where ClamAV's daemon listens."""

import ipaddress
import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from ostiary.config.engines.common import CommonSettings, Concurrency, distinct
from ostiary.config.fields import FilePath, Flag
from ostiary.config.section import Kind, complaint, shown
from ostiary.config.values import PositiveSize

_LABEL: Final = r"[A-Za-z0-9_-]{1,63}"
_LITERAL: Final = r"[0-9A-Fa-f:.]{2,45}(?:%[0-9A-Za-z._-]{1,15})?"  # with a zone if need be
_TCP: Final = re.compile(
    rf"tcp:(?:\[(?P<literal>{_LITERAL})\]|{_LABEL}(?:\.{_LABEL})*\.?):(?P<port>[0-9]{{1,5}})"
)
_FORMS: Final = "unix:/path/to/socket, tcp:host:port or tcp:[address]:port"
_SOCKET_PATH_LIMIT: Final = 107  # unix(7): sun_path holds 108 bytes, with the NUL at its end


def _one_or_more(value: Any) -> Any:  # noqa: ANN401  (whatever a file holds)
    """Return a list of one for a single text."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple):
        raise complaint(f"expected an address or a list of addresses, each {_FORMS}")
    return value


def _address(value: str) -> str:
    """Refuse what `ostiary.engines.clamd.address` would refuse, with the line that it stands in."""
    fault = _fault_of_unix(value) if value.startswith("unix:") else _fault_of_tcp(value)
    if fault is not None:
        raise complaint(f"{shown(value)}: {fault}")
    return value


def _fault_of_unix(value: str) -> str | None:
    path = value.removeprefix("unix:")
    if not path.startswith("/") or not path.isprintable():
        return "a unix socket's path begins with /"
    if len(path.encode()) > _SOCKET_PATH_LIMIT:
        return f"a unix socket's path has at most {_SOCKET_PATH_LIMIT} bytes"
    return None


def _fault_of_tcp(value: str) -> str | None:
    found = _TCP.fullmatch(value)
    if found is None or not 0 < int(found["port"]) < 1 << 16:
        return f"expected {_FORMS}"
    if found["literal"] is not None:
        try:
            ipaddress.IPv6Address(found["literal"])
        except ValueError:
            return "its IPv6 address can't be read"
    return None


Address = Annotated[str, AfterValidator(_address), Kind("address")]

Addresses = Annotated[
    tuple[Address, ...],
    BeforeValidator(_one_or_more),
    AfterValidator(distinct),
    WithJsonSchema({
        "anyOf": [
            {"type": "string", "pattern": "^(unix|tcp):"},
            {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^(unix|tcp):"}},
        ]
    }),
    Kind("address or list of addresses"),
]  # fmt: skip


class ClamdSettings(CommonSettings):
    """ClamAV's daemon."""

    type: Literal["clamd"]
    """Which engine it is."""

    address: Addresses
    """Where clamd listens: `unix:/path`, `tcp:host:port`, `tcp:[::1]:3310`, or a list of them,
    tried in order."""

    config_file: FilePath | None = None
    """Its clamd.conf, where this machine has it: the limits and the signature folder of that clamd are read
    there. null: found through the process behind a unix socket, where the system tells."""

    loose_signatures: Flag = True
    """Whether clamd may load signatures that its VERSION does not show: loose files, such as unofficial
    ones. Where its signature folder can't be seen from here, what it says is then kept for
    `proof.interval` at most. false: official databases only, VERSION tells all."""

    max_file_size: PositiveSize = 100 << 20
    """Its `MaxFileSize`, where its clamd.conf can't be seen from here; the default is that of clamd 1.4. What
    is larger, or a zip's member that is, was not seen to its end, whatever clamd says."""

    max_scan_size: PositiveSize = 400 << 20
    """Its `MaxScanSize`, likewise."""

    concurrency: Concurrency = 8
    """Files that it scans at the same time; not more than clamd's `MaxThreads`."""
