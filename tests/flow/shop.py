"""A gateway that keeps copies and verdicts, and a homeserver that remembers what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from ostiary.engines.interface import Sample
from ostiary.errors import HomeserverRefusalError, OstiaryError
from ostiary.inspection import Station
from ostiary.model import Clean, Identity, Infected, MediaRequest
from ostiary.policy import Rules
from tests.flow.fakes import House, ScriptedEngine, StubDownload
from tests.flow.samples import chunks

GOOD, OTHER, GUEST, BAD = "good", "other", "guest", "bad"
TTL: Final = 60.0
REVALIDATE: Final = 300.0
ROOM: Final = 32 << 20
Check = Literal["token", "media", "none"]


@dataclass
class Server:
    """A homeserver with a memory: `files` by media ID, who may read them, and what it was asked.

    `asked` holds (token, ETag) of each question about media; `bodies` counts answers with one.
    """

    files: dict[str, bytes]
    public: bool = False
    guests: bool = True
    etags: bool = True
    fault: Exception | None = None
    users: dict[str, Identity] = field(
        default_factory=lambda: {
            GOOD: Identity("@good:example.org"),
            OTHER: Identity("@other:example.org"),
            GUEST: Identity("@1:example.org", guest=True),
        }
    )
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    bodies: int = 0

    def forget(self) -> None:
        """Begin to count anew."""
        self.asked.clear()
        self.tokens.clear()
        self.bodies = 0

    async def whoami(self, token: str, _: object = ()) -> Identity:
        """Say whose token it is."""
        self.tokens.append(token)
        await asyncio.sleep(0)
        if token not in self.users:
            raise HomeserverRefusalError(401, "M_UNKNOWN_TOKEN", "who?")
        return self.users[token]

    def refusal(self, wanted: MediaRequest) -> Exception | None:
        """Return what it would say to this request now instead of giving the media."""
        if self.fault is not None:
            return self.fault
        if wanted.token is None and not self.public:
            return HomeserverRefusalError(401, "M_MISSING_TOKEN", "who?")
        if wanted.token is not None and wanted.token not in self.users:
            return HomeserverRefusalError(401, "M_UNKNOWN_TOKEN", "who?")
        if wanted.token is not None and self.users[wanted.token].guest and not self.guests:
            return HomeserverRefusalError(403, "M_GUEST_ACCESS_FORBIDDEN", "not you")
        if wanted.ref.media_id not in self.files:
            return HomeserverRefusalError(404, "M_NOT_FOUND", "what?")
        return None

    @asynccontextmanager
    async def media(
        self, wanted: MediaRequest, etag: str | None = None
    ) -> AsyncIterator[StubDownload | None]:
        """Give it as Synapse does: one ETag for everything."""
        self.asked.append((wanted.token, etag))
        await asyncio.sleep(0)
        refusal = self.refusal(wanted)
        if refusal is not None:
            raise refusal
        if etag is not None and self.etags:
            yield None
            return
        self.bodies += 1
        data = self.files[wanted.ref.media_id]
        yield StubDownload(len(data), chunks(data), "image/png", etag="1" if self.etags else None)


class Shop(House):
    """A House that keeps copies and verdicts, in front of a Server."""

    def __init__(
        self,
        directory: Path,
        server: Server,
        engines: Sequence[ScriptedEngine | Station] = (),
        *,
        check: Check = "token",
        library: int = ROOM,
        rules: Rules | None = None,
        max_size: int = 8 << 20,
        grace: float = 0,
    ) -> None:
        super().__init__(
            directory,
            server,
            engines or [ScriptedEngine()],
            check=check,
            library=library,
            verdicts=100,
            revalidate=REVALIDATE,
            rules=rules,
            max_size=max_size,
            grace=grace,
        )

    async def got(self, wanted: MediaRequest) -> bytes | int | str | None:
        """Return the bytes that are served, the refusal's status, or the name of what was found or raised."""
        try:
            verdict, data = await self.ask(wanted)
        except HomeserverRefusalError as refusal:
            return refusal.status
        except OstiaryError as error:
            return type(error).__name__
        return data if verdict.release else verdict.name

    def new_signatures(self, engine: ScriptedEngine) -> None:
        """Give the engine another version, and let it be seen."""
        engine.release += "+"
        self.judge._memory.live._asked = float("-inf")


async def house_empty(house: House) -> None:
    """Take the runs down that the test has left open."""
    await house.flights._background.__aexit__()
    assert house.held == (0, 0)


MALWARE: Final = b"malware " * 100


async def reads(sample: Sample) -> object:
    """Find malware by its plaintext, as engines do: noise is clean."""
    await asyncio.sleep(0)
    return Infected("malware") if (sample.blob.data or b"").startswith(b"malware") else Clean()
