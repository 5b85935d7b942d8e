"""What the numbers depend on: the machine, and the versions of what runs on it."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("fastapi", "starlette", "uvicorn", "uvloop", "anyio", "aiohttp")


def describe() -> dict[str, str]:
    """Return names and values for people to read."""
    return {
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "System": f"{platform.system()} {platform.release()}",
        "Busy": f"{os.getloadavg()[0]:.1f} processes ran or waited in the last minute",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: _version(name) for name in PACKAGES},
        "Measured": time.strftime("%Y-%m-%d %H:%M %Z"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
