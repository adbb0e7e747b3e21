"""The real servers that the tests, the demo and the benchmarks start: throwaway, on this machine only.

Nothing here is part of the gateway. Each peer lives in a temporary folder of its own, listens on
127.0.0.1 or a Unix socket, and is gone, folder and all, when it is stopped.
"""
