"""From a section of the configuration to its engine: the one place that names them all."""

import os
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from ostiary.config.engines import (
    ClamdSettings,
    EngineSettings,
    FileTypeSettings,
    HashListSettings,
    HmaSettings,
    IcapSettings,
    PerceptualSettings,
    ScriptSettings,
    YaraSettings,
)
from ostiary.engines.clamd.engine import ClamdEngine, Knowledge
from ostiary.engines.filetype.engine import FileTypeEngine
from ostiary.engines.hashlist.engine import HashListEngine
from ostiary.engines.hma.engine import HmaEngine
from ostiary.engines.icap.engine import IcapEngine, IcapWays
from ostiary.engines.interface import Engine
from ostiary.engines.perceptual.engine import PerceptualEngine
from ostiary.engines.script.engine import ScriptEngine
from ostiary.engines.unpacking.account import CLAMAV, Bounds
from ostiary.engines.yara.engine import YaraEngine
from ostiary.wire.icap.presets import PRESETS


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What engines are told beside their own section; `proof_interval` in seconds."""

    temp_directory: Path
    removal_command: str
    error_exit_codes: frozenset[int]
    fleeting_exit_codes: frozenset[int]
    proof_interval: float


def engine_of(chosen: EngineSettings, around: Circumstances) -> Engine:
    """Return the engine, not yet started."""
    name = chosen.name or chosen.type
    cpus = os.cpu_count() or 1
    match chosen:
        case ClamdSettings():
            return _clamd(name, chosen, around)
        case IcapSettings():
            return _icap(name, chosen, around)
        case YaraSettings():
            concurrency = chosen.concurrency or cpus
            return YaraEngine(name, chosen.rules, concurrency=concurrency, timeout=chosen.timeout)
        case ScriptSettings():
            return ScriptEngine(
                name,
                chosen.path,
                temp_directory=around.temp_directory,
                error_exit_codes=around.error_exit_codes,
                fleeting_exit_codes=around.fleeting_exit_codes,
                concurrency=chosen.concurrency,
                removal_command=around.removal_command,
            )
        case HashListSettings():
            return HashListEngine(name, chosen.path, temp_directory=around.temp_directory)
        case PerceptualSettings():
            return PerceptualEngine(
                name,
                chosen.path,
                distance=chosen.distance,
                concurrency=chosen.concurrency or cpus,
                timeout=chosen.timeout,
            )
        case HmaSettings():
            return HmaEngine(
                name,
                chosen.url,
                content_types=chosen.content_types,
                concurrency=chosen.concurrency,
                keep=around.proof_interval,
            )
        case FileTypeSettings():
            return FileTypeEngine(
                name, allow=chosen.allow, block=chosen.block, trailing_data=chosen.trailing_data
            )


def _clamd(name: str, chosen: ClamdSettings, around: Circumstances) -> ClamdEngine:
    knowledge = Knowledge(
        config_file=chosen.config_file,
        loose_signatures=chosen.loose_signatures,
        max_file_size=chosen.max_file_size,
        max_scan_size=chosen.max_scan_size,
        keep=around.proof_interval,
        timeout=chosen.timeout,
    )
    return ClamdEngine(name, chosen.address, concurrency=chosen.concurrency, knowledge=knowledge)


def _icap(name: str, chosen: IcapSettings, around: Circumstances) -> IcapEngine:
    ways = IcapWays(
        upload_url=chosen.upload_url,
        preset=chosen.preset,
        max_size=chosen.max_size,
        preview=chosen.preview,
        reqmod=chosen.reqmod,
        page_is_infected=chosen.block_page == "infected",
        ca_path=chosen.ca_path,
        keep=inf if chosen.istag_follows_signatures else around.proof_interval,
        bounds=_icap_bounds(chosen),
    )
    return IcapEngine(name, chosen.url, ways, concurrency=chosen.concurrency, rest=around.proof_interval)


def _icap_bounds(chosen: IcapSettings) -> Bounds | None:
    """Return what is behind the server looks at of archives; None where nobody says that it cuts."""
    if chosen.max_file_size is None and chosen.max_scan_size is None and not PRESETS[chosen.preset].cuts:
        return None
    return replace(
        CLAMAV,
        file_size=chosen.max_file_size or CLAMAV.file_size,
        scan_size=chosen.max_scan_size or CLAMAV.scan_size,
    )
