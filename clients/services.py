"""The services that the clients talk to: a render with the simulated model, one with the local."""

import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from copier import run_copy

from demo.service import run, running

REPOSITORY = Path(__file__).parents[1]
APP = ("uv", "run", "app")
FAST = {"SIMULATED_LATENCY": "0", "SIMULATED_TOKENS_PER_SECOND": "2000", "REQUESTS_PER_MINUTE": "0"}


@contextmanager
def services(folder: Path) -> Iterator[dict[str, str]]:
    """Render both into the folder and run them inside the `with`, as `both` does."""
    projects = render(folder / "simulated"), render(folder / "local")
    with both(*projects) as variables:
        yield variables


@contextmanager
def both(simulated: Path, local: Path, app: Sequence[str] = APP) -> Iterator[dict[str, str]]:
    """Run both projects inside the `with`, once they are ready; yield what a script has to know."""
    command = [*app, "dev"]
    with running(simulated, command, FAST) as one, running(local, command) as other:
        limited = [*app, "keys", "create", "limited", "--requests-per-minute", "1"]
        key = next(word for word in run(limited, simulated).split() if word.startswith("sk-"))
        yield {
            "CLIENTS_URL": f"{one.url}/v1",
            "CLIENTS_KEY": one.key,
            "CLIENTS_LIMITED_KEY": key,
            "CLIENTS_LOCAL_URL": f"{other.url}/v1",
            "CLIENTS_LOCAL_KEY": other.key,
        }


def render(project: Path) -> Path:
    """Render the working tree, as it lies, with the provider that the folder is called after."""
    shutil.rmtree(project, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Dirty template changes included")
        answers = {"model_provider": project.name}
        run_copy(str(REPOSITORY), project, answers, defaults=True, vcs_ref="HEAD", quiet=True)
    run(["uv", "sync", "--quiet"], project)
    return project
