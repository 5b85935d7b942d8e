"""Tools that keep the worker's event loop, one of them a call away and wrapped."""

import hashlib

import requests
from fastapi import FastAPI

from engine.agents.agent import Agent
from engine.agents.tools import tool

app = FastAPI()


async def pay(cents: int) -> str:
    """Pay."""
    return paid(cents)


def paid(cents: int) -> str:
    """Pay at the bank."""
    answer = requests.post("https://bank.example", json=cents, timeout=5)  # caught by doctor EX100
    return answer.text


async def check(password: str) -> str:
    """Check a password."""
    salted = password.encode()
    return hashlib.scrypt(salted, salt=b"salt", n=2, r=8, p=1).hex()  # caught by doctor EX103


async def primes(below: int) -> int:
    """Count the primes below a number of the model's choice."""
    found = 0
    for number in range(2, below):  # caught by doctor EX102
        found += all(number % other for other in range(2, int(number**0.5) + 1))
    return found


AGENTS = [Agent("bank", "Pay.", tools=[tool(pay, approval=True), check, primes])]
