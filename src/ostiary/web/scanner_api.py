"""The scanner API: `/_matrix/media_proxy/unstable/*`, as every existing client speaks it.

One handler a route. Each reads what the caller wants, walks it through the gateway, and answers;
what goes wrong on the way is raised and meets the table in `ostiary.web.errors`.
"""

import re
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiohttp import hdrs, web

from ostiary.access import Access
from ostiary.budget import Budget
from ostiary.errors import MissingTokenError, UnknownTokenError
from ostiary.fetching import Media
from ostiary.gateway import Gateway
from ostiary.matrix.content_disposition import safe_disposition
from ostiary.matrix.envelope import Envelope
from ostiary.matrix.request_body import Enveloped, Plain, encrypted_file, request_object
from ostiary.model import EncryptedFile, MediaRequest, Result, Verdict
from ostiary.web.answers import Labels, Pace, json_answer, refusal_answer, send_media
from ostiary.web.bodies import json_object, json_room, pieces
from ostiary.web.errors import is_type_rule, refusal_of_verdict
from ostiary.web.forms import OVERHEAD, Form, read_form
from ostiary.web.headers import EVERYWHERE
from ostiary.web.routes import Call, Route
from ostiary.wire.multipart import boundary_of

_OPAQUE: Final = "application/octet-stream"
_SCRIPTS: Final = frozenset({
    "javascript", "ecmascript", "x-javascript", "x-ecmascript", "jscript", "livescript",
})  # fmt: skip
_PLAIN: Final = re.compile(r"[\x20-\x7e]{1,4096}")
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")


@dataclass(frozen=True, slots=True)
class ScannerApi:
    """The handlers and what they need; `idle` is how long a client may be silent, in seconds."""

    gateway: Gateway
    access: Access
    envelope: Envelope
    headers_to_forward: Sequence[str]
    idle: float
    bodies: Budget = field(default_factory=json_room)

    async def handle(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        """Answer a call to the scanner API."""
        match call.route:
            case Route.PUBLIC_KEY:
                return json_answer({"public_key": self.envelope.public_key}, headers=EVERYWHERE)
            case Route.SCAN_FILE:
                return await self._scan_file(request, call)
            case Route.SCAN | Route.SCAN_ENCRYPTED:
                return await self._scan(request, call)
            case _:
                return await self._download(request, call)

    async def _download(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        wanted = await self._wanted(request, call)
        async with self.gateway.media(wanted) as outcome:
            refusal = refusal_of_verdict(outcome.verdict)
            if refusal is not None:
                return refusal_answer(refusal)
            if outcome.media is None:
                raise AssertionError("a verdict that releases comes with bytes")
            return await self._send(request, call, outcome.media)

    async def _send(self, request: web.BaseRequest, call: Call, media: Media) -> web.StreamResponse:
        content_type = shown_type(media.content_type)
        disposition = safe_disposition(media.content_disposition, content_type, call.filename)
        pace = Pace(self.idle, lambda: self.gateway.pressed)
        return await send_media(request, media.blob, Labels(content_type, disposition, media.etag), pace)

    async def _scan(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        wanted = await self._wanted(request, call)
        async with self.gateway.media(wanted) as outcome:
            return scan_answer(outcome.verdict)

    async def _wanted(self, request: web.BaseRequest, call: Call) -> MediaRequest:
        file = None
        if call.ref is None:
            body = await json_object(request, self.bodies, self.idle)
            file = self._encrypted_file(request_object(body))
        ref = call.ref or (file.ref if file else None)
        if ref is None:
            raise AssertionError("a request body names its media")
        structlog.contextvars.bind_contextvars(media=str(ref))
        return MediaRequest(ref, call.thumbnail, file, token_of(request, call), self._forwarded(request))

    def _encrypted_file(self, asked: Plain | Enveloped) -> EncryptedFile:
        if isinstance(asked, Plain):
            return asked.file
        return self.envelope.open(asked.ciphertext, asked.mac, asked.ephemeral)

    def _forwarded(self, request: web.BaseRequest) -> tuple[tuple[str, str], ...]:
        """Return the headers that the operator named, where the caller sent them in plain ASCII."""
        found = ((name, ", ".join(request.headers.getall(name, ()))) for name in self.headers_to_forward)
        return tuple((name, value) for name, value in found if _PLAIN.fullmatch(value))

    async def _scan_file(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        started = time.monotonic()
        token = token_of(request, call)
        if token is None:
            raise MissingTokenError("scanning a file before its upload needs an access token")
        user = (await self.access.identity(token, self._forwarded(request))).user
        boundary = boundary_of(request.headers.get(hdrs.CONTENT_TYPE, ""))
        limit = self.gateway.max_size
        size = limit if request.content_length is None else min(limit, request.content_length)
        async with AsyncExitStack() as held:
            await held.enter_async_context(self.gateway.room(size, encrypted=True))
            body = pieces(request, limit + OVERHEAD, self.idle)
            form = await read_form(body, boundary, self.gateway.writer(), limit)
            if form.file is not None:
                held.callback(form.file.close)
            outcome = await self.gateway.judge_upload(form.file, _key_of(form), form.declared)
            what = f"a file before its upload by {user}"
            self.gateway.record(outcome, what, started, encrypted=form.body is not None)
            return scan_answer(outcome.verdict)


def _key_of(form: Form) -> EncryptedFile | None:
    return None if form.body is None else encrypted_file(form.body, needs_url=False)


def shown_type(content_type: str | None) -> str:
    """Return the type to send: what a page could load as a script is bytes (WHATWG MIME Sniffing, 4.6)."""
    if content_type is None:
        return _OPAQUE
    family, _, name = content_type.partition(";")[0].strip().lower().partition("/")
    script = family in {"text", "application"} and name.rstrip("0123456789.") in _SCRIPTS
    return _OPAQUE if script else content_type


def scan_answer(verdict: Verdict) -> web.Response:
    """Return `{"clean", "info"}` where something was judged, an error where it was not."""
    refusal = refusal_of_verdict(verdict)
    if refusal is not None and (verdict.result is Result.ERROR or is_type_rule(verdict)):
        return refusal_answer(refusal)
    return json_answer({"clean": verdict.release, "info": verdict.info})


def token_of(request: web.BaseRequest, call: Call) -> str | None:
    """Return the caller's access token: from the header, or from the query as older clients do."""
    scheme, _, credentials = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    token = credentials.strip() if scheme.lower() == "bearer" else call.token
    if not token:
        return None
    if not _TOKEN.fullmatch(token):
        raise UnknownTokenError("no access token looks like that")
    return token
