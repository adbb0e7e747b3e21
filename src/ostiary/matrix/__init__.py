"""What Matrix defines: identifiers, encrypted attachments, request bodies, the homeserver's API.

`identifiers`, `attachment`, `envelope` and `request_body` are pure (no event loop, socket, file or
clock); `homeserver` is the only door to the network.
"""
