"""Why an image was not seen as a whole: words that both ends of the scan processes know."""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """What kept an image from being decoded; the value goes over the wire."""

    FORMAT = "format"
    DAMAGED = "damaged"
    PIXELS = "pixels"
    MEMORY = "memory"


WORDS: Final = {
    Reason.FORMAT: "an image in a format that can't be compared",
    Reason.DAMAGED: "a damaged image, which viewers may show in part",
    Reason.PIXELS: "an image of too many pixels",
    Reason.MEMORY: "an image that takes too much memory to decode",
}
"""What the operator and the user read."""
