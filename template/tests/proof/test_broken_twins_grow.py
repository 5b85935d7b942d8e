"""Memory that grows with each request is found, and that of the API does not."""

import asyncio
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.proof.soak import Growth, soak, soak_api
from tests.proof.twins import growing
from tests.service import Service


def grown(name: str) -> Growth:
    """Return by what a new process grows: an old one has room from before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(grow, name).result()


def grow(name: str) -> Growth:
    return asyncio.run(soak(getattr(growing, name), 2_000, os.getpid()))


@pytest.mark.parametrize("name", ["broken_list", "broken_cache"])
def test_an_app_that_keeps_something_of_each_request_grows_on(name: str) -> None:
    assert not grown(name).flat


@pytest.mark.parametrize("name", ["good_cache", "good_nothing"])
def test_good_twins_stay_as_they_are(name: str) -> None:
    assert grown(name).flat


def test_the_api_does_not_grow_with_its_requests(on_sqlite: Service) -> None:
    key = on_sqlite.new_key("soaking", requests_per_minute=0)
    growth = asyncio.run(soak_api(on_sqlite, key, 800))
    assert growth.flat, growth
