"""A dictionary that every request adds to and nothing empties."""

from fastapi import FastAPI

app = FastAPI()
answers: dict[str, str] = {}


@app.get("/")
async def endpoint(question: str) -> str:
    """Answer, and remember it for ever."""
    if question not in answers:
        answers[question] = question.upper()  # caught by doctor EX308
    return answers[question]
