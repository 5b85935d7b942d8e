"""The smallest value that fits a JSON schema, for answers that are made up."""

import json
import re
from collections.abc import Iterator
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


def instance(schema: Schema, root: Schema | None = None, within: tuple[str, ...] = ()) -> Any:  # noqa: ANN401
    """Return a value of the schema: required properties only, least lengths and numbers.

    `within` has the references that led here. Raise `RecursionError` where one must come again.
    """
    root = root or schema
    if reference := schema.get("$ref"):
        if reference in within:
            raise RecursionError(reference)
        return instance(_referenced(reference, root), root, (*within, reference))
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if union in schema:
            ends = [each for each in schema[union] if each.get("$ref") not in within]
            return instance((ends or schema[union])[0], root, within)
    return _of_type(schema, root, within)


def _referenced(reference: str, root: Schema) -> Schema:
    found = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        found = found[name] if name else found
    return found


def _of_type(schema: Schema, root: Schema, within: tuple[str, ...]) -> Any:  # noqa: ANN401
    kind = schema.get("type", "object")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties", {})
            required = schema.get("required", [])
            return {name: instance(properties[name], root, within) for name in required}
        case "array":
            items, least = schema.get("items", {}), schema.get("minItems", 0)
            return [instance(items, root, within)] * least if least else []
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


MOST_TRIES = 100
"""Braces of a prompt that are looked at: each may be the start of an example or a schema."""

KEYS = (
    re.compile(r"[\"'`](\w+)[\"'`]\s*:"),
    re.compile(
        r"\b(?:keys?|fields?|properties)(?: named| called)?:? ([\"'`]?\w+[\"'`]?"
        r"(?:(?:, and |, | and )[\"'`]?\w+[\"'`]?)*)",
        re.IGNORECASE,
    ),
    re.compile(r"[\"'`](\w+)[\"'`]"),
)
"""How a prompt names keys, the surest first: `"a":`, `keys a, b and c`, `"a"`."""

FILLING = {"and", "as", "for", "in", "of", "that", "the", "to", "with"}


def asked_for(prompt: str) -> dict[str, Any]:
    """Return an object of the schema or the example in the prompt, or with the keys that it names.

    A prompt that tells nothing gets `{"answer": "yes"}`.
    """
    for found in _objects(prompt):
        return instance(found) if "properties" in found else found
    for form in KEYS:
        if names := set(re.findall(r"\w+", " ".join(form.findall(prompt)))) - FILLING:
            return dict.fromkeys(sorted(names, key=prompt.find), "x")
    return {"answer": "yes"}


def _objects(prompt: str) -> Iterator[Schema]:
    decoder = json.JSONDecoder()
    for brace in list(re.finditer(r"\{", prompt))[:MOST_TRIES]:
        try:
            found, _end = decoder.raw_decode(prompt, brace.start())
        except (ValueError, RecursionError):
            continue
        if found:
            yield found
