"""A blocking HTTP client behind a method, whose object is a parameter."""

from typing import Annotated

import requests
from fastapi import Depends, FastAPI

app = FastAPI()


class Weather:
    """Another server's weather."""

    def __init__(self) -> None:
        self.session = requests.Session()

    def today(self) -> str:
        """Return it."""
        return self.session.get("http://weather", timeout=5).text  # caught by doctor EX100


WEATHER = Weather()


async def weather() -> Weather:
    """Return the one there is."""
    return WEATHER


@app.get("/")
async def endpoint(weather: Annotated[Weather, Depends(weather)]) -> str:
    """Answer with the weather."""
    return weather.today()
