"""What bytes are, by looking at them: pure functions over hostile bytes, for whatever libmagic misses.

No IO, no clock, no settings here: `ostiary.engines.filetype` brings the bytes, `ostiary.policy` judges
the types. Every look is bounded, never raises, and answers None where it can't tell.
"""
