"""The ICAP products that are known: which headers name what they found, and what else they need. Pure.

The table is written from public documents, the source of each beside it; only c-icap was measured here. A
product with a preset that does not fit it shows at once: the known-bad sample is not found, and the engine
is not trusted. docs/setup/icap.md has the same table for people; a test compares the two.
"""

from dataclasses import dataclass
from typing import Final

from ostiary.wire.icap.findings import READERS


@dataclass(frozen=True, slots=True)
class Preset:
    """One product.

    `arguments` go into the URL's query where it does not have them. `max_size`: files of so many bytes
    and more are not given to it. `clean`: the header without which nothing is clean. `statuses` beside
    200 and 204 may come with a finding. `cuts`: ClamAV may be behind it, which looks at the beginning of
    a large member of an archive and calls it clean.
    """

    product: str
    source: str
    headers: frozenset[str]
    arguments: tuple[tuple[str, str], ...] = ()
    max_size: int | None = None
    clean: str | None = None
    statuses: frozenset[int] = frozenset()
    cuts: bool = False


_DRAFT: Final = frozenset({"x-infection-found", "x-virus-id", "x-violations-found"})
_CREATED: Final = 201

PRESETS: Final[dict[str, Preset]] = {
    "generic": Preset(
        "any product that names what it finds in one of the headers below",
        "draft-stecher-icap-subid-00 and all the others here",
        frozenset(READERS),
        cuts=True,
    ),
    "c-icap": Preset(
        "c-icap with virus_scan (ClamAV)",
        "measured with c-icap 0.5.10, virus_scan 0.5.5; virus_scan.conf",
        frozenset({"x-infection-found", "x-violations-found"}),
        # Without: types outside ScanFileTypes, and what is over MaxObjectSize, pass unscanned; and of
        # infected files the beginning comes back instead of a page and the name.
        arguments=(("force", "on"), ("sizelimit", "off"), ("mode", "simple")),
        cuts=True,
    ),
    "squidclamav": Preset(
        "c-icap with SquidClamav",
        "squidclamav.conf: maxsize is 5000000 in the file that comes with it",
        frozenset({"x-infection-found", "x-virus-id"}),
        max_size=5_000_000,
        cuts=True,
    ),
    "kaspersky": Preset(
        "Kaspersky Scan Engine, Web Traffic Security",
        "support.kaspersky.com/scanengine/221159 (response headers; switch SendInfectionFoundICAPHeader on)",
        _DRAFT | {"x-response-info"},
    ),
    "sophos": Preset(
        "Sophos SAVDI",
        "rspamd.com/doc/modules/external_services.html (answers seen)",
        _DRAFT | {"x-blocked"},
    ),
    "eset": Preset(
        "ESET Server Security, Gateway Security",
        "rspamd.com/doc/modules/external_services.html (answers seen)",
        _DRAFT | {"x-response-info"},
    ),
    "trendmicro": Preset(
        "Trend Micro Deep Discovery Analyzer, InterScan Web Security",
        "docs.trendmicro.com, Deep Discovery Analyzer 6.8, ICAP header responses",
        _DRAFT,
    ),
    "mcafee": Preset(
        "McAfee, Trellix or Skyhigh Web Gateway",
        "rspamd.com/doc/modules/external_services.html (answers seen; rules must add the headers)",
        _DRAFT | {"x-virus-name", "x-block-reason"},
    ),
    "symantec": Preset(
        "Symantec Protection Engine, Scan Engine",
        "Symantec Protection Engine Software Developer's Guide, ICAP (201 and X-Violations-Found)",
        _DRAFT,
        statuses=frozenset({_CREATED}),
    ),
    "f-secure": Preset(
        "F-Secure Internet Gatekeeper, WithSecure Atlant",
        "WithSecure's published Atlant ICAP client: X-FSecure-Scan-Result is in every answer",
        frozenset({"x-fsecure-scan-result"}),
        clean="x-fsecure-scan-result",
    ),
    "metadefender": Preset(
        "OPSWAT MetaDefender ICAP Server",
        "opswat.com/docs/mdicap/operating/icap-response-headers",
        _DRAFT | {"x-blocked-reason", "x-response-info"},
    ),
    "clearswift": Preset(
        "Clearswift Secure ICAP Gateway",
        "Clearswift SIG 6.0 help, ICAP virus response headers",
        _DRAFT,
    ),
}
"""By the name that `engines[].preset` has."""
