"""What a running server does for `ostiary verdicts`: lists what it remembers, shows it, forgets it.

An entry does not say whether its bytes came encrypted, and the log does not say what type encrypted bytes
are. So the type is shown only to those who name the file itself, by its digest or by the copy that the
server holds, and not beside keyed digests.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import isfinite
from typing import Final, overload

import structlog

from ostiary.control.protocol import Actions, action
from ostiary.control.targets import FileDigest, KeyedDigest, parse_target
from ostiary.control.verdict_messages import (
    FORGET,
    LIST,
    SHOW,
    ForgetArguments,
    Forgotten,
    ListArguments,
    Listing,
    Shown,
    Summary,
    TargetArguments,
    Word,
)
from ostiary.digests import Digests
from ostiary.errors import MalformedRequestError
from ostiary.library.interface import Library
from ostiary.model import Evidence, Report, Unscannable, Verdict, name_of
from ostiary.verdicts.interface import Entry, VerdictStore

log = structlog.get_logger()

NOTHING_KNOWN: Final = "nothing is known of it: not inspected lately, over, or forgotten"

_SWEEP: Final = 1000  # entries that are looked at in one step
_NO_COPY: Final = (
    "no stored copy of it is held: give the file's digest (sha256:HEX), or its keyed digest (enc:HEX)"
)
_OTHER_KEYS: Final = (
    "nothing is known of the stored copy as it is; what an encrypted attachment holds is known under keyed "
    "digests (enc:HEX), or its plaintext's digest (sha256:HEX)"
)


@dataclass(frozen=True, slots=True)
class VerdictDesk:
    """The parts of a server that the commands are about.

    `judge` makes the verdict for a request that declares nothing, `counts` says whether the engines
    stand by the evidence, `forget_all` lets nothing count that was found, or begun to be, up to now.
    `clock` is the one that dates evidence, in seconds.
    """

    store: VerdictStore
    digests: Digests
    library: Library
    judge: Callable[[Evidence], Verdict]
    counts: Callable[[Evidence], Awaitable[bool]]
    forget_all: Callable[[], Awaitable[None]]
    clock: Callable[[], float]

    @property
    def actions(self) -> Actions:
        """The commands, by name."""
        return {
            LIST: action(ListArguments, self.list),
            SHOW: action(TargetArguments, self.show),
            FORGET: action(ForgetArguments, self.forget),
        }

    async def list(self, wanted: ListArguments) -> Listing:
        """Return a page of summaries."""
        page = await self.store.entries(wanted.limit, _cursor(wanted.after))
        found = [await self._summary(entry) for entry in page.entries]
        kept = [one for one in found if wanted.result is None or one.result is wanted.result]
        return Listing(entries=tuple(kept), after=None if page.after is None else page.after.hex())

    async def show(self, wanted: TargetArguments) -> Shown:
        """Return all that is known of one target."""
        index, open_, why = self._index(wanted.target)
        entry = None if index is None else await self.store.entry(index)
        if entry is None:
            return Shown(summary=None, why=why)
        evidence = entry.evidence
        return Shown(
            summary=await self._summary(entry),
            words=tuple(_word(report) for report in evidence.reports),
            type=evidence.detected_type if open_ else None,
            embedded=evidence.embedded if open_ else None,
        )

    async def forget(self, wanted: ForgetArguments) -> Forgotten:
        """Forget one target, or everything."""
        if wanted.target is None:
            await self.forget_all()  # first: what is put from here on is known not to count
            count = await self.store.clear()
            log.info("verdicts forgotten", all=True, count=count)
            return Forgotten(count=count)
        index, _, why = self._index(wanted.target)
        count = 0 if index is None else await self._forget(index)
        log.info("verdicts forgotten", target=wanted.target, count=count)
        return Forgotten(count=count, why=None if count else why)

    def _index(self, text: str) -> tuple[bytes | None, bool, str]:
        """Return a target's index, whether its type may be shown, and what to say if nothing is known."""
        match parse_target(text):
            case KeyedDigest(index=index):
                return index, False, NOTHING_KNOWN
            case FileDigest(sha256=sha256):
                return self.digests.content(sha256), True, NOTHING_KNOWN
            case ref:
                copy = self.library.get((ref, None))
                if copy is None:
                    return None, True, _NO_COPY
                return self.digests.content(copy.sha256), True, _OTHER_KEYS

    async def _forget(self, index: bytes) -> int:
        """Forget the entry and its twins: an attachment's plaintext is known under more than one digest.

        What one inspection found is the same evidence, under whatever digest; to forget more than was meant
        costs an inspection, to forget less would leave the verdict standing.
        """
        known = await self.store.entry(index)
        count = int(await self.store.remove(index))
        if known is None:
            return count
        after: bytes | None = None
        while True:
            page = await self.store.entries(_SWEEP, after)
            for entry in page.entries:
                if entry.evidence == known.evidence:
                    count += await self.store.remove(entry.index)
            after = page.after
            if after is None:
                return count
            await asyncio.sleep(0)  # others go first

    async def _summary(self, entry: Entry) -> Summary:
        evidence = entry.evidence
        verdict = self.judge(evidence)
        return Summary(
            digest=str(KeyedDigest(entry.index)),
            result=verdict.result,
            served=verdict.release,
            engine=_text(verdict.engine),
            name=_text(verdict.name),
            counts=await self.counts(evidence),
            age=round(max(0.0, self.clock() - evidence.made), 1),
            left=round(max(0.0, min(entry.left, evidence.until - self.clock())), 1),
            versions={one.engine: _text(one.version) for one in evidence.reports if one.version},
        )


def _cursor(text: str | None) -> bytes | None:
    try:
        return None if text is None else bytes.fromhex(text)
    except ValueError:
        raise MalformedRequestError("no page of verdicts ends there") from None


def _word(report: Report) -> Word:
    finding = report.finding
    return Word(
        engine=report.engine,
        finding=type(finding).__name__.lower(),
        name=_text(name_of(finding)),
        detail=_text(finding.detail) if isinstance(finding, Unscannable) else None,
        version=_text(report.version),
        required=report.required,
        shadow=report.shadow,
        keep=report.keep if isfinite(report.keep) else None,
    )


@overload
def _text(text: str) -> str: ...
@overload
def _text(text: None) -> None: ...


def _text(text: str | None) -> str | None:
    """Return an engine's words such that they are Unicode text: half a surrogate pair is spelt out."""
    return None if text is None else text.encode(errors="backslashreplace").decode()
