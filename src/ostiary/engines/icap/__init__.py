"""Antivirus servers that speak ICAP (RFC 3507)."""
