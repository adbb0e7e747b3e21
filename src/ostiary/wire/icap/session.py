"""The ICAP client protocol (RFC 3507), one request and its answer, without any IO.

What goes out is told (`part_sent`, `all_sent`), what comes in is fed; the outcome is a Finding or an
EngineError. Clean is one thing alone: an answer that came after all of the file was sent, and is either
a 204 that we allowed, or a 200 whose encapsulated message is ours with the same body, length and digest,
ended by the last chunk. The states, with what may come in each:

    HEAD   1xx -> HEAD (100 only after a preview); 204 -> OVER; 200 -> HTTP or BODY; all else is an error
    HTTP   the encapsulated head, of just the length that Encapsulated gives -> BODY, or OVER if it blocks
    BODY   chunks, which are compared and not kept -> OVER
    OVER   nothing that comes is looked at; if anything does, the connection is not used again

A header that names a finding ends it at once: what comes behind is not needed, nor the connection.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ostiary.errors import EngineError
from ostiary.model import Cause, Clean, Finding, Infected, Unscannable
from ostiary.wire.icap.answer import AnswerHead, encapsulated, refusal, stays_open
from ostiary.wire.icap.chunks import ChunkedBody
from ostiary.wire.icap.findings import Blocked, Reading, reading
from ostiary.wire.icap.head import MAX_HEAD, Head, parse_head, request_of, status_of
from ostiary.wire.icap.options import Options, istag_of, parse_options
from ostiary.wire.icap.presets import Preset
from ostiary.wire.icap.request import TARGET, Method

PAGE: Final = "blocked by the ICAP server"
"""The signature of a file that was answered by a page which names nothing, where that means infected."""

MAX_OPTIONS_BODY: Final = 1 << 16
"""Bytes of a body that an answer to OPTIONS may have; it is not looked at."""

Step = Callable[[memoryview], memoryview]
"""Takes bytes in one state of an exchange, and returns those that belong to the next one."""

_CONTINUE, _OK, _NO_CONTENT, _TOO_LARGE = 100, 200, 204, 413


@dataclass(frozen=True, slots=True)
class Question:
    """A scan: what is asked about and how.

    `preview`: bytes that go ahead, None: none. `page_is_infected`: a page that names nothing counts as
    a finding.
    """

    method: Method
    preset: Preset
    size: int
    sha256: bytes
    preview: int | None
    allow_204: bool
    page_is_infected: bool

    @property
    def whole_preview(self) -> bool:
        """Whether the preview holds all of the file."""
        return self.preview is not None and self.size <= self.preview


class OptionsExchange:
    """OPTIONS and its answer: `options` once it is there; EngineError out of `feed` for all that is none."""

    def __init__(self) -> None:
        self._reader = AnswerHead()
        self._body: ChunkedBody | None = None
        self._head: Head | None = None
        self._surplus = False
        self.options: Options | None = None

    @property
    def heard(self) -> bool:
        """Whether any byte of an answer came."""
        return self._reader.heard

    @property
    def over(self) -> bool:
        """Whether the answer is there."""
        return self.options is not None

    @property
    def reusable(self) -> bool:
        """Whether the connection may be asked again."""
        return self.over and not self._surplus and self._head is not None and stays_open(self._head)

    def feed(self, data: bytes) -> None:
        """Take bytes from the server."""
        rest = memoryview(data)
        if self._head is None:
            found = self._reader.next(rest)
            if found is None:
                return
            self._head, rest = found
            status = status_of(self._head, "ICAP")
            if status != _OK:
                raise refusal(status, "OPTIONS")
            parts = encapsulated(self._head)
            if parts and parts[0][0] == "opt-body":
                self._body = ChunkedBody(lambda _: None, MAX_OPTIONS_BODY)
            elif parts not in ([], [("null-body", 0)]):
                raise EngineError("sent an Encapsulated that does not fit OPTIONS")
        if self._body is not None:
            rest = self._body.feed(rest)
        if self.options is None and (self._body is None or self._body.done):
            self.options = parse_options(self._head)
        self._surplus = self._surplus or bool(rest)


class ScanExchange:
    """REQMOD or RESPMOD and its answer; EngineError out of `feed` for all that is none."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._reader = AnswerHead()
        self._feed: Step = self._feed_head
        self._head: Head | None = None
        self._http = bytearray()  # the encapsulated head, while it comes
        self._http_head: Head | None = None
        self._http_size = 0
        self._has_body = False
        self._digest = hashlib.sha256()
        self._length = 0
        self._body = ChunkedBody(self._compare, question.size)
        self._part_sent = False
        self._all_sent = False
        self._surplus = False
        self.go_on = False
        self.istag: str | None = None
        self.finding: Finding | None = None
        self._whole = False

    @property
    def heard(self) -> bool:
        """Whether any byte of an answer came."""
        return self._reader.heard

    @property
    def over(self) -> bool:
        """Whether the outcome is there."""
        return self.finding is not None

    @property
    def reusable(self) -> bool:
        """Whether the connection may be asked again: all was sent, all was read, and no more came."""
        whole = self._whole and self._all_sent and not self._surplus
        return whole and self._head is not None and stays_open(self._head)

    @property
    def working(self) -> bool:
        """Whether the server has the whole file, and has not answered."""
        return self._all_sent and not self.over

    def part_sent(self) -> None:
        """Note that the preview, and no more, is on its way."""
        self._part_sent = True

    def all_sent(self) -> None:
        """Note that the file is on its way to its end."""
        self._all_sent = True

    def feed(self, data: bytes) -> None:
        """Take bytes from the server."""
        rest = memoryview(data)
        while rest and not self.over:
            rest = self._feed(rest)
        self._surplus = self._surplus or bool(rest)

    def _feed_head(self, data: memoryview) -> memoryview:
        found = self._reader.next(data)
        if found is None:
            return data[:0]
        head, rest = found
        status = status_of(head, "ICAP")
        if status < _OK:
            self._reader.count_interim()
            if status == _CONTINUE:
                self._continue()
            return rest
        self._head = head
        self._answered(status, head)
        return rest

    def _continue(self) -> None:
        if not self._part_sent or self._all_sent or self.go_on:
            raise EngineError("answered 100 Continue where nothing was left to send")
        self.go_on = True

    def _answered(self, status: int, head: Head) -> None:
        question = self._question
        said = None
        if status in {_OK, _NO_CONTENT} | question.preset.statuses:
            said = reading(head, question.preset.headers)
        self.istag = istag_of(head) if head.all("istag") else None
        if self._decided(said):
            return
        if status == _NO_CONTENT:
            self._unmodified(head)
        elif status == _OK:
            self._modified(head)
        elif status == _TOO_LARGE:
            self.finding = Unscannable(
                Cause.LIMIT, "the ICAP server answered 413: the file is too large for it"
            )
        else:
            raise refusal(status, question.method)

    def _decided(self, said: Reading) -> bool:
        """Take what headers say for the outcome, if they say anything."""
        if isinstance(said, Blocked):
            if not self._question.page_is_infected:
                raise EngineError(
                    f"blocked the file and named no threat that its preset knows ({said.reason}): see"
                    " `preset`, or set `block_page: infected` if such a page always means malware"
                )
            said = Infected(PAGE)
        if said is not None:
            self.finding = said
        return said is not None

    def _unmodified(self, head: Head) -> None:
        """204: RFC 3507, 4.6, allows it within a preview, and else where Allow did."""
        question = self._question
        if encapsulated(head) not in ([], [("null-body", 0)]):
            raise EngineError("sent a 204 with a body")
        if self._part_sent and not (self.go_on or self._all_sent):
            self.finding = Unscannable(
                Cause.LIMIT,
                f"the ICAP server let the file pass after its first {question.preview} bytes, unscanned: it"
                " skips this type or size",
            )
        elif not self._all_sent:
            raise EngineError("answered before it had the file")
        elif not (question.allow_204 or question.whole_preview):
            raise EngineError("answered 204, which was not allowed")
        else:
            self._clean(head)

    def _clean(self, head: Head, *encapsulated_heads: Head) -> None:
        istag_of(head)  # it is required, so that evidence can grow stale
        needed, heads = self._question.preset.clean, (head, *encapsulated_heads)
        if needed is not None and not any(head.all(needed) for head in heads):
            raise EngineError(f"did not say {needed}: does the preset fit?")
        self._whole = True
        self.finding = Clean()

    def _modified(self, head: Head) -> None:
        """200: the encapsulated message is to be read (RFC 3507, 4.4.1)."""
        parts = encapsulated(head)
        names = [name for name, _ in parts]
        kinds = {"res"} if self._question.method is Method.RESPMOD else {"req", "res"}
        if names not in [[f"{kind}-hdr", body] for kind in kinds for body in (f"{kind}-body", "null-body")]:
            raise EngineError("sent an Encapsulated that does not fit its answer")
        self._has_body = names[1] != "null-body"
        self._http_size = parts[1][1]
        if not 0 < self._http_size <= MAX_HEAD:
            raise EngineError("sent an encapsulated head that is empty or too large")
        self._feed = self._feed_response if names[0] == "res-hdr" else self._feed_request

    def _feed_http(self, data: memoryview) -> tuple[Head | None, memoryview]:
        missing = self._http_size - len(self._http)
        self._http += data[:missing]
        head = parse_head(bytes(self._http)) if len(self._http) == self._http_size else None
        return head, data[missing:]

    def _feed_response(self, data: memoryview) -> memoryview:
        http, rest = self._feed_http(data)
        if http is not None:
            status = status_of(http, "HTTP")
            said = reading(http, self._question.preset.headers)
            page = status != _OK or self._question.method is Method.REQMOD
            if said is None and page:
                said = Blocked(f"HTTP {status}")
            if not self._decided(said):
                self._expect_body(http)
        return rest

    def _feed_request(self, data: memoryview) -> memoryview:
        http, rest = self._feed_http(data)
        if http is not None:
            if request_of(http) != ("POST", TARGET):
                raise EngineError("changed the request that it was asked about")
            if not self._decided(reading(http, self._question.preset.headers)):
                self._expect_body(http)
        return rest

    def _expect_body(self, http: Head) -> None:
        length = http.one("content-length")
        if length is not None and length != str(self._question.size):
            raise EngineError("announced a body of another length than the file's")
        self._http_head = http
        if self._has_body:
            self._feed = self._feed_body
        else:
            self._ended()

    def _feed_body(self, data: memoryview) -> memoryview:
        rest = self._body.feed(data)
        if self._body.done:
            self._ended()
        return rest

    def _compare(self, piece: memoryview) -> None:
        self._length += len(piece)
        self._digest.update(piece)

    def _ended(self) -> None:
        question = self._question
        if not self._all_sent:
            raise EngineError("answered before it had the file")
        if self._length < question.size:
            raise EngineError(
                "sent the file back cut: it sends the beginning of infected files (SendPercentData, data"
                " trickling); switch that off"
            )
        if self._digest.digest() != question.sha256:
            raise EngineError("sent the file back changed, and named no threat that its preset knows")
        if self._head is not None and self._http_head is not None:
            self._clean(self._head, self._http_head)
