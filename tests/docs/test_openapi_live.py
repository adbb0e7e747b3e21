"""docs/reference/openapi.yaml against a running gateway: schemathesis, and each answer provoked once."""

import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import schemathesis
from aiohttp import web

from ostiary.metrics import Metrics
from ostiary.web.http_server import HttpServer
from ostiary.web.metrics_page import MetricsPage
from tests.docs.described import TOKEN, described
from tests.docs.openapi import DESCRIPTION, OPENAPI
from tests.docs.provocations import Provocation, conditions, media_path, provocations, while_full
from tests.web.door import API, HOST, Door

ROOT: Final = OPENAPI.parents[2]
CONFIG: Final = Path(__file__).with_name("schemathesis.toml")
SCHEMA: Final = schemathesis.openapi.from_dict(DESCRIPTION)
OPERATIONS: Final[dict[str, Any]] = {
    operation["operationId"]: SCHEMA[path][method]
    for path, item in DESCRIPTION["paths"].items()
    for method, operation in item.items()
    if method in {"get", "head", "post"}
}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """Return a running gateway; afterwards nothing may be held."""
    async with described(tmp_path) as running:
        yield running
        assert running.quiet


async def provoke(door: Door, one: Provocation) -> tuple[str, int]:
    """Send the request, hold the answer against the description, return operation and status."""
    operation = OPERATIONS[one.operation]
    headers = dict(one.headers) | ({} if one.token is None else {"Authorization": f"Bearer {one.token}"})
    answer = await asyncio.to_thread(_sent, one, door.url, headers)
    operation.validate_response(answer)
    assert answer.status_code == one.status, f"{one.operation}: {answer.status_code}, not {one.status}"
    if one.method != "HEAD" and answer.status_code >= 400 and "reason" in (body := answer.json()):
        assert body["info"] == body["error"]
    return one.operation, answer.status_code


def _sent(one: Provocation, url: str, headers: dict[str, str]) -> Any:  # noqa: ANN401  (requests has no types)
    """Send it as it is: no part of the request comes from the description."""
    return requests.request(one.method, url + one.path, data=one.body, headers=headers, timeout=30)


async def test_schemathesis_finds_no_difference(door: Door, tmp_path: Path) -> None:
    """A thousand requests, right and wrong, made from the description, are answered as it says."""
    har = tmp_path / "run.har"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", CONFIG),
        *("run", OPENAPI, "--url", door.url, "--exclude-path", "/metrics", "--report-har-path", har),
        cwd=tmp_path,  # it keeps a cache where it runs
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()[-20_000:]
    seen = _seen(json.loads(har.read_text()))
    for route in ("download", "thumbnail"):
        assert seen[route] >= {200, 403, 404}, "clean, infected and unknown media"
    assert seen["scan"] >= {200, 404}
    for route in ("download_encrypted", "scan_encrypted"):
        assert seen[route] >= {200, 400, 403}, "the examples open, other strings do not"
    assert seen["scan_file"] >= {200, 400, 401}


def _seen(har: dict[str, Any]) -> dict[str, set[int]]:
    """Return the statuses by route, from an HTTP archive."""
    seen = defaultdict(set)
    for entry in har["log"]["entries"]:
        route = entry["request"]["url"].partition(API + "/")[2].partition("?")[0].partition("/")[0]
        seen[route].add(entry["response"]["status"])
    return seen


async def test_each_described_answer_is_given(door: Door, tmp_path: Path) -> None:
    """Every status of every operation was provoked, and its answer is as described, to the header."""
    seen = {await provoke(door, one) for one in provocations(door.envelope.public_key)}
    seen |= {await provoke(door, one) for one in conditions(await _etag(door))}
    door.health.draining = True
    seen.add(await provoke(door, Provocation("ready", 503, "/ready")))
    seen.add(await provoke(door, Provocation("headReady", 503, "/ready", "HEAD")))
    async with described(tmp_path / "full", requests=1, wait=0.01) as full, full.requests.share(1):
        seen |= {await provoke(full, one) for one in while_full()}
    promised = {
        (name, int(status))
        for name, operation in OPERATIONS.items()
        if name not in {"metrics", "headMetrics"}
        for status in operation.definition.raw["responses"]
    }
    assert promised == seen


async def _etag(door: Door) -> str:
    """Return the name of the clean media's bytes."""
    answer = await door.ask(media_path("download", "clean"), token=TOKEN)
    return answer.headers["ETag"]


async def test_a_wrong_method_is_told_the_right_ones(door: Door) -> None:
    """405 names the methods that the path answers (RFC 9110, 15.5.6)."""
    answer = await door.ask("/health", "POST")
    assert answer.code == (405, "M_NOT_FOUND")
    assert answer.headers["Allow"] == "GET, HEAD"


async def test_what_is_no_operation(door: Door) -> None:
    """Unknown routes, wrong methods and preflights are answered by the components that describe them."""
    for method, path, component in (
        ("GET", f"{API}/nothing", "NotFound"),
        ("GET", "/", "NotFound"),
        ("PUT", f"{API}/scan/example.org/clean", "WrongMethod"),
        ("OPTIONS", f"{API}/nothing", "Preflight"),
    ):
        status = {"NotFound": "404", "WrongMethod": "405", "Preflight": "204"}[component]
        operation = {"responses": {status: {"$ref": f"#/components/responses/{component}"}}}
        schema = schemathesis.openapi.from_dict({**DESCRIPTION, "paths": {"/": {method.lower(): operation}}})
        answer = await asyncio.to_thread(_sent, Provocation("", 0, path, method), door.url, {})
        assert answer.status_code == int(status)
        schema["/"][method].validate_response(answer)


async def test_the_metrics_port() -> None:
    """The metrics page is as described, and there is nothing else on its port."""
    async with AsyncExitStack() as stack:
        runner = web.ServerRunner(HttpServer(MetricsPage(Metrics()), 10, 10))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, HOST, 0).start()
        url = f"http://{HOST}:{runner.addresses[0][1]}"
        for method, name in (("GET", "metrics"), ("HEAD", "headMetrics")):
            answer = await asyncio.to_thread(_sent, Provocation(name, 200, "/metrics", method), url, {})
            assert answer.status_code == 200
            OPERATIONS[name].validate_response(answer)
        answer = await asyncio.to_thread(_sent, Provocation("", 404, "/ready"), url, {})
        assert answer.status_code == 404
