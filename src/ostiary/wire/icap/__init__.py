"""ICAP (RFC 3507), the client's side, without any IO."""
