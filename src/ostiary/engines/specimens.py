"""Samples for the proof of scan that several engines share."""

import os
from typing import Final

EICAR: Final = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The test file that every antivirus finds (eicar.org), in two halves so that none finds this source."""


def harmless() -> bytes:
    """Return bytes that no engine has a reason to refuse, and that never were before."""
    return b"a known-good sample " + os.urandom(32).hex().encode()
