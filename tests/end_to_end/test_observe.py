"""`serve --observe`: a first week in production, where nothing is refused and everything is told."""

from peers.gateway import Gateway
from peers.samples import EICAR, png
from peers.synapse import Synapse, User
from tests.end_to_end.conftest import Upload

PICTURE = png()


def test_everything_is_served_and_what_would_be_refused_is_told(
    synapse: Synapse, upload: Upload, bob: User
) -> None:
    """Infected, of a forbidden type, too large: all come whole, once in the log, once in the metric."""
    config = {"scan": {"blocked_mimetypes": ["image/png"], "max_size": "1MB"}}
    large = b"\x7f large " + bytes(1_500_000)
    with Gateway(synapse.url, config, "--observe") as gateway:
        before = gateway.metrics()
        for body in (EICAR, PICTURE, large):
            media = upload(body)
            assert gateway.get(f"download/{media}", bob.token).body == body
            scan = gateway.get(f"scan/{media}", bob.token)
            assert (scan.status, scan.json["clean"]) == (200, True)
        after = gateway.metrics()
        log = gateway.log
    moved = {
        result: after[series] - before[series]
        for result in ("infected", "forbidden", "unscannable")
        for series in [f'content_scanner_observed_total{{result="{result}"}}']
    }
    assert moved == {"infected": 2, "forbidden": 2, "unscannable": 2}
    assert "observing only" in log
    assert log.count("it would have been refused") == 6


def test_without_it_they_are_refused(synapse: Synapse, upload: Upload, bob: User) -> None:
    """The same files, the same configuration, and nothing observed."""
    config = {"scan": {"blocked_mimetypes": ["image/png"]}}
    with Gateway(synapse.url, config) as gateway:
        for body in (EICAR, PICTURE):
            assert gateway.get(f"download/{upload(body)}", bob.token).status == 403
        metrics = gateway.metrics()
    assert not any(value for name, value in metrics.items() if "observed" in name)
