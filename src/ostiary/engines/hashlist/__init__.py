"""Files known by their SHA-256."""
