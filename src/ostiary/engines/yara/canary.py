"""The canary: a rule of ours among the operator's, by which YARA proves that it still finds something.

Its text is random, new for each engine and process, and in no real file. It lies in a namespace of its
own, so no rule of the operator's can switch it off, and it is no part of the digest of the rules:
replicas agree on what decides.
"""

import os
from typing import Final

NAMESPACE: Final = "canary"
"""Of the rule; those of files are called otherwise."""

RULE: Final = "Ostiary_Canary"
"""The name of the rule."""

SIGNATURE: Final = "Ostiary.Canary"
"""What its match is called, where nothing else matched."""

KEY: Final = (NAMESPACE, RULE)
"""How a scan process names it."""


class Canary:
    """One canary: `specimen` are the bytes in which its rule must be found."""

    def __init__(self) -> None:
        self._text = f"a known-bad sample {os.urandom(32).hex()}"
        self.specimen = self._text.encode()

    @property
    def source(self) -> tuple[str, str, str]:
        """Namespace, origin and text of its rule."""
        return NAMESPACE, NAMESPACE, f'rule {RULE} {{ strings: $a = "{self._text}" condition: $a }}'
