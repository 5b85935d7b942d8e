"""The blocking client of a model's SDK: the loop waits for as long as the model thinks."""

from fastapi import FastAPI
from openai import OpenAI

app = FastAPI()
client = OpenAI(api_key="key", base_url="http://model")


@app.post("/")
async def endpoint(prompt: str) -> str | None:
    """Ask the model."""
    answer = client.chat.completions.create(  # caught by doctor EX100
        model="model", messages=[{"role": "user", "content": prompt}]
    )
    return answer.choices[0].message.content
