"""Media in a page of another site, in headless Chromium: pictures show, refused ones fail, nothing runs."""

import io
import wave
from collections.abc import Iterator

import pytest

from peers.chromium import Chromium
from peers.gateway import API, Answer, Gateway
from peers.samples import EICAR, png
from peers.synapse import Synapse, User
from tests.end_to_end.conftest import Upload

PICTURE = png()

STATUS = "return (await fetch(given.url)).status"

IMAGE = """
return await new Promise((done) => {
  const image = new Image();
  image.onload = () => done([image.naturalWidth, image.naturalHeight]);
  image.onerror = () => done("error");
  image.src = given.url;
});
"""

SOUND = """
const sound = new Audio();
const heard = (name) => new Promise((done, failed) => {
  sound.addEventListener(name, () => done(name), { once: true });
  sound.addEventListener("error", () => failed(new Error(sound.error.message)), { once: true });
});
const loaded = heard("loadedmetadata");
sound.src = given.url;
await loaded;
const seeked = heard("seeked");
sound.currentTime = sound.duration - 1;
await seeked;
return [sound.duration, sound.currentTime];
"""

# A document that demands `Cross-Origin-Resource-Policy: cross-origin` of every picture in it.
ISOLATED = b"""<!doctype html><script>
const image = new Image();
image.onload = () => parent.postMessage("loaded", "*");
image.onerror = () => parent.postMessage("error", "*");
image.src = location.hash.slice(1);
</script>"""

# Nobody sees a frame's document from outside: what ran in it says so.
FRAME = """
return await new Promise((done) => {
  const frame = document.createElement("iframe");
  addEventListener("message", (event) => event.source === frame.contentWindow && done(event.data));
  frame.onload = () => setTimeout(() => done("silent"), 200); // messages come as tasks of their own
  setTimeout(() => done("silent"), 1500); // a download loads nothing into the frame
  frame.src = given.url;
  document.body.append(frame);
}).finally(() => document.querySelectorAll("iframe").forEach((frame) => frame.remove()));
"""

SCRIPT = """
delete globalThis.ran;
const outcome = await new Promise((done) => {
  const script = document.createElement("script");
  script.onload = () => done("loaded");
  script.onerror = () => done("error");
  script.src = given.url;
  document.head.append(script);
});
return [outcome, globalThis.ran ?? false];
"""

TELL = "<script>parent.postMessage('ran', '*')</script>"
HTML = f"<!doctype html><title>x</title>{TELL}".encode()
PAGES = {
    "text/html": HTML,
    "image/svg+xml": f'<svg xmlns="http://www.w3.org/2000/svg">{TELL}</svg>'.encode(),
    "application/xhtml+xml": f'<html xmlns="http://www.w3.org/1999/xhtml">{TELL}</html>'.encode(),
}
JAVASCRIPT = b"globalThis.ran = true;\n"

# Thumbnails that are 32 pixels wide, and pictures with a word in them: an infection that lasts in a PNG.
RULES = """
rule Test_Narrow { condition: uint32be(0) == 0x89504e47 and uint32be(16) == 32 }
rule Test_Word { strings: $word = "a naughty word" condition: $word }
"""


def address(gateway: Gateway, path: str, user: User | None = None) -> str:
    """Return a URL for an element that can't send headers: the token, if any, is in the query."""
    query = f"{'&' if '?' in path else '?'}access_token={user.token}" if user else ""
    return f"{gateway.url}{API}/{path}{query}"


@pytest.fixture(scope="module")
def ruled(synapse: Synapse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that finds pictures infected."""
    rules = tmp_path_factory.mktemp("rules") / "pictures.yar"
    rules.write_text(RULES)
    with Gateway(synapse.url, {"engines": [{"type": "yara", "rules": [rules]}]}) as running:
        yield running


@pytest.mark.parametrize("route", ["thumbnail", "download"])
def test_a_picture_shows_with_the_token_in_the_query(
    chromium: Chromium, gateway: Gateway, upload: Upload, bob: User, route: str
) -> None:
    """An `<img>` with `?access_token=` loads, and is a picture of the size that was asked for."""
    parameters = "?width=32&height=32&method=crop" if route == "thumbnail" else ""
    place = upload(PICTURE, "image/png")
    size = chromium.run(IMAGE, url=address(gateway, f"{route}/{place}{parameters}", bob))
    assert size == ([32, 32] if route == "thumbnail" else [320, 240])


def test_without_a_token_nothing_shows(chromium: Chromium, gateway: Gateway, upload: Upload) -> None:
    """Where media needs a token, an `<img>` without one fires `error`."""
    place = upload(PICTURE, "image/png")
    assert chromium.run(IMAGE, url=address(gateway, f"thumbnail/{place}?width=32&height=32")) == "error"


def test_without_a_token_public_media_shows(chromium: Chromium, public: tuple[Gateway, Upload]) -> None:
    """In front of a homeserver without authenticated media, `<img>` works as it always did."""
    gateway, upload = public
    place = upload(PICTURE, "image/png")
    thumbnail = address(gateway, f"thumbnail/{place}?width=32&height=32&method=crop")
    assert chromium.run(IMAGE, url=thumbnail) == [32, 32]
    assert chromium.run(IMAGE, url=address(gateway, f"download/{place}")) == [320, 240]
    assert chromium.run(IMAGE, url=address(gateway, f"download/{upload(EICAR, 'image/png')}")) == "error"


def test_infected_pictures_do_not_show(chromium: Chromium, ruled: Gateway, upload: Upload, bob: User) -> None:
    """What an engine finds in a picture, or in its thumbnail, fires `error` in the `<img>`."""
    clean, infected = (upload(data, "image/png") for data in (PICTURE, PICTURE + b"a naughty word"))
    assert chromium.run(IMAGE, url=address(ruled, f"download/{clean}", bob)) == [320, 240]
    assert chromium.run(IMAGE, url=address(ruled, f"download/{infected}", bob)) == "error"
    for width, seen in ((96, [96, 96]), (32, "error")):
        url = address(ruled, f"thumbnail/{clean}?width={width}&height={width}&method=crop", bob)
        assert chromium.run(IMAGE, url=url) == seen


def test_pictures_show_in_an_isolated_page(
    chromium: Chromium, gateway: Gateway, upload: Upload, bob: User
) -> None:
    """Under `Cross-Origin-Embedder-Policy: require-corp` thumbnails show: their own headers allow it."""
    html = {"Content-Type": "text/html"}
    isolated = chromium.serve("/isolated", ISOLATED, {**html, "Cross-Origin-Embedder-Policy": "require-corp"})
    other_site = chromium.origin.replace("localhost", "127.0.0.1")
    chromium.serve("/picture", PICTURE, {"Content-Type": "image/png"})
    place = upload(PICTURE, "image/png")
    thumbnail = address(gateway, f"thumbnail/{place}?width=32&height=32", bob)
    assert chromium.run(FRAME, url=f"{isolated}#{other_site}/picture") == "error"
    assert chromium.run(FRAME, url=f"{isolated}#{thumbnail}") == "loaded"


def test_a_sound_plays_and_seeks(chromium: Chromium, gateway: Gateway, upload: Upload, bob: User) -> None:
    """An `<audio>`, which asks with `Range`, knows the length of a sound and reaches any place in it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(2 * 8000 * 60))
    place = upload(file.getvalue(), "audio/wav")
    assert chromium.run(SOUND, url=address(gateway, f"download/{place}", bob)) == [60, 59]


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "application/octet-stream"])
def test_a_script_of_another_type_does_not_run(
    chromium: Chromium, ruled: Gateway, upload: Upload, bob: User, content_type: str
) -> None:
    """`nosniff`: a script tag runs nothing that was not declared a script, as it would from elsewhere."""
    url = address(ruled, f"download/{upload(JAVASCRIPT, content_type)}", bob)
    assert chromium.run(STATUS, url=url) == 200
    assert chromium.run(SCRIPT, url=url) == ["error", False]
    elsewhere = chromium.serve("/script", JAVASCRIPT, {"Content-Type": "text/html"})
    assert chromium.run(SCRIPT, url=elsewhere) == ["loaded", True]


@pytest.mark.parametrize("declared", [*PAGES, "text/plain"])
def test_a_document_does_not_run_in_a_frame(
    chromium: Chromium, ruled: Gateway, upload: Upload, bob: User, declared: str
) -> None:
    """A clean file with a script in it is a download or plain text to an `<iframe>`; elsewhere it runs."""
    actual = declared if declared in PAGES else "text/html"
    url = address(ruled, f"download/{upload(PAGES[actual], declared)}", bob)
    assert chromium.run(STATUS, url=url) == 200
    assert chromium.run(FRAME, url=url) == "silent"
    elsewhere = chromium.serve("/page", PAGES[actual], {"Content-Type": actual})
    assert chromium.run(FRAME, url=elsewhere) == "ran"


@pytest.mark.parametrize("what", ["media", "thumbnail", "refusal"])
def test_the_policy_alone_stops_scripts(
    chromium: Chromium, gateway: Gateway, upload: Upload, bob: User, what: str
) -> None:
    """Shown as a page after all, it is sandboxed: the Content-Security-Policy of each answer suffices."""
    answer: Answer = {
        "media": lambda: gateway.get(f"download/{upload(HTML, 'text/html')}", bob.token),
        "thumbnail": lambda: gateway.get(
            f"thumbnail/{upload(PICTURE, 'image/png')}?width=32&height=32", bob.token
        ),
        "refusal": lambda: gateway.get(f"download/{upload(EICAR)}", bob.token),
    }[what]()
    html = {"Content-Type": "text/html"}
    policy = {"Content-Security-Policy": answer.headers["content-security-policy"]}
    assert chromium.run(FRAME, url=chromium.serve("/with", HTML, html | policy)) == "silent"
    assert chromium.run(FRAME, url=chromium.serve("/without", HTML, html)) == "ran"
