"""What schemathesis must know of ours: how to make server names, and what its own checks can't say.

Loaded by the schemathesis process that tests/docs/test_openapi_live.py starts (`hooks` in
schemathesis.toml), never imported by a test.
"""

import string
from typing import Any, Final

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, CheckContext, Response
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode

_LABEL: Final = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=20)
_HOST: Final = st.one_of(
    st.lists(_LABEL.filter(lambda label: not label.isdigit()), min_size=1, max_size=4).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
_PORT: Final = st.just("") | st.integers(1, 65535).map(lambda port: f":{port}")
_MEDIA_ID: Final = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=40)

_SERVER_NAME: Final = st.tuples(_HOST, _PORT).map("".join)

_BOUNDS: Final = ("a number of more than", "nested more than", "holds more than")
"""Bounds that the description says in words, since JSON Schema has none for them."""

schemathesis.openapi.format("matrix-server-name", _SERVER_NAME)
schemathesis.openapi.format(
    "mxc-uri", st.tuples(_SERVER_NAME, _MEDIA_ID).map(lambda parts: "mxc://" + "/".join(parts))
)


@schemathesis.check
def errors_have_both_spellings(_ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """`info` and `error` say the same: JSON Schema has no word for it."""
    if response.status_code >= 400 and case.method != "HEAD" and "reason" in (body := response.json()):
        assert body["info"] == body["error"], f"two texts: {body}"


@schemathesis.check
def bodies_are_read_as_described(_ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """MCS_MALFORMED_JSON answers exactly the bodies that the description does not allow."""
    allowed = _body_allowed(case, response)
    if allowed is None or response.status_code in {401, 405}:
        return
    malformed = response.status_code == 400 and response.json()["reason"] == "MCS_MALFORMED_JSON"
    if malformed and any(bound in response.json()["info"] for bound in _BOUNDS):
        return
    kind = "right" if allowed else "wrong"
    assert malformed is not allowed, f"{response.status_code} for a body that is {kind}"


def _body_allowed(case: Case[Any], response: Response) -> bool | None:
    """Say whether the body is as described; None where there is none."""
    if case.meta is None or case.operation.method != "post":
        return None
    body = case.meta.components.get(ParameterLocation.BODY)
    if body is None:
        return None
    sent_as = response.request.headers.get("Content-Type", "")
    if case.operation.path.endswith("/scan_file") and "multipart/form-data; boundary=" not in sent_as:
        return False  # schemathesis tries other types; of JSON bodies nobody looks at it
    return body.mode is GenerationMode.POSITIVE
