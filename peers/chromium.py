"""A real browser, headless: a page of another site than the gateway runs the tests' JavaScript.

The page asks its own server for the next script, runs it, and posts back what it returned: no
driver, no debugging protocol. Its address says `localhost`, so that 127.0.0.1 is another site, and
everything that it fetches there is cross-origin. From a script:

    with Chromium() as browser:
        print(browser.run("return given.x + 1", x=1))
"""

import contextlib
import json
import queue
import shutil
import tempfile
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

from peers.processes import HOST, ChildProcess, PeerError

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_START_SECONDS: Final = 60.0  # one on an idle machine; the first ever builds caches
_RUN_SECONDS: Final = 60.0

_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",  # it does not start as root, nor in most containers, with one; it sees our pages only
    "--disable-dev-shm-usage",  # containers have a small /dev/shm
    "--disable-gpu",
    "--disable-breakpad",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--mute-audio",
    "--password-store=basic",
)

_PAGE: Final = b"""<!doctype html><meta charset="utf-8"><title>tests</title><script type="module">
const AsyncFunction = (async () => {}).constructor;
for (;;) {
  const { script, given } = await (await fetch("/next", { method: "POST" })).json();
  let result;
  try {
    result = { returned: (await new AsyncFunction("given", script)(given)) ?? null };
  } catch (error) {
    result = { thrown: String(error) };
  }
  await fetch("/result", { method: "POST", body: JSON.stringify(result) });
}
</script>"""


class ScriptError(PeerError):
    """What a script threw in the browser."""


def binary() -> Path | None:
    """Return where the browser is, None if there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    return Path(found) if found else None


def available() -> bool:
    """Whether a browser can be started here."""
    return binary() is not None


class Chromium:
    """One running browser with one page: a context manager. Not for several threads."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chromium-"))
        self._server = _PageServer()
        self._child: ChildProcess | None = None
        self.origin = f"http://localhost:{self._server.server_port}"
        self.serve("/", _PAGE, {"Content-Type": "text/html"})

    def run(self, script: str, **given: object) -> Any:  # noqa: ANN401  (JSON)
        """Run the body of an async function in the page; return what it returns. ScriptError if it throws."""
        if self._child is None:
            raise PeerError("Chromium is not running: use it as a context manager")
        self._server.scripts.put(json.dumps({"script": script, "given": given}).encode())
        try:
            result = json.loads(self._server.results.get(timeout=_RUN_SECONDS))
        except queue.Empty:
            raise PeerError(f"no answer within {_RUN_SECONDS} s:\n{self._child.log_tail()}") from None
        if "thrown" in result:
            raise ScriptError(result["thrown"])
        return result["returned"]

    def serve(self, path: str, body: bytes, headers: Mapping[str, str]) -> str:
        """Have the page's own server answer GET requests for `path`; return the address."""
        self._server.files[path] = (headers, body)
        return self.origin + path

    def _start(self) -> None:
        program = binary()
        if program is None:
            raise PeerError("no browser is installed (Debian: chromium)")
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self._child = ChildProcess(
            [program, *_FLAGS, f"--user-data-dir={self.folder / 'profile'}", self.origin],
            name="Chromium",
            log=self.folder / "chromium.log",
            environment={
                **dict.fromkeys(("HOME", "TMPDIR"), str(self.folder)),
                **dict.fromkeys(("XDG_CONFIG_HOME", "XDG_CACHE_HOME"), ""),
            },
        )
        self._child.wait_until(self._server.asked.is_set, timeout=_START_SECONDS)

    def stop(self) -> None:
        """End it and remove its folder. Safe to call twice."""
        child, self._child = self._child, None
        if child is not None:
            child.stop()
            self._server.scripts.put(b"")  # wakes the request that waits for a script
            self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


_Reply = tuple[Mapping[str, str], bytes]


class _PageServer(ThreadingHTTPServer):
    """The page's own server, on a port of 127.0.0.1: scripts go out, results come in, files are read."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Handler)
        self.scripts: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.results: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.files: dict[str, _Reply] = {}
        self.asked = threading.Event()

    def reply_to(self, path: str, body: bytes) -> _Reply:
        """Return the reply to what the page posts: the next script, once there is one; or thanks."""
        if path == "/next":
            self.asked.set()
            return {"Content-Type": "application/json"}, self.scripts.get()
        self.results.put(body)
        return {}, b""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the browser may go away in the middle of an answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _PageServer

    def do_GET(self) -> None:
        """Answer with a file."""
        self._send(self.server.files.get(self.path))

    def do_POST(self) -> None:
        """Answer the page's loop."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self._send(self.server.reply_to(self.path, body))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        """Log nothing."""

    def _send(self, reply: _Reply | None) -> None:
        headers, body = reply or ({}, b"")
        self.send_response(404 if reply is None else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)
