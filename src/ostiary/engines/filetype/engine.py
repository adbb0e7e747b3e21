"""The file type engine: the operator's rules about what a file is, with the weight of an engine.

It judges what the detector found and reads no byte. Unlike `scan.allowed_mimetypes` and
`scan.blocked_mimetypes` it can be tried in shadow mode first, and there may be several of it.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, Literal

from ostiary.engines.filetype.detector import library_version
from ostiary.engines.interface import Sample, Specimens, Statement
from ostiary.errors import EngineError
from ostiary.file_types.names import refused
from ostiary.model import Clean, Finding, Forbidden
from ostiary.policy import TYPE_RULE

EMBEDDED_RULE: Final = "embedded file"
"""The rule that nothing else may lie in the bytes of a file."""


class FileTypeEngine:
    """Forbids files by the types of all that is in them.

    `allow`: the only types that pass, None for all; `block`: types that never pass; `trailing_data`:
    whether a file may hold another one behind its end.
    """

    def __init__(
        self,
        name: str,
        *,
        allow: Sequence[str] | None = None,
        block: Sequence[str] = (),
        trailing_data: Literal["allow", "block"] = "block",
    ) -> None:
        self.name = name
        self._allow = None if allow is None else tuple(allow)
        self._block = tuple(block)
        self._alone = trailing_data == "block"
        self._version: str | None = None

    async def start(self) -> None:
        """Find out the version; there is nothing to load."""
        lists = repr((self._allow and sorted(self._allow), sorted(self._block), self._alone))
        digest = hashlib.sha256(lists.encode()).hexdigest()[:16]
        self._version = f"{library_version()}, lists {digest}"

    async def inspect(self, sample: Sample) -> Statement:
        """Judge the types that were detected; the bytes are not looked at again."""
        return Statement(self._finding(sample), await self.version())

    async def version(self) -> str:
        """Return what decides here: libmagic's version, our rules', the digest of the lists."""
        if self._version is None:
            raise EngineError("the file type engine is not running")
        return self._version

    async def versions(self) -> frozenset[str]:
        """Return the one version, none before the start and after the end."""
        return frozenset() if self._version is None else frozenset({self._version})

    @property
    def directional(self) -> bool:
        """It does not: a type is a type."""
        return False

    @property
    def specimens(self) -> Specimens | None:
        """Return None: rules about types find nothing bad."""
        return None

    async def signed_at(self) -> float | None:
        """Return None: it has no signatures."""
        return None

    async def close(self) -> None:
        """Stop answering. Safe to call twice."""
        self._version = None

    def _finding(self, sample: Sample) -> Finding:
        kinds = (sample.detected_type, *sample.embedded)
        if refused(kinds, only=self._allow, never=self._block) is not None:
            return Forbidden(TYPE_RULE)
        return Forbidden(EMBEDDED_RULE) if self._alone and sample.embedded else Clean()
