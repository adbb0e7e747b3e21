"""An operator's own program."""
