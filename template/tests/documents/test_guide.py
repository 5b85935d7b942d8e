"""The endpoint and the agent of the guide answer from documents, and cite them."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from openai import OpenAI

from app.main import create_app
from tests.api.serving import serving
from tests.documents import librarian
from tests.service import PROJECT, Service, service
from tests.upstream import serving_in_thread

GUIDE = PROJECT / "docs" / "documents.md"
pytestmark = pytest.mark.skipif(not GUIDE.exists(), reason=f"{GUIDE} has been deleted")
LEAVE = b"Leave: each year has thirty days of leave."
QUESTION = "How many days of leave does a year have?"


def documented(word: str) -> str:
    """Return the module of the guide that has a word in it."""
    modules = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    (found,) = (each for each in modules if word in each)
    return str(found)


@pytest.fixture(scope="module")
def served(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("guide")
    modules = tmp_path_factory.mktemp("modules")
    agent = documented("HANDBOOK_AGENT") + "\nAGENT = HANDBOOK_AGENT\n"
    (modules / "handbook.py").write_text(agent)
    with (
        serving_in_thread(librarian.answer) as upstream,
        service(
            folder,
            redis_url,
            modules=modules,
            model_provider="openai",
            openai_base_url=upstream,
            openai_responses="chat",
            document_model="librarian",
            default_model="librarian",
        ) as ready,
    ):
        ready.start("api", "worker")
        yield ready


@pytest.fixture
def handbook(served: Service) -> tuple[str, str]:
    """A key, and its caller's store called Handbook."""
    key = served.new_key()
    with served.client(key) as client:
        store = client.vector_stores.create(name="Handbook").id
        client.vector_stores.files.upload_and_poll(
            vector_store_id=store, file=("leave.md", LEAVE), max_wait_seconds=60
        )
    return key, store


@pytest.mark.anyio
async def test_the_endpoint_answers_with_the_files_that_it_cites(
    served: Service, handbook: tuple[str, str]
) -> None:
    key, store = handbook
    module = ModuleType("handbook_endpoint")
    exec(compile(documented("ask_handbook"), str(GUIDE), "exec"), vars(module))
    app = create_app(served.settings)
    app.include_router(module.router)
    bearer = {"authorization": f"Bearer {key}"}
    body = {"vector_store_id": store, "question": QUESTION}
    async with serving(app) as client:
        answer = await client.post("/v1/handbook", json=body, headers=bearer)
    assert answer.json() == {"answer": "It is so. Not [9999] or [x].", "files": ["leave.md"]}


def test_the_agent_answers_with_citations(served: Service, handbook: tuple[str, str]) -> None:
    key, _ = handbook
    with OpenAI(base_url=f"{served.url}/v1", api_key=key) as client:
        response = client.responses.create(model="handbook", input=QUESTION)
    message: Any = response.output[-1].to_dict()
    annotations = message["content"][0]["annotations"]
    assert [each["filename"] for each in annotations] == ["leave.md"]
