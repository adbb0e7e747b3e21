"""The throwaway homeserver does what the other tests take for granted."""

import http.client

import pytest

from peers.processes import PeerError
from peers.synapse import Synapse, SynapseError, User


def get_status(server: Synapse, path: str) -> int:
    """Return the status of a request without a token."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_users_share_media(synapse: Synapse, alice: User, bob: User) -> None:
    """What one user uploads, another downloads byte by byte."""
    uri = synapse.upload(alice.token, b"a file", "text/plain", "ä & b.txt")
    assert uri.startswith(f"mxc://{synapse.server_name}/")
    assert synapse.download(bob.token, uri) == b"a file"


def test_whoami_names_the_user(synapse: Synapse, alice: User, bob: User) -> None:
    """Each token belongs to its user."""
    assert synapse.whoami(alice.token) == alice.user_id == f"@alice:{synapse.server_name}"
    assert synapse.whoami(bob.token) == bob.user_id


def test_logout_ends_a_token(synapse: Synapse) -> None:
    """A token is worth nothing after its logout."""
    user = synapse.register("leaver")
    synapse.logout(user.token)
    with pytest.raises(SynapseError, match="M_UNKNOWN_TOKEN") as refusal:
        synapse.whoami(user.token)
    assert (refusal.value.status, refusal.value.errcode) == (401, "M_UNKNOWN_TOKEN")


def test_many_requests_meet_no_rate_limit(synapse: Synapse, alice: User) -> None:
    """Uploads in quick succession are all taken: the limits of a production server are lifted."""
    assert len({synapse.upload(alice.token, b"%d" % n) for n in range(60)}) == 60


def test_media_is_authenticated_by_default(synapse: Synapse, alice: User) -> None:
    """The legacy route knows no media, the authenticated one asks for a token."""
    media = synapse.upload(alice.token, b"private").removeprefix("mxc://")
    assert get_status(synapse, f"/_matrix/media/v3/download/{media}") == 404
    assert get_status(synapse, f"/_matrix/client/v1/media/download/{media}") == 401


@pytest.mark.peer("synapse")
def test_options_change_the_server() -> None:
    """Unauthenticated media, a size limit and a name of one's own take effect."""
    with Synapse(authenticated_media=False, max_upload_size=1000, server_name="ostiary.example") as server:
        user = server.register("carol")
        media = server.upload(user.token, b"public").removeprefix("mxc://")
        assert media.startswith("ostiary.example/")
        assert get_status(server, f"/_matrix/media/v3/download/{media}") == 200
        with pytest.raises(SynapseError, match="M_TOO_LARGE"):
            server.upload(user.token, b"x" * 1001)


@pytest.mark.peer("synapse")
def test_it_comes_back_with_what_it_stored() -> None:
    """Killed and started again, it has the same address, users and media."""
    with Synapse() as server:
        user = server.register("dora")
        uri = server.upload(user.token, b"stored")
        server.kill()
        with pytest.raises(OSError, match="refused"):
            server.whoami(user.token)
        server.start()
        assert server.download(user.token, uri) == b"stored"


@pytest.mark.peer("synapse")
def test_a_failed_start_shows_the_log_and_leaves_nothing() -> None:
    """A configuration that Synapse refuses is an error with Synapse's own words; the folder goes."""
    server = Synapse(config={"database": {"name": "abacus"}})
    with pytest.raises(PeerError, match="Unsupported database type 'abacus'"), server:
        pass
    assert not server.folder.exists()
