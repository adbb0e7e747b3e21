"""ClamAV's daemon: signatures, asked over its own protocol."""
