# SPDX-License-Identifier: MIT
"""JSON Schemas of bodies, query parameters and answers, from the types themselves."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

_MODE: Literal["validation"] = "validation"
REFERENCE = "#/components/schemas/{model}"


class _Brief(GenerateJsonSchema):
    """Without titles, which only repeat names, and without defaults that mean "absent"."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        described = super().default_schema(schema)
        if not described.get("default"):
            described.pop("default", None)
        return described

    def field_title_should_be_set(self, _schema: core_schema.CoreSchema | Any) -> bool:
        return False


def component_schemas(types: Iterable[Any]) -> dict[str, Any]:
    """The schema of each type and of those that it refers to, by name."""
    inputs = [(each, _MODE, TypeAdapter(each)) for each in types]
    _, document = TypeAdapter.json_schemas(inputs, ref_template=REFERENCE, schema_generator=_Brief)
    return {name: _without_title(schema) for name, schema in document["$defs"].items()}


def inlined_schema(of: Any) -> dict[str, Any]:
    """The schema of a type whose fields refer to components."""
    return TypeAdapter(of).json_schema(ref_template=REFERENCE, schema_generator=_Brief)


def reference(of: Any) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=of.__name__)}


def _without_title(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != "title"}
