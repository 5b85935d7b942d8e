"""What callers send: a JSON object in which null means that a field is not given."""

from typing import Any

from pydantic import BaseModel, model_validator

NO_NUL = r"^[^\x00]*$"
"""PostgreSQL stores every character but this one."""

CALLERS_OWN = {"metadata", "parameters", "schema", "subject"}
"""Fields whose value is JSON of the caller's own, in which null is a value like any other."""


class Body(BaseModel):
    """What a caller sends. As OpenAI has it, a field that is null is one that is not given.

    So it is within a field, too, unless that is unknown here and may mean something by null.
    """

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:  # noqa: ANN401 -- whatever was sent
        if not isinstance(data, dict):
            return data
        known = cls.model_fields.keys() - CALLERS_OWN
        return {
            name: _given(each) if name in known else each
            for name, each in data.items()
            if each is not None
        }


def _given(value: Any) -> Any:  # noqa: ANN401
    """Return JSON without the nulls of its objects, however deep they are."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_given(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: each if name in CALLERS_OWN else _given(each)
        for name, each in value.items()
        # Some servers refuse an assistant's message that has no content at all.
        if each is not None or name == "content"
    }
