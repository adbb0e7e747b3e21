"""The throwaway servers and the two users: started one after the other, each said aloud.

What is missing is found before anything starts. clamd alone may be missing: Ostiary's built-in
rules then scan on their own, and the narration says what that means.
"""

from dataclasses import dataclass
from typing import Final

import peers.clamd
import peers.node
import peers.synapse
from demo.place import Place
from demo.screen import Screen
from peers.clamd import Clamd
from peers.gateway import Gateway
from peers.node import NodePeer
from peers.processes import PeerError
from peers.synapse import Synapse, User

_WITH_CLAMD: Final = (
    "Two engines scan: {version}, and Ostiary's built-in YARA rules. clamd has no virus database"
    " here: it knows the EICAR test file, and that is all this demo needs."
)
_ALONE: Final = (
    "Ostiary's built-in YARA rules scan alone. They know EICAR and some well-known tricks."
    " They are no antivirus."
)
_MISSING: Final = (
    "clamd, ClamAV's daemon, is not on this machine (`make test-setup` brings it on Debian: clamav-daemon)."
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs, and who plays."""

    synapse: Synapse
    gateway: Gateway
    node: NodePeer
    clamd: Clamd | None
    alice: User
    bob: User

    @property
    def found_nothing(self) -> str:
        """Why something clean was let through, in words."""
        return f"{'clamd and the YARA rules find' if self.clamd else 'the YARA rules find'} nothing"

    def check_alive(self) -> None:
        """PeerError when a server has died."""
        for child in (self.synapse.child, self.gateway.child, *([self.clamd.child] if self.clamd else [])):
            if not child.running:
                raise PeerError(f"{child.name} has ended:\n{child.log_tail()}")


def missing() -> list[str]:
    """Return what can't be done without, each with the way to get it."""
    lines = []
    if not peers.synapse.available():
        lines.append(f"Synapse is missing: there is no {peers.synapse.python()}. `make peers` brings it.")
    if not peers.node.available():
        lines.append("Node.js or its packages in tests/npm are missing. `make peers` brings them.")
    return lines


def set_up(place: Place, screen: Screen, *, with_clamd: bool) -> Stage:
    """Start everything; PeerError with the log of what does not start."""
    with screen.working("Starting Synapse, a real Matrix homeserver") as step:
        synapse = Synapse()
        place.peers.callback(synapse.stop)
        synapse.start()
        version = synapse.request("GET", "/_matrix/federation/v1/version")["server"]["version"].split()[0]
        step.result = f"Synapse {version} at {synapse.url}"
    with screen.working("Starting what real clients encrypt with (npm, under Node.js)") as step:
        node = NodePeer()
        place.peers.push(node)
        node.__enter__()
        node.encrypt(b"it has started when it answers")
        step.result = "matrix-encrypt-attachment and libolm"
    clamd = _start_clamd(place, screen) if with_clamd else None
    if not with_clamd:
        screen.warn(f"clamd is left out, as you asked. {_ALONE}")
    gateway = _start_gateway(place, screen, synapse, clamd)
    with screen.working("Registering two users") as step:
        alice, bob = synapse.register("alice"), synapse.register("bob")
        step.result = f"{alice.user_id} and {bob.user_id}"
    return Stage(synapse, gateway, node, clamd, alice, bob)


def _start_clamd(place: Place, screen: Screen) -> Clamd | None:
    """Return a running clamd, or None after saying why there is none."""
    if not peers.clamd.available():
        screen.warn(f"{_MISSING} {_ALONE}")
        return None
    try:
        with screen.working("Starting clamd, ClamAV's daemon") as step:
            clamd = Clamd()
            place.peers.callback(clamd.stop)
            clamd.start()
            version = step.result = clamd.ask("VERSION")
    except PeerError as error:
        screen.warn(f"clamd is here, but does not start: {error}")
        screen.warn(_ALONE)
        return None
    screen.say(_WITH_CLAMD.format(version=version))
    return clamd


def _start_gateway(place: Place, screen: Screen, synapse: Synapse, clamd: Clamd | None) -> Gateway:
    engines: list[dict[str, object]] = [{"type": "yara", "rules": ["builtin"]}]
    if clamd is not None:
        engines.insert(0, {"type": "clamd", "address": clamd.unix_address})
    with screen.working("Starting Ostiary") as step:
        gateway = Gateway(synapse.url, {"engines": engines})
        place.peers.callback(gateway.stop)
        gateway.start()
        step.result = f"`ostiary serve` at {gateway.url}"
    return gateway
