"""The JSON object that a prompt asks for, as far as its words tell."""

import json
import re
from collections.abc import Iterator
from typing import Any

from engine.models.schema import Schema, instance

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
