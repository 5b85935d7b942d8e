"""Types of settings: numbers in their range, keys that a header can carry, text without quotes."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

Amount = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65535)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""Seconds, or an amount a second, that may not be 0."""


def without_quotes(value: Any) -> Any:  # noqa: ANN401 -- of a file or the environment
    """Return it without the spaces, line ends and quotes that copying leaves; blank is not set."""
    match value:
        case str():
            text = value.strip()
            return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] in "'\"" else text
        case dict():
            return {
                name: inner for name, each in value.items() if (inner := without_quotes(each)) != ""
            }
        case list() | tuple():
            return [without_quotes(each) for each in value]
    return value


def _sendable(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("it has a space, a line end or a letter that no key has: copy it again")
    return key


Key = Annotated[SecretStr, AfterValidator(_sendable)]
