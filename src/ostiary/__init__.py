"""Ostiary, the doorkeeper for Matrix media: lets through only what is proven clean."""

__version__ = "0.1.0"
