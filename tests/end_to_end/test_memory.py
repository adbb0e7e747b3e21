"""Fifty large files at a time: memory stays within `limits.memory`, and being full is said clearly."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from peers.clamd import Clamd
from peers.gateway import Gateway
from peers.synapse import Synapse, User
from tests.end_to_end.conftest import Upload

MIB = 1 << 20
AT_ONCE = 50
SIZE = 90_000_000
LIMIT = 256 * MIB


@pytest.mark.timeout(400)
def test_fifty_large_files_at_a_time(synapse: Synapse, clamd: Clamd, upload: Upload, bob: User) -> None:
    """Private memory, memfds and tmpfs of the gateway and its scan processes stay under the limit.

    4.5 GB do not fit into `limits.disk` (4 GiB) at once: some wait, and whoever waited `limits.wait`
    in vain gets 503 with Retry-After. Everyone else gets all of the file.
    """
    place = upload(os.urandom(SIZE))
    engines = [{"type": "clamd", "address": clamd.unix_address, "timeout": "5m"}, {"type": "yara"}]
    config = {
        "engines": engines,
        "limits": {"memory": LIMIT, "wait": "5s"},
        "scan": {"timeout": "5m"},
        "download": {"timeout": "5m"},
    }
    seen: Counter[tuple[int, int]] = Counter()
    with Gateway(synapse.url, config) as gateway:

        def fetch() -> None:
            answer = gateway.get(f"download/{place}", bob.token)
            if answer.status == 503:
                assert answer.headers["retry-after"].isdigit()
            seen[answer.status, len(answer.body) if answer.status == 200 else 0] += 1

        threads = [threading.Thread(target=fetch) for _ in range(AT_ONCE)]
        with peak_memory(gateway.child.pid) as peak:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert gateway.get("/ready").json["load"]["memory"]["used"] == 0
        assert gateway.get("/ready").json["load"]["disk"]["used"] == 0
    assert sum(seen.values()) == AT_ONCE
    assert set(seen) <= {(200, SIZE), (503, 0)}
    assert seen[200, SIZE] >= 10
    assert peak[0] < LIMIT, f"{peak[0] / MIB:.0f} MiB, answers {dict(seen)}"


@contextmanager
def peak_memory(root: int) -> Iterator[list[int]]:
    """Watch a process and its children; the list holds the most bytes of memory seen."""
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], sum(memory_of(pid) for pid in family(root)))
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def family(root: int) -> list[int]:
    """Return the process and all that descend from it."""
    children = []
    with suppress(OSError):
        for task in Path(f"/proc/{root}/task").iterdir():
            children += [int(pid) for pid in (task / "children").read_text().split()]
    return [root, *(pid for child in children for pid in family(child))]


def memory_of(pid: int) -> int:
    """Return a process's anonymous and shared memory (memfd, tmpfs), in bytes; files on disk are none."""
    with suppress(OSError):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return sum(int(status[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem") if name in status)
    return 0
