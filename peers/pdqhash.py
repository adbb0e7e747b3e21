"""PDQ hashes: the one library of the extra `perceptual` that has no wheel and is built on the spot."""

from importlib.util import find_spec


def available() -> bool:
    """Return whether it is installed."""
    return find_spec("pdqhash") is not None
