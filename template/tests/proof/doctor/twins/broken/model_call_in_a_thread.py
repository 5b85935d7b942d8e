"""A model's answer in one of the 40 threads that all `def` endpoints share."""

from fastapi import FastAPI
from openai import OpenAI

app = FastAPI()
client = OpenAI(api_key="key", base_url="http://model")


@app.post("/")
def endpoint(prompt: str) -> str | None:
    """Ask the model."""
    answer = client.chat.completions.create(  # caught by doctor EX504
        model="model", messages=[{"role": "user", "content": prompt}]
    )
    return answer.choices[0].message.content
