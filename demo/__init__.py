"""The demo: Ostiary keeps malware test files away from the users of a real homeserver.

`make demo` runs it. It starts throwaway servers (from `peers/`), plays two users, checks every
answer, and prints what was asked, what came back and why. It is no part of the gateway, and
speaks to it as any client does: over HTTP.
"""
