"""Training files, and fine-tunings of the official client."""

import json

from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from tests.service import eventually

ENDED = {"succeeded", "failed", "cancelled"}


def example(answer: str = "Paris.") -> str:
    """Return a line of a training file."""
    asked = {"role": "user", "content": "What is the capital of France?"}
    return json.dumps({"messages": [asked, {"role": "assistant", "content": answer}]})


def examples(count: int = 10) -> bytes:
    """Return a training file."""
    return "".join(f"{example(f'Paris, {number}.')}\n" for number in range(count)).encode()


def upload(client: OpenAI, name: str = "good.jsonl", content: bytes | None = None) -> str:
    """Return the id of an uploaded training file."""
    file = (name, examples() if content is None else content)
    return client.files.create(file=file, purpose="fine-tune").id


def begin(client: OpenAI, name: str = "good.jsonl", content: bytes | None = None) -> FineTuningJob:
    """Return a new fine-tuning with a file of this name."""
    training_file = upload(client, name, content)
    return client.fine_tuning.jobs.create(
        model="simulated-chat", training_file=training_file, suffix="mine", metadata={"k": "v"}
    )


def ended(client: OpenAI, job: FineTuningJob) -> FineTuningJob:
    """Return the fine-tuning once it has ended."""
    eventually(lambda: client.fine_tuning.jobs.retrieve(job.id).status in ENDED)
    return client.fine_tuning.jobs.retrieve(job.id)
