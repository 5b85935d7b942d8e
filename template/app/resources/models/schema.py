"""The smallest value that fits a JSON schema, for answers that are made up."""

from typing import Any

Schema = dict[str, Any]


def instance(schema: Schema, root: Schema | None = None) -> Any:  # noqa: ANN401 -- any JSON
    """Return a value of the schema: required properties only, least lengths and numbers."""
    root = root or schema
    if reference := schema.get("$ref"):
        return instance(root["$defs"][reference.rsplit("/", 1)[-1]], root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return instance(schema[union][0], root)
    return _of_type(schema, root)


def _of_type(schema: Schema, root: Schema) -> Any:  # noqa: ANN401
    kind = schema.get("type", "object")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties", {})
            return {name: instance(properties[name], root) for name in schema.get("required", [])}
        case "array":
            return [instance(schema.get("items", {}), root)] * schema.get("minItems", 0)
        case "string":
            return "x" * max(schema.get("minLength", 0), 1)
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case _:
            return None
