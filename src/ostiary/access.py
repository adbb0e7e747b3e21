"""May this caller have what the homeserver gave to somebody else? A cached copy opens no door.

Asked only where a stored copy or somebody else's run would answer: whoever fetches for itself shows
its own token to the homeserver. What the homeserver says of a token counts for `ttl` seconds, so
a logout takes effect within that time. Tokens are remembered by a keyed digest alone.
"""

import os
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Final, Literal

from ostiary.errors import HomeserverError, HomeserverRefusalError
from ostiary.inflight import Once
from ostiary.lru import SegmentedLru
from ostiary.model import Forwarded, Identity, MediaRequest

TOKENS: Final = 10_000
"""Answers about tokens that are remembered at most."""

_BAD_TOKEN: Final = 401

_Refusal = HomeserverRefusalError | HomeserverError
_Answer = Identity | _Refusal


class Access:
    """Asks the homeserver about callers; `ask` is its whoami, `clock` counts seconds.

    `check`: `token`, the homeserver knows the caller's token; `media`, it is asked for the media
    itself, each time; `none`, everybody may have everything.
    """

    def __init__(
        self,
        ask: Callable[[str, Forwarded], Awaitable[Identity]],
        check: Literal["token", "media", "none"],
        ttl: float,
        clock: Callable[[], float],
    ) -> None:
        self._ask = ask
        self._check = check
        self._ttl = ttl
        self._clock = clock
        self._digest_key = os.urandom(32)
        self._answers: SegmentedLru[bytes, tuple[_Answer, float]] = SegmentedLru(TOKENS)
        self._once: Once[bytes, _Answer] = Once()

    def opens(self, request: MediaRequest, *, public: bool) -> bool:
        """Say whether such a caller may have such a copy at all; `public`: it came without a token."""
        return public or request.token is not None or self._check == "none"

    def shares(self, request: MediaRequest) -> bool:
        """Say whether others may join a run that such a caller began."""
        return request.token is not None or request.anonymous or self._check == "none"

    async def vouches(self, request: MediaRequest) -> bool:
        """Say whether the caller may have what the homeserver gave to others of its kind.

        False: only the homeserver knows, ask it for the media as this caller. That is so for guests,
        whom homeservers treat in many ways, and for who has no token but headers that are passed on.
        HomeserverRefusalError (401) for a token that the homeserver does not know.
        """
        if self._check == "none":
            return True
        if self._check == "media":
            return False
        if request.token is None:  # it only ever meets what came without a token
            return request.anonymous  # a homeserver may go by an address, or a cookie
        return not (await self.identity(request.token, request.forwarded)).guest

    async def identity(self, token: str, forwarded: Forwarded = ()) -> Identity:
        """Return whose token it is; HomeserverRefusalError (401) for one that the homeserver refuses."""
        index = self._index(token, forwarded)
        entry = self._answers.get(index)
        if entry is not None and self._clock() < entry[1]:
            answer = entry[0]
        else:
            answer, _ = await self._once.result(index, lambda: self._answer(index, token, forwarded))
        if isinstance(answer, Identity):
            return answer
        raise _again(answer)

    async def _answer(self, index: bytes, token: str, forwarded: Forwarded) -> _Answer:
        asked = self._clock()
        answer: _Answer
        try:
            answer = await self._ask(token, forwarded)
        except (HomeserverRefusalError, HomeserverError) as error:
            answer = _again(error)  # for all who wait: asking one after another, each would wait for its own
        refused = isinstance(answer, HomeserverRefusalError) and answer.status == _BAD_TOKEN
        if refused or isinstance(answer, Identity):
            self._answers.put(index, (answer, asked + self._ttl))
        return answer

    def _index(self, token: str, forwarded: Forwarded) -> bytes:
        """Digest what the homeserver goes by: the token, and the headers that are passed on to it."""
        digest = blake2b(key=self._digest_key, digest_size=32)
        for text in (token, *(part for header in forwarded for part in header)):
            data = text.encode()
            digest.update(len(data).to_bytes(4, "big") + data)
        return digest.digest()


def _again(error: _Refusal) -> _Refusal:
    """Return the same error without the frames that met it: they hold tokens, and live as long as it does."""
    fresh = type(error).__new__(type(error), *error.args)
    fresh.__dict__.update(error.__dict__)
    return fresh
