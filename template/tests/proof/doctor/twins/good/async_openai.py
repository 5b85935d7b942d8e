"""The async client of a model's SDK."""

from fastapi import FastAPI
from openai import AsyncOpenAI

app = FastAPI()
client = AsyncOpenAI(api_key="key", base_url="http://model", timeout=60)


@app.post("/")
async def endpoint(prompt: str) -> str | None:
    """Ask the model."""
    answer = await client.chat.completions.create(
        model="model", messages=[{"role": "user", "content": prompt}]
    )
    return answer.choices[0].message.content
