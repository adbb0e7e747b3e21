"""Stored copies of media: bytes and headers as the homeserver gave them, never a judgement."""
