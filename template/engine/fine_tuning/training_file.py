"""Validation of training files: JSONL of conversations, read in pieces, errors with their line."""

from codecs import BOM_UTF8
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from engine.errors import InvalidRequest

FEWEST = 10
"""Examples of a training file, as OpenAI wants them."""

LONGEST_LINE = 4 * 1024 * 1024
"""Bytes of one example; a file without line ends must not lie in memory."""

PER_MESSAGE = 3
"""Tokens of a message beside its texts, in OpenAI's format of chats."""


class TrainingMessage(msgspec.Struct):
    """A message of an example."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, Any] | None = None


class TrainingExample(msgspec.Struct):
    """A line of a file."""

    messages: list[TrainingMessage]


class InvalidTrainingFile(InvalidRequest):
    """A file cannot be trained with; the message names its line."""

    code = "invalid_training_file"


class TrainingFileCheck:
    """Checks one file, fed piece by piece. Its calls block: they are for a thread."""

    def __init__(
        self, param: str, *, fewest: int, most_tokens: int, count: Callable[[str], int]
    ) -> None:
        self.tokens = 0
        self._param = param
        self._fewest = fewest
        self._most_tokens = most_tokens
        self._count = count
        self._line = self._examples = 0
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Check the lines that end in this piece. Raise `InvalidTrainingFile`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._check_line(line)
        if len(self._rest) > LONGEST_LINE:
            self._line += 1
            raise self._wrong(f"it is longer than {LONGEST_LINE:,} bytes")

    def end(self) -> None:
        """Check the last line and the whole. Raise `InvalidTrainingFile`."""
        self._check_line(self._rest)
        if self._examples < self._fewest:
            message = (
                f"The file of `{self._param}` has {self._examples} examples: "
                f"give at least {self._fewest}, each a line of JSON."
            )
            raise InvalidTrainingFile(message, param=self._param)

    def _check_line(self, line: bytes) -> None:
        self._line += 1
        line = line.removeprefix(BOM_UTF8) if self._line == 1 else line
        if not line.strip():
            return
        try:
            line.decode()
            example = msgspec.json.decode(line, type=TrainingExample)
        except UnicodeDecodeError:
            raise self._wrong("it is not UTF-8") from None
        except (msgspec.MsgspecError, RecursionError) as error:
            raise self._wrong(f"{error}") from None
        self._check_messages(example.messages)
        self._examples += 1
        self.tokens += sum(map(self._tokens, example.messages))
        if self.tokens > self._most_tokens:
            raise self._wrong(f"up to here there are more than {self._most_tokens:,} tokens")

    def _check_messages(self, messages: list[TrainingMessage]) -> None:
        if not messages or messages[-1].role != "assistant":
            raise self._wrong("its last message must be the assistant's")
        for at, message in enumerate(messages):
            calls = message.role == "assistant" and (message.tool_calls or message.function_call)
            if message.content is None and not calls:
                raise self._wrong(f"`messages[{at}]` has no content")

    def _tokens(self, message: TrainingMessage) -> int:
        content = message.content
        parts = (
            [content] if isinstance(content, str) else [each.get("text") for each in content or []]
        )
        called = message.tool_calls or message.function_call
        texts = [each for each in parts if isinstance(each, str)]
        texts += [msgspec.json.encode(called).decode()] if called else []
        return PER_MESSAGE + sum(map(self._count, texts))

    def _wrong(self, reason: str) -> InvalidTrainingFile:
        message = f"Line {self._line} of the file of `{self._param}` is no example: {reason}."
        return InvalidTrainingFile(message, param=self._param)
