"""Evidence about bytes that were inspected already: may be lost at any time, is never trusted stale."""
