"""Against the plain truth: whatever was stored, shared or remembered, each gets what it would get today.

With `ttl` at 0, and `revalidate` too or a homeserver that deletes nothing, the gateway may save bodies
and inspections, and must not change a single answer. Hypothesis plays homeserver, operator of the
engine, and callers.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ostiary.access import Access
from ostiary.engines.interface import Sample
from ostiary.errors import AttachmentError
from ostiary.matrix.attachment import Decryptor
from ostiary.model import Clean, Identity, Infected, MediaRequest
from tests.flow.fakes import ScriptedEngine, settled
from tests.flow.samples import KEY, encrypted, key_of, request
from tests.flow.shop import BAD, GOOD, GUEST, OTHER, Server, Shop

MALWARE: Final = b"malware, plain"
CONTENTS: Final = [b"", b"innocent", MALWARE, encrypted(MALWARE), encrypted(b"innocent too")]
KEYS: Final = [KEY, bytes(32)]

IDS = st.sampled_from(["id", "twin", "third"])
TOKENS = st.sampled_from([GOOD, GOOD, OTHER, GUEST, BAD, None])
KEY_MATERIAL = st.none() | st.none() | st.builds(key_of, st.sampled_from(CONTENTS[2:]), st.sampled_from(KEYS))
WANTED = st.builds(lambda media_id, token, file: request(file, media_id, token), IDS, TOKENS, KEY_MATERIAL)


class Truth(RuleBasedStateMachine):
    """A gateway that keeps everything, beside what is true."""

    check: Any = "token"
    public = False
    revalidate = 0.0

    @initialize()
    def build(self) -> None:
        """Begin with two files."""
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.server = Server({"id": CONTENTS[1], "twin": CONTENTS[3]}, public=self.public)
        self.signature = b"malware"
        self.before: list[MediaRequest] = []
        self.engine = ScriptedEngine(self._looks)
        self.house = self._do(self._built)

    async def _built(self) -> Shop:
        house = Shop(Path(self.folder.name), self.server, [self.engine], check=self.check)
        house.gateway._fetcher._bounds = _asking(house.gateway._fetcher._bounds, self.revalidate)
        access = Access(self.server.whoami, self.check, 0, house.clock)
        house.gateway._access = house.gateway._fetcher._access = access
        return house

    async def _looks(self, sample: Sample) -> object:
        data = sample.blob.data or b""
        await asyncio.sleep(0)
        return Infected("malware") if data.startswith(self.signature) else Clean()

    def _do(self, work: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401
        async def all_of_it() -> Any:  # noqa: ANN401
            result = await work()
            await settled()
            return result

        return self.runner.run(all_of_it())

    def true(self, wanted: MediaRequest) -> bytes | int | str:
        """Return what a gateway without any memory would say."""
        refusal = self.server.refusal(wanted)
        if refusal is not None:
            status: int = refusal.status  # type: ignore[attr-defined]
            return status
        data, file = self.server.files[wanted.ref.media_id], wanted.encrypted
        if file is None:
            return "malware" if data.startswith(self.signature) else data
        if key_of(data).sha256 != file.sha256:
            return AttachmentError.__name__
        plain = Decryptor(file.key, file.iv).update(data)
        return "malware" if plain.startswith(self.signature) else data

    @rule(wanted=st.lists(WANTED, min_size=1, max_size=5))
    def ask(self, wanted: list[MediaRequest]) -> None:
        """Several callers at once."""
        self.before = wanted

        async def all_at_once() -> list[object]:
            return await asyncio.gather(*(self._got(one) for one in wanted))

        assert self._do(all_at_once) == [self.true(one) for one in wanted]

    async def _got(self, wanted: MediaRequest) -> object:
        """Ask without a look at what others hold meanwhile."""
        self.house.ask = self._ask
        return await self.house.got(wanted)

    async def _ask(self, wanted: MediaRequest | None = None) -> Any:  # noqa: ANN401
        assert wanted is not None
        async with self.house.gateway.media(wanted) as outcome:
            await asyncio.sleep(0)
            assert outcome.media is not None
            return outcome.verdict, b"".join([chunk async for chunk in outcome.media.blob.chunks()])

    @rule()
    def ask_again(self) -> None:
        """The same callers once more: now by what is stored and known."""
        self.ask(self.before)

    @rule(media_id=IDS, content=st.sampled_from(CONTENTS))
    def upload(self, media_id: str, content: bytes) -> None:
        """A media ID that is free is taken; what it stands for never changes."""
        self.server.files.setdefault(media_id, content)

    @rule(media_id=IDS)
    def delete(self, media_id: str) -> None:
        """Somebody deletes it, and all of its twins, as a quarantine by content does."""
        if self.revalidate:
            return
        content = self.server.files.pop(media_id, None)
        for twin in [name for name, data in self.server.files.items() if data == content]:
            del self.server.files[twin]
        # An ID is never used again: the server's ETag would not tell.
        self.house.library.evict(key_of(content or b"").sha256, self.house.clock.now - 1)

    @rule()
    def open_and_close(self) -> None:
        """The homeserver changes its mind about callers without a token."""
        if not self.revalidate:
            self.server.public = not self.server.public

    @rule()
    def guests(self) -> None:
        """The same about guests."""
        self.server.guests = not self.server.guests

    @rule()
    def logout(self) -> None:
        """Somebody goes, or comes back."""
        if self.server.users.pop(OTHER, None) is None:
            self.server.users[OTHER] = Identity("@other:example.org")

    @rule(signature=st.sampled_from([b"malware", b"innocent", b"nothing of that"]))
    def update(self, signature: bytes) -> None:
        """The engine has other signatures."""
        self.signature = signature
        self.house.new_signatures(self.engine)

    @rule(seconds=st.sampled_from([1, 100, 5000]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.house.clock.now += seconds

    @invariant()
    def nothing_is_held(self) -> None:
        """When all have their answers nothing runs and nothing is held."""
        if hasattr(self, "house"):
            assert self.house.held == (0, 0)
            assert not self.house.flights._flights

    def teardown(self) -> None:
        """Take it down."""
        if hasattr(self, "house"):
            self.house.__exit__()
            self._do(self.house.flights._background.__aexit__)
            self.runner.close()
            self.folder.cleanup()


class TruthByMedia(Truth):
    """The same with `access.check: media`."""

    check = "media"


class TruthByToken(Truth):
    """The same with copies that are used without a question about the media."""

    revalidate = 300.0


class TruthInPublic(TruthByToken):
    """The same where callers without a token are served."""

    public = True


def _asking(bounds: Any, revalidate: float) -> Any:  # noqa: ANN401
    """Return the bounds with another time after which copies are asked about."""
    return type(bounds)(
        max_size=bounds.max_size,
        serve_larger=bounds.serve_larger,
        engine_copies=bounds.engine_copies,
        revalidate=revalidate,
    )


for machine in (Truth, TruthByMedia, TruthByToken, TruthInPublic):
    machine.TestCase.settings = settings(max_examples=100, stateful_step_count=40)

TestTruth = Truth.TestCase
TestTruthByMedia = TruthByMedia.TestCase
TestTruthByToken = TruthByToken.TestCase
TestTruthInPublic = TruthInPublic.TestCase
