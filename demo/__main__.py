"""`make demo`: render the template, start the result, talk to it with the OpenAI client, stop it.

Everything happens below `.work/demo`, which is made anew. Exits with 1 where a step fails.
"""

import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from copier import run_copy
from openai import OpenAI, OpenAIError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.batch import run_batch
from demo.service import Failed, run, running

REPOSITORY = Path(__file__).parents[1]
PROJECT = REPOSITORY / ".work" / "demo"

COUNTRIES = [
    *("France", "Italy", "Spain", "Japan", "China", "Egypt", "Greece", "Norway", "Sweden"),
    *("Poland", "Portugal", "Austria", "Hungary", "Ireland", "Canada", "Mexico", "Peru", "Kenya"),
    *("India", "Russia"),
]

console = Console(highlight=False)


def main() -> int:
    """Run the demo and return its exit code."""
    began = time.monotonic()
    try:
        _show()
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 130
    except (Failed, OpenAIError, RuntimeError, TimeoutError) as failure:
        console.print("\n[bold red]The demo failed.[/]")
        console.print(str(failure), markup=False, soft_wrap=True)
        return 1
    console.print(f"\n[bold green]All of it worked,[/] in {time.monotonic() - began:.0f} seconds.")
    console.print(
        f"Keep it running:  [bold]cd {PROJECT.relative_to(Path.cwd())} && make dev[/]\n"
        'One of your own:  [bold]copier copy "$PWD" ../my-api[/]  [dim](by uvx or pipx run)[/]'
    )
    return 0


def _show() -> None:
    with _step("Rendering the template with its default answers"):
        _render()
    with _step("Installing the libraries of the rendered project"):
        run(["uv", "sync", "--quiet"], PROJECT)
    with ExitStack() as stack:
        with _step("Starting API, worker, database, Redis and model with `uv run app dev`"):
            service = stack.enter_context(running(PROJECT))
        client = service.client()
        model = client.models.list().data[0].id
        _ask(client, model, "What is the capital of France?")
        _stream(client, model, "Tell me a very short story about a fox.")
        _batch(client, model)
        console.print()
        with _step("Stopping it as Ctrl-C does, no process left behind"):
            stack.close()


@contextmanager
def _step(title: str) -> Iterator[None]:
    began = time.monotonic()
    with console.status(f"{title} ..."):
        yield
    console.print(f"[green]✓[/] {title} [dim]({time.monotonic() - began:.1f} s)[/]")


def _render() -> None:
    """Render the working tree, as it lies, into a fresh folder."""
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(PROJECT):
            raise Failed(f"{PROJECT} still runs as process {process.pid}: stop it first.")
    if PROJECT.exists():
        shutil.rmtree(PROJECT)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Dirty template changes included")
        run_copy(str(REPOSITORY), PROJECT, defaults=True, vcs_ref="HEAD", quiet=True)


def _ask(client: OpenAI, model: str, question: str) -> None:
    _title("A question", question)
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], max_tokens=60
    )
    console.print(answer.choices[0].message.content, style="cyan", markup=False)


def _stream(client: OpenAI, model: str, question: str) -> None:
    _title("Streamed, token by token", question)
    chunks = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        max_tokens=80,
        stream=True,
    )
    for chunk in chunks:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            console.print(text, style="cyan", markup=False, end="", soft_wrap=True)
    console.print()


def _batch(client: OpenAI, model: str) -> None:
    _title("A batch of 20, worked by the separate worker", "What is the capital of …?")
    bodies: dict[str, dict[str, object]] = {
        country: {
            "model": model,
            "messages": [{"role": "user", "content": f"What is the capital of {country}?"}],
            "max_tokens": 20,
        }
        for country in COUNTRIES
    }
    columns = BarColumn(40), MofNCompleteColumn(), TextColumn("answered"), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(bodies))
        answers = run_batch(client, bodies, lambda done: progress.update(bar, completed=done))
        progress.update(bar, completed=len(bodies))
    for country in COUNTRIES[:2]:
        console.print(f"[dim]{country}:[/]", end=" ")
        console.print(answers[country], style="cyan", markup=False)


def _title(what: str, question: str) -> None:
    console.print(f"\n[bold]{what}[/] [dim]{question}[/]")


if __name__ == "__main__":
    sys.exit(main())
