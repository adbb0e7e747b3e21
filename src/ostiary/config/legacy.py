"""What the two scanners before us called their keys, from their documents and sample files. Pure.

The Python matrix-content-scanner's sections and keys are ours, so only those of its first drafts stand
here; the rest is the older JavaScript matrix-content-scanner's file. What neither documents is not
guessed at. `ostiary.config.migration` reads this table, nothing else does.
"""

from collections.abc import Mapping
from typing import Final

from ostiary.config.document import Value
from ostiary.config.section import KeyPath

RENAMED: Final[Mapping[KeyPath, tuple[str, str]]] = {
    ("server", "host"): ("web", "host"),
    ("server", "port"): ("web", "port"),
    ("scan", "tempDirectory"): ("scan", "temp_directory"),
    ("scan", "baseUrl"): ("download", "base_homeserver_url"),
    ("scan", "doNotCacheExitCodes"): ("result_cache", "exit_codes_to_ignore"),
    ("scan", "do_not_cache_exit_codes"): ("result_cache", "exit_codes_to_ignore"),
    ("altRemovalCmd",): ("scan", "removal_command"),
    ("acceptedMimeType",): ("scan", "allowed_mimetypes"),
    ("proxy",): ("download", "proxy"),
    ("middleware", "encryptedBody", "picklePath"): ("crypto", "pickle_path"),
    ("middleware", "encryptedBody", "pickleKey"): ("crypto", "pickle_key"),
}
"""Keys with the same meaning under another name, as section and key of ours."""

DIRECT: Final[KeyPath] = ("scan", "directDownload")
"""true: ask the server that a media's URI names, and ignore `scan.baseUrl`."""

USER_AGENT: Final[KeyPath] = ("requestHeader", "userAgent")
"""The `User-Agent` of requests to the homeserver; `origin`: the client's own."""

X_FORWARD: Final[KeyPath] = ("requestHeader", "xForward")
"""Where `X-Forwarded-For` comes from: `origin`, the client's address; else a header of the client's."""

ORIGIN: Final = "origin"

SECTIONS: Final = frozenset({"server", "middleware", "requestHeader", "proxy"})
"""Sections that are not ours, or (`proxy`) not under this name."""

_PICKLE_SECTION: Final = ("middleware", "encryptedBody")
_JAVASCRIPT_ONLY: Final = frozenset(
    {"server", "middleware", "requestHeader", "altRemovalCmd", "acceptedMimeType"}
)
_SCAN_KEYS: Final = frozenset({"tempDirectory", "baseUrl", "doNotCacheExitCodes", "directDownload"})

PATHS: Final[frozenset[tuple[str, str]]] = frozenset({
    ("scan", "script"), ("scan", "temp_directory"), ("crypto", "pickle_path"), ("crypto", "pickle_key_path"),
    ("crypto", "request_secret_path"),
})  # fmt: skip
"""Keys of ours that old files hold paths for; relative ones count from where the scanner is started."""

NEVER_DETECTED: Final[Mapping[str, str]] = {"image/jpg": "image/jpeg"}
"""Types that old lists name and no file has, each with the one that is meant."""

DEFAULTS: Final[Mapping[tuple[str, str], str]] = {
    ("web", "host"): "127.0.0.1: where the API listens",
    ("web", "port"): "8080: where the API listens",
    ("scan", "max_size"): "100MB: larger files are refused, where the old scanner had no bound",
    ("scan", "timeout"): "60s: a file whose scan takes longer is refused",
    ("scan", "error_exit_codes"): "[2]: a script that exits with 2 could not scan (an error, status 500); "
    "the old scanner called the file not clean. Both refuse it",
    (
        "result_cache",
        "ttl",
    ): "1h: a result counts for an hour, in the old scanner for a week or until its restart",
    ("result_cache", "max_size"): "10000: results that are kept; the Python scanner kept 1024",
    ("result_cache", "max_file_size"): "20MB: larger files are not kept, where the old scanner kept all",
    ("download", "timeout"): "60s: the time for one fetch from the homeserver",
    (
        "access",
        "check",
    ): "token: a stored copy goes only to callers whom the homeserver knows; the old scanner "
    "gave it to anybody",
    ("metrics", "port"): "9000 on 127.0.0.1: metrics for Prometheus, which the old scanner had not",
}
"""Defaults that differ from what the old scanners did, for keys that their files leave out."""


def is_javascript(data: Mapping[str, Value]) -> bool:
    """Say whether a file is the older scanner's: it has a key that only that one knew."""
    scan = data.get("scan")
    return (
        not _JAVASCRIPT_ONLY.isdisjoint(data)
        or isinstance(data.get("proxy"), str)
        or (isinstance(scan, dict) and not _SCAN_KEYS.isdisjoint(scan))
    )


def holds_keys(path: KeyPath) -> bool:
    """Say whether the mapping at this path of an old file is one of keys, two levels down at most."""
    return path == _PICKLE_SECTION
