"""The JSON schema of the configuration (draft 2020-12), for editors and for `ostiary schema`. Pure."""

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from ostiary.config.settings import Settings

DIALECT: Final = GenerateJsonSchema.schema_dialect


def json_schema() -> dict[str, Any]:
    """Return the schema, with `proxy`, the other name of `download`.

    Rules between keys are not in it: only loading checks them.
    """
    schema = Settings.model_json_schema()
    properties = schema["properties"]
    properties["proxy"] = {**properties["download"], "description": "Another name of the download section."}
    return {"$schema": DIALECT, **schema}
