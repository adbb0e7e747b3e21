"""The section of an `icap` engine: an antivirus server that speaks ICAP (RFC 3507)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, WithJsonSchema

from ostiary.config.engines.common import CommonSettings, Concurrency
from ostiary.config.fields import FilePath, Flag
from ostiary.config.section import Kind, complaint, shown
from ostiary.config.values import PositiveSize
from ostiary.wire.icap.presets import PRESETS
from ostiary.wire.icap.url import parse_url


def _url(value: str) -> str:
    try:
        parse_url(value)
    except ValueError as error:
        raise complaint(str(error)) from None  # without the URL: somebody may have put a password into it
    return value


def _preset(value: str) -> str:
    if value not in PRESETS:
        raise complaint(f"{shown(value)} is none: one of {', '.join(PRESETS)}")
    return value


IcapServiceUrl = Annotated[
    str, AfterValidator(_url), WithJsonSchema({"type": "string", "pattern": "^icaps?://"}), Kind("URL")
]
"""A service of an ICAP server."""

PresetName = Annotated[
    str,
    AfterValidator(_preset),
    WithJsonSchema({"type": "string", "enum": list(PRESETS)}),
    Kind(", ".join(f"`{name}`" for name in PRESETS)),
]
"""A product that Ostiary knows."""


class IcapSettings(CommonSettings):
    """An ICAP server."""

    type: Literal["icap"]
    """Which engine it is."""

    url: IcapServiceUrl
    """Its service: `icap://host:port/service`, or `icaps://` over TLS."""

    upload_url: IcapServiceUrl | None = None
    """The service for uploads, where the product has two; null: `url`, too."""

    preset: PresetName = "generic"
    """Which headers of its answers mean infected (docs/setup/icap.md)."""

    reqmod: Flag = True
    """Uploads are asked about by REQMOD where the service has it. false: by RESPMOD like downloads; what was
    found of an upload then counts for downloads, too."""

    block_page: Literal["error", "infected"] = "error"
    """What a page means that the server sends instead of the file, and that names no threat."""

    max_size: PositiveSize | None = None
    """Files of so many bytes and more are not shown to it, and unscannable (`limit`): the server's own limit,
    which it does not tell, and over which many let everything pass. null: the preset's."""

    max_file_size: PositiveSize | None = None
    """What the engine behind it looks at of a file, and of each member of an archive: ClamAV passes the rest
    of a member unseen (`MaxFileSize`). null: ClamAV's 100 MiB with the presets generic, c-icap and
    squidclamav, nothing with the others."""

    max_scan_size: PositiveSize | None = None
    """What it looks at in all, unpacked (`MaxScanSize`). null: likewise, 400 MiB."""

    preview: Flag = True
    """The beginning of a file goes ahead where the server wants it; one that lets the file pass then has not
    scanned it (`limit`). false: files go whole at once, and such a server is not noticed."""

    istag_follows_signatures: Flag = False
    """true: its ISTag changes with every update of its signatures, so that verdicts stand for as long as it
    does not. false: they count for `proof.interval` at most. c-icap's ISTag does not change."""

    ca_path: FilePath | None = None
    """A file with the certificates (PEM) that `icaps` trusts instead of the system's."""

    concurrency: Concurrency = 8
    """Files that it scans at the same time; fewer where its Max-Connections says so."""
