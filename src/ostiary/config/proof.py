"""The `proof` section: whether engines still find what they must find."""

from typing import Annotated

from pydantic import Field

from ostiary.config.fields import Flag, Whole
from ostiary.config.section import Section
from ostiary.config.values import PositiveDuration


class ProofSettings(Section):
    """Proof of scan: every engine must keep finding a known-bad sample."""

    interval: PositiveDuration = 60.0
    """How often each engine is tried, with some jitter."""

    failures: Annotated[Whole, Field(ge=1, le=1000)] = 3
    """Failed proofs in a row until the engine is not trusted; at start, one is enough."""

    max_signature_age: PositiveDuration | None = 7 * 86400.0
    """How old an engine's signatures may be, where it tells; null: as old as they like."""

    gates_readiness: Flag = True
    """Whether `/ready` fails while an engine is not trusted; false where all replicas share the
    engines."""
