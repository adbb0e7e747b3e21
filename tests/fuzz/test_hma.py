"""What a Hasher-Matcher-Actioner may answer, spoiled: clean only for the exact grammar."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ostiary.engines.hma.answers import banks_of, hashes_of, index_of
from ostiary.errors import EngineError
from tests.fuzz.mutations import mutated

ANSWERS = st.sampled_from([
    b"{}", b"[]", b'["BANK"]', b' {"BANK": [{"bank_content_id": 1, "distance": "0"}], "B": [{}]} ',
    b'{"pdq": "d811ac39", "video_md5": ""}', b'{"pdq": {"built_to": 17, "present": true, "size": 3}}',
])  # fmt: skip
WORDS = [b"{", b"}", b"[", b"]", b'"answer"', b":", b",", b"null", b"{}", b"[]", b"NaN", b"\xef\xbb\xbf"]


@given(mutated(ANSWERS, WORDS, most=6))
def test_answers(body: bytes) -> None:
    """Each reader returns what an independent one sees there, or says that it can't."""
    for reader in (banks_of, hashes_of, index_of):
        try:
            found = reader(body)
        except EngineError:
            continue
        value = json.loads(body)
        if reader is banks_of:
            assert list(found) == list(value)
            assert found or value in ({}, [])
        elif reader is hashes_of:
            assert found == value
            assert found
        else:
            assert found


@given(st.binary(max_size=60))
def test_bytes(body: bytes) -> None:
    """Arbitrary bytes are an error, unless they are one of the two ways to say that nothing matches."""
    try:
        found = banks_of(body)
    except EngineError:
        return
    assert found or json.loads(body) in ({}, [])
