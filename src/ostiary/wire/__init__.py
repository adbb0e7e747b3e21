"""The protocols, without any IO: bytes in, values out. No event loop, socket, file or clock here."""
