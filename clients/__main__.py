"""`make clients`: real clients, unmodified, against a render of the working tree.

Everything happens below `.work/clients`, which is made anew. Exits with 1 where a check fails that
is not on the list of exceptions, or passes although it is.
"""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from clients.campaign import Result, clients, results
from clients.services import services
from demo.service import Failed

FOLDER = Path(__file__).parents[1] / ".work" / "clients"

console = Console(highlight=False)


def main(words: list[str]) -> int:
    """Run the clients whose names have one of the words in them, or all; return the exit code."""
    found: list[Result] = []
    try:
        with services(FOLDER) as variables:
            for client in clients(words):
                for result in results(client, FOLDER, variables):
                    found.append(result)
                    _show(result)
    except Failed as failure:
        console.print(str(failure), style="red", markup=False, soft_wrap=True)
        return 1
    console.print(_table(found))
    return 1 if not found or any(result.faults() for result in found) else 0


def _show(result: Result) -> None:
    """Print what one version did: names, reasons, faults."""
    console.print(f"\n[bold]{result.client.name}[/] {result.version}")
    console.print(f"  [green]passed[/] {', '.join(result.passed())}", soft_wrap=True)
    for name, reason in result.expected().items():
        console.print(f"  [yellow]expected[/] {name}: {reason}", soft_wrap=True)
    for name, failure in result.faults().items():
        console.print("  [red]FAILED[/]", end=" ")
        console.print(f"{name}: {failure}", markup=False, soft_wrap=True)


def _table(found: list[Result]) -> Table:
    table = Table("client", "version", "passed", "expected exceptions", "failed")
    for result in found:
        counts = len(result.passed()), len(result.expected()), len(result.faults())
        table.add_row(result.client.name, result.version, *map(str, counts))
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
