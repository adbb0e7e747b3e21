"""The JSON schema that editors use."""

import json
import re

from ostiary.config.engines import ENGINES
from ostiary.config.schema import json_schema
from ostiary.config.settings import Settings


def test_the_dialect_and_the_sections() -> None:
    """Draft 2020-12, with every section and the other name of download, and nothing else."""
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {*Settings.model_fields, "proxy"}
    assert schema["properties"]["proxy"]["$ref"] == schema["properties"]["download"]["$ref"]
    json.dumps(schema, allow_nan=False)


def test_every_key_has_its_sentence() -> None:
    """An editor shows what a key means: no key and no section without a description."""
    for name, section in json_schema()["$defs"].items():
        assert section["description"], name
        assert section["additionalProperties"] is False, name
        for key, value in section["properties"].items():
            assert value.get("description"), f"{name}.{key}"


def test_durations_and_sizes_take_both_forms() -> None:
    """Numbers, and texts whose pattern an editor can check."""
    scan = json_schema()["$defs"]["ScanSettings"]["properties"]
    for key, good, bad in (("timeout", "90s", "90x"), ("max_size", "64MiB", "64 monkeys")):
        number, text = scan[key]["anyOf"]
        assert number["type"] in {"number", "integer"}
        assert re.search(text["pattern"], good)
        assert not re.search(text["pattern"], bad)


def test_engines_are_told_apart_by_type() -> None:
    """Only engine types that this release has are offered, each with a type that it must name."""
    schema = json_schema()
    offered = [
        branch["$ref"].rpartition("/")[2] for branch in schema["properties"]["engines"]["items"]["oneOf"]
    ]
    assert offered == [section.__name__ for section in ENGINES.values()]
    for kind, section in ENGINES.items():
        definition = schema["$defs"][section.__name__]
        assert definition["properties"]["type"]["const"] == kind
        assert "type" in definition["required"]


def test_keys_without_effect_say_so() -> None:
    """An editor can show that a key is not in this release."""
    definitions = json_schema()["$defs"]
    assert "without effect" in definitions["WebSettings"]["properties"]["workers"]["$comment"]
    assert "$comment" not in definitions["CryptoSettings"]["properties"]["pickle_path"]
    assert "$comment" not in definitions["WebSettings"]["properties"]["port"]
