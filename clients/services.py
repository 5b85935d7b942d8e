"""The services that the clients talk to: a render with the simulated model, one with the local."""

import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from copier import run_copy

from demo.service import Service, run, running

REPOSITORY = Path(__file__).parents[1]
APP = ("uv", "run", "app")
FAST = {"SIMULATED_LATENCY": "0", "SIMULATED_TOKENS_PER_SECOND": "2000", "REQUESTS_PER_MINUTE": "0"}


@contextmanager
def services(folder: Path) -> Iterator[dict[str, str]]:
    """Render both into the folder and run them inside the `with`; yield what a script must know."""
    simulated, local = render(folder / "simulated"), render(folder / "local")
    with running(simulated, settings=FAST) as one, running(local) as other:
        yield variables(one, other)


def variables(simulated: Service, local: Service, app: Sequence[str] = APP) -> dict[str, str]:
    """Return what a script must know, with a new key that has one call a minute."""
    command = [*app, "keys", "create", "limited", "--requests-per-minute", "1"]
    printed = run(command, simulated.project).split()
    return {
        "CLIENTS_URL": f"{simulated.url}/v1",
        "CLIENTS_KEY": simulated.key,
        "CLIENTS_LIMITED_KEY": next(word for word in printed if word.startswith("sk-")),
        "CLIENTS_LOCAL_URL": f"{local.url}/v1",
        "CLIENTS_LOCAL_KEY": local.key,
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
