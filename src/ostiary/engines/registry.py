"""From a section of the configuration to its engine: the one place that names them all."""

import os
from dataclasses import dataclass
from pathlib import Path

from ostiary.config.engines import ClamdSettings, EngineSettings, ScriptSettings, YaraSettings
from ostiary.engines.clamd import ClamdEngine
from ostiary.engines.interface import Engine
from ostiary.engines.script import ScriptEngine
from ostiary.engines.yara import YaraEngine
from ostiary.errors import ConfigError


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
            return ClamdEngine(name, chosen.address, concurrency=chosen.concurrency)
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
        case _:
            raise ConfigError(f"engine {name}: {chosen.type} is not in this release")
