"""Slow calls in threads that a `def` endpoint and a `def` dependency have for themselves."""

import time
from typing import Annotated

import requests
from fastapi import Depends, FastAPI
from openai import OpenAI

from engine.slots.own_threads import own_threads

app = FastAPI()
client = OpenAI(api_key="key", base_url="http://model")


@own_threads(4)
def weather(city: str) -> str:
    """Return the weather of a city."""
    return requests.get("http://weather", params={"city": city}, timeout=10).text


@app.get("/")
@own_threads(2)
def endpoint(weather: Annotated[str, Depends(weather)]) -> str | None:
    """Have a model talk about it."""
    time.sleep(5)
    answer = client.chat.completions.create(
        model="model", messages=[{"role": "user", "content": weather}]
    )
    return answer.choices[0].message.content
