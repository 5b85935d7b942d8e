"""The services that the clients talk to: renders with each provider, in front of each other."""

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from copier import run_copy

from clients.thinking import MODEL, thinking
from demo.service import Service, run, running

REPOSITORY = Path(__file__).parents[1]
APP = ("uv", "run", "app")
FAST = {"SIMULATED_LATENCY": "0", "SIMULATED_TOKENS_PER_SECOND": "2000", "REQUESTS_PER_MINUTE": "0"}


RELAYS = {
    "chat": ("simulated", "chat"),
    "native": ("simulated", "native"),
    "thinking": ("thinker", "chat"),
    "native-thinking": ("thinking", "native"),
}
"""Renders with the provider `openai`: the server that each asks, and whether for chats or natively
for responses. The model of `thinker` reasons; it knows only chats."""


@contextmanager
def services(folder: Path) -> Iterator[dict[str, str]]:
    """Render all into the folder and run them inside the `with`; yield what a script must know."""
    simulated, local = render(folder, "simulated"), render(folder, "local")
    relays = {name: render(folder, name, "openai") for name in RELAYS}
    for name in filter(reasons, relays):
        add_agents(relays[name])
    with (
        running(simulated, settings=FAST) as one,
        running(local) as other,
        doors(one, relays) as found,
    ):
        yield variables(one, other, found)


@contextmanager
def doors(
    simulated: Service, relays: Mapping[str, Path], command: Sequence[str] = (*APP, "dev")
) -> Iterator[dict[str, Service]]:
    """Yield the services to ask for responses: the simulated model, and some of `RELAYS`."""
    with ExitStack() as stack:
        found = {"simulated": simulated}
        for name, project in relays.items():
            asked, way = RELAYS[name]
            settings = {"OPENAI_RESPONSES": way, "REQUESTS_PER_MINUTE": "0"}
            if asked == "thinker":
                settings["OPENAI_BASE_URL"] = stack.enter_context(thinking())
            else:
                settings["OPENAI_BASE_URL"] = f"{found[asked].url}/v1"
                settings["OPENAI_API_KEY"] = found[asked].key
            found[name] = stack.enter_context(running(project, command, settings))
        yield found


def variables(
    simulated: Service, local: Service, doors: Mapping[str, Service], app: Sequence[str] = APP
) -> dict[str, str]:
    """Return what a script must know, with a new key that has one call a minute."""
    command = [*app, "keys", "create", "limited", "--requests-per-minute", "1"]
    printed = run(command, simulated.project).split()
    return {
        "CLIENTS_URL": f"{simulated.url}/v1",
        "CLIENTS_KEY": simulated.key,
        "CLIENTS_LIMITED_KEY": next(word for word in printed if word.startswith("sk-")),
        "CLIENTS_LOCAL_URL": f"{local.url}/v1",
        "CLIENTS_LOCAL_KEY": local.key,
        "CLIENTS_DOORS": json.dumps([_door(name, door) for name, door in doors.items()]),
    }


def reasons(door: str) -> bool:
    """Whether the model of the door of this name reasons; such a service has agents, too."""
    return "thinking" in door


def add_agents(project: Path) -> None:
    """Give a render the agents of `clients/agents.py`, as a team would."""
    features = project / "app" / "features"
    shutil.copy2(REPOSITORY / "clients" / "agents.py", features)
    with (features / "__init__.py").open("a") as lists:
        lists.write("\nfrom app.features.agents import CLERK, REPORTER\n\n")
        lists.write("AGENTS += [CLERK, REPORTER]\n")


def _door(name: str, service: Service) -> dict[str, str]:
    model = MODEL if reasons(name) else "simulated-chat"
    return {"name": name, "url": f"{service.url}/v1", "key": service.key, "model": model}


def render(folder: Path, name: str, provider: str | None = None) -> Path:
    """Render the working tree, as it lies, with the provider: one of its own name, or another."""
    project = folder / name
    shutil.rmtree(project, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Dirty template changes included")
        answers = {"model_provider": provider or name}
        run_copy(str(REPOSITORY), project, answers, defaults=True, vcs_ref="HEAD", quiet=True)
    run(["uv", "sync", "--quiet"], project)
    return project
