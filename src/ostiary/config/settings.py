"""The whole configuration: every section, the rules between sections, and what is in force.

Read by `app.py` and `cli.py` alone; every other part gets its own section. Nothing here touches a
file: `load.py` does.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from ostiary.config.crypto import CryptoSettings
from ostiary.config.download import DownloadSettings, ineffective
from ostiary.config.engines import ENGINES, EngineSettings, ScriptSettings, YaraSettings
from ostiary.config.limits import LimitsSettings, RateLimitSettings
from ostiary.config.operations import (
    AlertsSettings,
    ControlSettings,
    LogSettings,
    MetricsSettings,
    SweepSettings,
    TracingSettings,
)
from ostiary.config.proof import ProofSettings
from ostiary.config.protection import MediaApiSettings, ModuleSettings, PolicyRoomsSettings, SynapseSettings
from ostiary.config.scan import PolicySettings, ScanSettings
from ostiary.config.section import KeyPath, NotYet, Section, complaints
from ostiary.config.stores import AccessSettings, LedgerSettings, LibrarySettings, ResultCacheSettings
from ostiary.config.values import format_size
from ostiary.config.web import WebSettings

_COPIES: Final = 3  # a file, its decrypted copy, and the copy that a script reads


class Settings(Section):
    """Ostiary's configuration."""

    web: WebSettings = Field(default_factory=WebSettings)
    scan: ScanSettings = Field(default_factory=ScanSettings)
    policy: PolicySettings = Field(default_factory=PolicySettings)
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    rate_limit: Annotated[RateLimitSettings, NotYet()] = Field(default_factory=RateLimitSettings)
    engines: tuple[EngineSettings, ...] = ()
    """Who looks at the bytes: all must call a file clean. Without it the program of `scan.script`
    decides alone, and without that the built-in YARA rules."""
    proof: ProofSettings = Field(default_factory=ProofSettings)
    result_cache: ResultCacheSettings = Field(default_factory=ResultCacheSettings)
    library: LibrarySettings = Field(default_factory=LibrarySettings)
    access: AccessSettings = Field(default_factory=AccessSettings)
    download: DownloadSettings = Field(default_factory=DownloadSettings)
    crypto: CryptoSettings = Field(default_factory=CryptoSettings)
    media_api: Annotated[MediaApiSettings, NotYet()] = Field(default_factory=MediaApiSettings)
    synapse: Annotated[SynapseSettings, NotYet()] = Field(default_factory=SynapseSettings)
    policy_rooms: Annotated[PolicyRoomsSettings, NotYet()] = Field(default_factory=PolicyRoomsSettings)
    alerts: Annotated[AlertsSettings, NotYet()] = Field(default_factory=AlertsSettings)
    ledger: Annotated[LedgerSettings, NotYet()] = Field(default_factory=LedgerSettings)
    sweep: Annotated[SweepSettings, NotYet()] = Field(default_factory=SweepSettings)
    control: ControlSettings = Field(default_factory=ControlSettings)
    module: Annotated[ModuleSettings, NotYet()] = Field(default_factory=ModuleSettings)
    tracing: Annotated[TracingSettings, NotYet()] = Field(default_factory=TracingSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        found = [*_engines_at_odds(self), *_room_at_odds(self)]
        if found:
            raise complaints(found)
        return self


def _engines_at_odds(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    """Yield what keeps the engines from ever calling a file clean on good grounds."""
    names = [engine.name for engine in settings.engines]
    for index, name in enumerate(names):
        if name is not None and name in names[:index]:
            yield ("engines", index, "name"), f"{name} is the name of another engine"
    engines = effective_engines(settings)
    if not engines:
        hint = "leave the key out for the built-in YARA rules"
        yield ("engines",), f"the list is empty, so nothing would be scanned; {hint}"
    elif not any(engine.required and not engine.shadow for engine in engines):
        yield ("engines",), "nobody could call a file clean: one engine at least is required and no shadow"


def _room_at_odds(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    disk, size = settings.limits.disk, settings.scan.max_size
    if disk < _COPIES * size:
        key = ("limits", "disk") if "disk" in settings.limits.model_fields_set else ("scan", "max_size")
        needed = (
            f"{_COPIES} files of scan.max_size ({format_size(size)}): at least {format_size(_COPIES * size)}"
        )
        yield key, f"limits.disk ({format_size(disk)}) must hold {needed}"


def shared_by(settings: Settings) -> str | None:
    """Return the setting by which several replicas work together, None where this one stands alone."""
    if settings.result_cache.type == "redis":
        return "result_cache.type: redis"
    if settings.ledger.url.lower().startswith("postgresql:"):
        return "a PostgreSQL ledger.url"
    return None


def effective_engines(settings: Settings) -> tuple[EngineSettings, ...]:
    """Return the engines that run, each with its name.

    `scan.script` without `engines`: the script alone; with both, the script as one more; neither:
    the built-in YARA rules alone. A script of `scan.script` may take the whole `scan.timeout`.
    """
    engines = settings.engines
    if settings.scan.script is not None:
        timeout = settings.scan.timeout
        engines = (*engines, ScriptSettings(type="script", path=settings.scan.script, timeout=timeout))
    elif "engines" not in settings.model_fields_set:
        engines = (YaraSettings(type="yara"),)
    return _named(engines)


def _named(engines: tuple[EngineSettings, ...]) -> tuple[EngineSettings, ...]:
    """Give each engine without a name its type, then type-2, type-3, past the names taken."""
    taken = {engine.name for engine in engines}
    named: list[EngineSettings] = []
    for engine in engines:
        name, number = engine.name or engine.type, 2
        while engine.name is None and name in taken:
            name, number = f"{engine.type}-{number}", number + 1
        taken.add(name)
        named.append(engine.model_copy(update={"name": name}))
    return tuple(named)


def inert(settings: Settings) -> tuple[str, ...]:
    """Return a line for each key that somebody set to no effect, in this release or beside other keys."""
    lines: list[str] = []
    for name, field in Settings.model_fields.items():
        marker = not_yet(field.metadata)
        if name == "engines":
            for index, engine in enumerate(settings.engines):
                lines += _inert_keys(f"engines[{index}]", engine, None)
        else:
            lines += _inert_keys(name, getattr(settings, name), marker)
    not_here = (f"{key} is not in this release and has no effect yet" for key in lines)
    return (*not_here, *ineffective(settings.download))


def _inert_keys(where: str, section: Section, whole: NotYet | None) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        marker = not_yet(field.metadata) or whole
        if marker and name in section.model_fields_set and marker.speaks(getattr(section, name)):
            yield f"{where}.{name}"


def not_yet(metadata: list[object]) -> NotYet | None:
    """Return the marker among a field's metadata, None where the key is in force."""
    return next((marker for marker in metadata if isinstance(marker, NotYet)), None)


def known_keys() -> dict[str, tuple[str, ...]]:
    """Return the keys of each section, of each engine type ("engines=clamd"), and of the whole ("")."""
    keys = {"": (*Settings.model_fields, "proxy")}
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            keys[name] = tuple(field.annotation.model_fields)
    keys |= {f"engines={kind}": tuple(section.model_fields) for kind, section in ENGINES.items()}
    return keys
