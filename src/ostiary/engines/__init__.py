"""The engines: one file each behind `interface.py`; they see bytes and a detected type, no more."""
