"""The smallest value that fits a JSON schema, for answers that are made up."""

from math import ceil, floor, inf
from typing import Any

Schema = dict[str, Any]

EXAMPLES = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "a@example.com",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance(schema: Schema, root: Schema | None = None) -> Any:  # noqa: ANN401 -- any JSON
    """Return a value of the schema: required properties only, least lengths and numbers."""
    root = root or schema
    if reference := schema.get("$ref"):
        return instance(_referenced(reference, root), root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return instance(schema[union][0], root)
    return _of_type(schema, root)


def _referenced(reference: str, root: Schema) -> Schema:
    found = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        found = found[name] if name else found
    return found


def _of_type(schema: Schema, root: Schema) -> Any:  # noqa: ANN401
    kind = schema.get("type", "object")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties", {})
            return {name: instance(properties[name], root) for name in schema.get("required", [])}
        case "array":
            return [instance(schema.get("items", {}), root)] * schema.get("minItems", 0)
        case "string":
            example = EXAMPLES.get(schema.get("format", ""), "x")
            return example.ljust(schema.get("minLength", 0), "x")
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return False
        case _:
            return None


def _number(schema: Schema) -> Any:  # noqa: ANN401
    """Return the number nearest to zero that the bounds allow."""
    step = schema.get("multipleOf", 1)
    least = max(schema.get("minimum", -inf), schema.get("exclusiveMinimum", -inf) + step)
    most = min(schema.get("maximum", inf), schema.get("exclusiveMaximum", inf) - step)
    if least > 0:
        return ceil(least / step) * step
    return floor(most / step) * step if most < 0 else 0
