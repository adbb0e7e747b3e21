"""The sections that reach past the scanner API: `media_api`, `synapse`, `policy_rooms`, `module`.

None of them acts in this release; their names, types and defaults are settled, so that a file
written for the whole contract loads and says what it is ahead of.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator

from ostiary.config.fields import FilePath, Flag, Text
from ostiary.config.section import Kind, NotYet, Section, complaint
from ostiary.config.urls import BaseUrl
from ostiary.config.values import PositiveDuration

_ROOM: Final = re.compile(r"![!-~]{1,254}|#[^\s:\0]{1,200}:[!-~]{1,230}")


def _room(value: str) -> str:
    if not _ROOM.fullmatch(value):
        raise complaint("expected a room: !id:server or #alias:server, in quotes")
    return value


Room = Annotated[Text, AfterValidator(_room), Kind("room")]


class MediaApiSettings(Section):
    """The Matrix media routes themselves, in front of the homeserver."""

    enabled: Annotated[Flag, NotYet(unless=(False,))] = True
    """Whether Ostiary answers on them."""

    scan_uploads: Annotated[Flag, NotYet(unless=(False,))] = True
    """Whether uploads are scanned."""

    scan_federation: Annotated[Flag, NotYet(unless=(False,))] = True
    """Whether media that other servers fetch from us is scanned."""

    allow_opaque: Flag = True
    """Whether bytes of no detectable type (ciphertext) are exempt from the lists of types on these
    routes."""

    block_judged_ciphertext: Annotated[Flag, NotYet(unless=(False,))] = False
    """Whether what one client's key showed to be infected is refused to all."""

    thumbnails: Literal["known", "original"] = "known"
    """`known`: refused when the original is known to be bad; `original`: the original is judged
    first."""

    blocked_image: FilePath | None = None
    """An image to show instead of a refusal."""


class SynapseSettings(Section):
    """Synapse's admin API."""

    admin_url: BaseUrl | None = None
    """Where it is, as `http://synapse:8008`."""

    admin_token_path: FilePath | None = None
    """The file of an admin's access token."""

    quarantine: Annotated[Flag, NotYet(unless=(False,))] = True
    """Whether infected, unencrypted media is quarantined."""

    quarantine_matches: Annotated[Flag, NotYet(unless=(False,))] = False
    """Whether matches of perceptual and HMA engines are, too."""

    delete_after: PositiveDuration | None = None
    """After how long in quarantine media is deleted; null: never."""

    event_reports: Annotated[Flag, NotYet(unless=(False,))] = False
    """Whether media of reported events is judged first."""

    follow_quarantine_changes: PositiveDuration = 30.0
    """How often Synapse's own quarantine is followed."""


class PolicyRoomsSettings(Section):
    """Matrix moderation policy lists."""

    rooms: Annotated[tuple[Room, ...], NotYet(unless=((),))] = ()
    """The rooms that hold the lists."""

    access_token_path: FilePath | None = None
    """The file of an access token that may read them."""

    refresh: PositiveDuration = 60.0
    """How often they are read."""


class ModuleSettings(Section):
    """What the module inside Synapse speaks to."""

    secret_path: FilePath | None = None
    """The file of the secret that both share."""

    socket: FilePath | None = None
    """A unix socket for it, instead of the web port."""
