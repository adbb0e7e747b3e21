"""Ostiary's tests; their folders mirror the package's."""
