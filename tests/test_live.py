"""Each provider answers the official client from a render that was started with `app dev`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import openai
import pytest

from demo.batch import run_batch
from demo.service import Service, running
from tests.answers import ALL_OFF
from tests.conftest import Environment, Render, find_python

Start = Callable[..., AbstractContextManager[Service]]


@pytest.fixture(scope="module")
def start(checkout: Render, environment: Environment) -> Start:
    """Start a render of some answers, with settings of its own, until the `with` ends."""
    # The tests of a project itself run on the lowest Python.
    variables = environment(find_python("3.13") or sys.executable)
    python = Path(variables["UV_PROJECT_ENVIRONMENT"]) / "bin" / "python"

    def start(answers: dict[str, str], **settings: str) -> AbstractContextManager[Service]:
        return running(checkout(answers), [str(python), "-m", "app.cli", "dev"], settings)

    return start


@pytest.fixture(scope="module")
def simulated(start: Start) -> Iterator[Service]:
    """One for all tests: a start takes the processor 10 s."""
    with start(ALL_OFF) as service:
        yield service


def test_the_local_model_answers(start: Start) -> None:
    with start({}) as service:
        check_answers(service)
        check_embeddings(service)


def test_another_render_answers_through_the_openai_provider(
    start: Start, simulated: Service
) -> None:
    behind = {"OPENAI_BASE_URL": f"{simulated.url}/v1", "OPENAI_API_KEY": simulated.key}
    with start({"model_provider": "openai"}, **behind) as service:
        check_answers(service)
        check_embeddings(service)
        assert model_of(service) == model_of(simulated)


def test_the_simulated_model_answers(simulated: Service) -> None:
    check_answers(simulated)
    check_embeddings(simulated)


def test_nobody_gets_in_without_a_key(simulated: Service) -> None:
    stranger = simulated.client().with_options(api_key="stranger")
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def check_answers(service: Service) -> None:
    """Ask for a whole answer, a streamed one and a batch."""
    model = model_of(service)
    with service.client() as client:
        question = {"role": "user", "content": "What is the capital of France?"}
        body = {"model": model, "messages": [question], "max_tokens": 16}
        whole = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hello!"}], max_tokens=16
        )
        assert whole.choices[0].message.content
        assert whole.usage is not None
        assert whole.usage.completion_tokens > 0
        chunks = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Hello!"}],
            max_tokens=16,
            stream=True,
        )
        texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        assert len([text for text in texts if text]) > 1
        answers = run_batch(client, {str(number): body for number in range(5)})
        assert set(answers) == set("01234")
        assert all(answers.values())


def check_embeddings(service: Service) -> None:
    """Embed two texts with the first model that can."""
    with service.client() as client:
        names = [model.id for model in client.models.list()]
        for name in names:
            try:
                answer = client.embeddings.create(model=name, input=["one", "two"])
            except (openai.BadRequestError, openai.NotFoundError):
                continue
            assert [item.index for item in answer.data] == [0, 1]
            assert answer.data[0].embedding
            return
    pytest.fail(f"none of {names} embeds")


def model_of(service: Service) -> str:
    """Return the model that the service names first."""
    with service.client() as client:
        return client.models.list().data[0].id
