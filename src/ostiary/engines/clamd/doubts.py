"""What `ostiary check` warns of: settings of a clamd under which it passes what it did not see.

Each doubt is one sentence for an operator. What can't be seen from here is said as well: a warning
that is missing must not look like a setting that is right.
"""

import io
import zipfile
from collections.abc import Iterator
from typing import Final

from ostiary.engines.clamd.address import Address, TcpAddress
from ostiary.engines.clamd.config import ClamdConfig
from ostiary.engines.clamd.sight import Sight
from ostiary.engines.specimens import EICAR

PASSES_UNSEEN: Final = (
    "AlertExceedsMax is off: documents and archives beyond its limits pass as clean; set it to yes"
)

_MANY: Final = 10_100


def doubts_of(
    sight: Sight,
    address: Address,
    max_size: int,
    concurrency: int,
    timeout: float,
) -> Iterator[str]:
    """Yield the doubts about one clamd, for media of up to `max_size` bytes and `timeout` seconds."""
    if sight.config is None:
        yield (
            f"its settings can't be seen ({sight.reason}): not verified are AlertEncrypted, MaxFileSize, "
            "MaxScanSize, StreamMaxLength, MaxThreads and its signature folder"
        )
        return
    yield from _about_limits(sight.config, address, max_size)
    yield from _about_alerts(sight.config)
    yield from _about_load(sight.config, concurrency, timeout)
    if not sight.mark:
        yield f"its signature folder can't be seen ({sight.reason}): its word is kept for proof.interval"
    elif not sight.config.self_check:
        yield "SelfCheck is 0: clamd loads new signatures only when told to (RELOAD)"


def _about_limits(config: ClamdConfig, address: Address, max_size: int) -> Iterator[str]:
    limits = {"MaxFileSize": config.max_file_size, "MaxScanSize": config.max_scan_size}
    if isinstance(address, TcpAddress):
        limits["StreamMaxLength"] = config.stream_max_length
    for name, limit in limits.items():
        if limit < max_size:
            yield f"{name} ({limit}) is less than scan.max_size ({max_size}): larger files are unscannable"


def _about_alerts(config: ClamdConfig) -> Iterator[str]:
    if not config.alert_exceeds_max:
        yield PASSES_UNSEEN
    if not config.alert_encrypted:
        yield "AlertEncrypted is off: encrypted archives and documents other than zips pass as clean"
    if not config.alert_macros:
        yield "AlertOLE2Macros is off: macros pass unless a signature knows them (a matter of taste)"


def _about_load(config: ClamdConfig, concurrency: int, timeout: float) -> Iterator[str]:
    if config.read_timeout < timeout:
        yield f"ReadTimeout ({config.read_timeout} s) is less than this engine's timeout ({timeout:g} s)"
    if config.max_threads < concurrency:
        yield f"MaxThreads ({config.max_threads}) is less than this engine's concurrency ({concurrency})"


def crowded() -> bytes:
    """Return a zip beyond clamd's MaxFiles (10,000), with the known-bad sample as its last member.

    A clamd that calls it OK passes whatever exceeds its limits.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(_MANY):
            archive.writestr(zipfile.ZipInfo(f"{number:x}"), b"x")
        archive.writestr("last", EICAR, zipfile.ZIP_DEFLATED)  # stored, it would be seen from outside
    return file.getvalue()
