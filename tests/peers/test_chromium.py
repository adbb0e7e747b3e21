"""The headless browser runs what it is given, on a site of its own, and leaves nothing behind."""

import http.client

import pytest

import peers.chromium
from peers.chromium import Chromium, ScriptError
from peers.processes import PeerError

pytestmark = pytest.mark.peer("chromium")


def test_it_runs_scripts_and_leaves_nothing() -> None:
    """Values go in and out, what is thrown is raised, files are served, and the folder is gone at the end."""
    with Chromium() as browser:
        assert browser.run("return [given.x + 1, location.origin]", x=1) == [2, browser.origin]
        assert browser.run("") is None
        with pytest.raises(ScriptError, match="TypeError: no"):
            browser.run("throw new TypeError('no')")
        address = browser.serve("/file", b"content", {"X-Kind": "test"})
        script = "const a = await fetch(given.address); return [await a.text(), a.headers.get('x-kind')]"
        assert browser.run(script, address=address) == ["content", "test"]
    assert not browser.folder.exists()
    browser.stop()
    with pytest.raises(PeerError, match="not running"):
        browser.run("")


def test_its_page_is_another_site_than_the_gateway() -> None:
    """A server on 127.0.0.1 that sends no CORS headers can't be read: the browser enforces what is tested."""
    with Chromium() as browser:
        port = int(browser.origin.rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        with pytest.raises(ScriptError, match="Failed to fetch"):
            browser.run("await fetch(`http://127.0.0.1:${location.port}/`)")


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the browser it says which package brings it, and leaves nothing."""
    monkeypatch.setattr(peers.chromium, "binary", lambda: None)
    assert not peers.chromium.available()
    browser = Chromium()
    with pytest.raises(PeerError, match="Debian: chromium"), browser:
        pass
    assert not browser.folder.exists()
