"""LangChain: the standard tests that it publishes for providers, and what they leave out."""

import json
import os
import re
import sys
from importlib.metadata import version

import openai
import pytest
from checks import (
    CHAT,
    EMBEDDINGS,
    KEY,
    LIMITED_KEY,
    LOCAL_CHAT,
    LOCAL_KEY,
    LOCAL_URL,
    TOO_LONG,
    URL,
    raised,
    tell,
)
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

SERVICE = {"base_url": URL, "api_key": KEY}


class TestChat(ChatModelIntegrationTests):
    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return {"model": CHAT, "stream_usage": True, **SERVICE}

    @property
    def supports_json_mode(self):
        return True


class TestEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self):
        # Otherwise it counts tokens, by a table that it fetches from the internet.
        return {"model": EMBEDDINGS, "check_embedding_ctx_length": False, **SERVICE}


def test_completions_of_old():
    model = OpenAI(model=CHAT, max_tokens=8, **SERVICE)
    whole = model.invoke("Hello")
    assert whole
    assert "".join(model.stream("Hello")) == whole


def test_wrong_key():
    model = ChatOpenAI(model=CHAT, base_url=URL, api_key="sk-wrong")
    raised(openai.AuthenticationError, lambda: model.invoke("Hello"))


def test_unknown_model():
    model = ChatOpenAI(model="gpt-99", **SERVICE)
    raised(openai.NotFoundError, lambda: model.invoke("Hello"))


def test_context_too_long():
    model = ChatOpenAI(model=LOCAL_CHAT, base_url=LOCAL_URL, api_key=LOCAL_KEY)
    error = raised(openai.BadRequestError, lambda: model.invoke(TOO_LONG))
    assert "maximum context length is" in str(error), str(error)


def test_rate_limit():
    model = ChatOpenAI(model=CHAT, base_url=URL, api_key=LIMITED_KEY, max_retries=0)
    raised(openai.RateLimitError, lambda: [model.invoke("Hello") for _ in range(3)])


class Reporter:
    """Tells of each test as of a check; one that skips itself has not passed."""

    def pytest_runtest_logreport(self, report):
        """Tell of a test that has run, or that could not."""
        if report.when == "call" or not report.passed:
            tell(name_of(report), reason(report))


def name_of(report):
    """Return the test's class and name; both forms of answers of a model count as one test."""
    return re.sub(r"test_|\[model\d\]", "", report.nodeid.partition("::")[2])


def reason(report):
    """Return in one line why the test failed, None where it passed."""
    if report.skipped:
        return report.longrepr[2]
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr) if report.failed else None


if __name__ == "__main__":
    print(json.dumps({"version": version("langchain-openai")}), flush=True)
    one_loop = "loop_scope=session"  # because LangChain keeps connections from test to test
    options = ["-o", "asyncio_mode=auto", "-o", f"asyncio_default_test_{one_loop}"]
    options += ["-o", f"asyncio_default_fixture_{one_loop}"]
    quiet = ["-c", os.devnull, "-p", "no:cacheprovider", "-p", "no:terminal"]
    sys.exit(pytest.main([__file__, *quiet, *options], plugins=[Reporter()]) > 1)
