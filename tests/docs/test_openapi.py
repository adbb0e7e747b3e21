"""docs/reference/openapi.yaml against the code: every route and every refusal, and nothing more."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

import jsonschema_rs
import pytest
import schemathesis

from ostiary.errors import BadEnvelopeError, HomeserverRefusalError, NoSuchRouteError, WrongMethodError
from ostiary.matrix.envelope import MAX_CIPHERTEXT, Envelope
from ostiary.matrix.request_body import encrypted_file
from ostiary.model import Result, Verdict
from ostiary.policy import TYPE_RULE
from ostiary.web import errors, routes
from ostiary.web.bodies import JSON_LIMIT
from ostiary.web.headers import EVERYWHERE, MEDIA, NOT_STORED
from ostiary.web.health import Health
from ostiary.wire.multipart import MAX_PARTS
from ostiary.wire.strict_json import MAX_DEPTH, MAX_DIGITS, MAX_VALUES
from tests.docs.openapi import DESCRIPTION, EXAMPLE, EXAMPLES, OPENAPI

COMPONENTS: Final = DESCRIPTION["components"]
METHODS: Final = ("get", "head", "post", "put", "delete", "patch", "trace")
CONCRETE: Final = {"{serverName}": "example.org", "{mediaId}": "id", "{fileName}": "a.png"}
NO_REFUSALS: Final = {"200", "204", "206", "304"}


def validator(schema: object) -> Any:  # noqa: ANN401  (one of several classes)
    """Return a validator whose references lead into the description."""
    return jsonschema_rs.validator_for({"$ref": "#/schema", "schema": schema, "components": COMPONENTS})


def described() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield status and JSON schema of each refusal that is described."""
    answers = {"NotFound": "404", "WrongMethod": "405", "NotHttp": "400"}
    found = [(status, {"$ref": f"#/components/responses/{name}"}) for name, status in answers.items()]
    for path, item in DESCRIPTION["paths"].items():
        for method in METHODS:
            if path != "/metrics" and method in item:
                found += item[method]["responses"].items()
    for status, answer in found:
        name = answer.get("$ref", "").rpartition("/")[2]
        if status not in NO_REFUSALS and name:
            content = COMPONENTS["responses"][name]["content"]
            yield status, content["application/json"]["schema"]


def refusals() -> Iterator[errors.Refusal]:
    """Yield every refusal that the table knows, whatever the homeserver says."""
    yield errors.INTERNAL
    yield errors.NOT_HTTP
    yield errors.NO_SUCH_RANGE
    for kind in errors._TABLE:
        yield errors.refusal_of(kind() if kind is BadEnvelopeError else kind("why"))
    for result, name in ((Result.INFECTED, "x"), (Result.FORBIDDEN, TYPE_RULE), (Result.ERROR, "error")):
        refusal = errors.refusal_of_verdict(Verdict(result, False, "why", "image/png", "engine", name))
        assert refusal is not None
        yield refusal
    for status in range(300, 600):
        for errcode in (
            "M_UNKNOWN",
            "M_MISSING_TOKEN",
            "M_UNKNOWN_TOKEN",
            "M_TOO_LARGE",
            "M_NOT_YET_UPLOADED",
        ):
            error = HomeserverRefusalError(status, errcode, "why", soft_logout=True, retry_after_ms=1)
            yield errors.refusal_of(error)


def test_it_is_openapi() -> None:
    """The file is valid OpenAPI 3.1, and says so."""
    assert DESCRIPTION["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(DESCRIPTION).validate()


def test_every_route_and_method_is_described_and_no_other() -> None:
    """What the router takes is what the description has, method by method."""
    ours = {path for path in DESCRIPTION["paths"] if path != "/metrics"}
    reached = set()
    for path in ours:
        target = path
        for placeholder, value in CONCRETE.items():
            target = target.replace(placeholder, value)
        if "thumbnail" in path:
            target += "?width=1&height=1"
        for method in METHODS:
            if method in DESCRIPTION["paths"][path]:
                reached.add(routes.match(method.upper(), target).route)
            else:
                with pytest.raises(WrongMethodError):
                    routes.match(method.upper(), target)
    assert reached == set(routes.Route)
    for route in routes.Route:
        probe = f"/{route.value}" in ours
        assert probe or any(path.startswith(routes.PREFIX + route.value) for path in ours)
    with pytest.raises(NoSuchRouteError):
        routes.match("GET", "/metrics")


def test_every_refusal_is_described() -> None:
    """Each refusal of the table is, to the letter, an answer of its status in the description."""
    known = [(status, validator(schema)) for status, schema in described()]
    for refusal in refusals():
        fitting = [one for status, one in known if status == str(refusal.status)]
        assert any(one.is_valid(refusal.body()) for one in fitting), refusal


def test_no_other_refusal_is_described() -> None:
    """Each pair of status and reason that the description allows comes out of the table."""
    possible = {(refusal.status, refusal.reason) for refusal in refusals()}
    reasons = COMPONENTS["schemas"]["Reason"]["enum"]
    allowed = set()
    for status, schema in described():
        narrowed = schema["allOf"][1]["properties"]["reason"]
        allowed |= {(int(status), reason) for reason in narrowed.get("enum", [narrowed.get("const")])}
    assert allowed == possible
    assert sorted(reasons) == sorted({reason for _, reason in possible})
    assert len(reasons) == 10, "a closed set: clients fail on an eleventh"


def test_the_examples_are_as_described() -> None:
    """Every example of a JSON body is valid by the schema that it stands beside."""
    seen = 0
    for holder in _walk(DESCRIPTION):
        if "schema" in holder and "examples" in holder:
            for example in holder["examples"].values():
                validator(holder["schema"]).validate(example["value"])
                seen += 1
    assert seen > 15


def _walk(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _walk(value)


def test_the_examples_belong_together() -> None:
    """The sealed example opens with the private key 00 01 .. 1f to the plain one, and the key is its own."""
    envelope = Envelope(bytes(range(32)))
    assert envelope.open(**EXAMPLES["sealed"]["value"]["encrypted_body"]) == encrypted_file({"file": EXAMPLE})
    assert f"{{public_key: {envelope.public_key}}}" in OPENAPI.read_text()


def test_the_headers_are_as_described() -> None:
    """Each header that answers carry is described, with its value where that is fixed."""
    described_headers = COMPONENTS["headers"]
    for ours, component in ((MEDIA, "Media"), (EVERYWHERE, "Preflight")):
        for name, value in ours.items():
            if name == "Server":
                continue
            header = COMPONENTS["responses"][component]["headers"][name]
            schema = described_headers[header["$ref"].rpartition("/")[2]]["schema"]
            assert validator(schema).is_valid(value), name
    assert NOT_STORED["Cache-Control"] == described_headers["NoStore"]["schema"]["const"]


def test_the_limits_are_the_codes() -> None:
    """The numbers in the text are those that the code keeps."""
    text = OPENAPI.read_text()
    assert f"at most {routes._MOST_PARAMETERS} parameters" in text
    assert f"At most {JSON_LIMIT >> 20} MiB, {MAX_DEPTH} levels deep, {MAX_VALUES} values" in text
    assert f"values, {MAX_DIGITS} characters a number" in text
    assert f"At most {MAX_CIPHERTEXT} characters are opened" in text
    assert f"at most {MAX_PARTS};" in text
    assert COMPONENTS["schemas"]["Form"]["maxProperties"] == MAX_PARTS
    assert COMPONENTS["parameters"]["width"]["schema"]["maximum"] == routes._LARGEST_SIDE


def readiness(status: str) -> Any:  # noqa: ANN401
    """Return a validator for what `/ready` says with this status."""
    answers = DESCRIPTION["paths"]["/ready"]["get"]["responses"]
    return validator(answers[status]["content"]["application/json"]["schema"])


@pytest.mark.parametrize("gates", [True, False])
@pytest.mark.parametrize(
    ("names", "loaded", "draining"),
    [
        ({}, True, False),
        ({}, False, False),
        ({"untrusted": ("a",)}, True, False),
        ({"stale": ("a",)}, True, False),
        ({"untrusted": ("a",), "stale": ("b",)}, True, True),
    ],
)
def test_readiness(*, gates: bool, names: dict[str, tuple[str]], loaded: bool, draining: bool) -> None:
    """Each state has an answer that is described, whether proof of scan gates the status or not."""
    standing = SimpleNamespace(**{"settled": True, "untrusted": (), "stale": (), **names})
    answer = Health((), standing, gates=gates, loaded=loaded, draining=draining).ready()
    assert answer.text is not None
    readiness(str(answer.status)).validate(json.loads(answer.text))


@pytest.mark.parametrize(("status", "never"), [("200", "loading"), ("200", "draining"), ("503", "ready")])
def test_readiness_that_no_status_has(status: str, never: str) -> None:
    """What is described is no more than what there is."""
    body = {"status": never, "engines": {"untrusted": [], "stale": []}, "load": {}}
    assert not readiness(status).is_valid(body)
