"""Runs tests against mutants, each in a process of its own, all forked from one.

`python -m tests.proof.machines.mutation` reads the numbers of mutants in `ALL` and prints how
each ended, as JSON. It forks because the imports take longer than the tests.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec, module_from_spec

from hypothesis import Phase, settings

from tests.proof.machines.mutants import CONTROLS, MUTANTS, Mutant
from tests.proof.machines.unfair import UNFAIR
from tests.service import PROJECT

PASSED, FAILED = 0, 10
"""Exit codes of the processes; any other is an accident."""

LONGEST = 60
"""Seconds of the processor after which a mutant is ended: one may run for ever.

Not of the clock: at a load of 12 on 2 cores one that needs 9 s of the processor took 87 s.
"""

ALL = CONTROLS + MUTANTS + UNFAIR

SIDES = 2
"""Mutants that are tested at the same time."""


def exit_codes(mutants: Sequence[Mutant]) -> dict[Mutant, int]:
    """Return `PASSED` or `FAILED` for the test of each of these mutants.

    Raise `AssertionError` where the text of one is not in its module any more.
    """
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        cwd=PROJECT,
        input=json.dumps([ALL.index(mutant) for mutant in mutants]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(mutants, json.loads(done.stdout), strict=True))


def main() -> None:
    """Test the mutants."""
    wanted = [ALL[number] for number in json.load(sys.stdin)]
    for module in sorted({mutant.test.rpartition(".")[0] for mutant in ALL}):
        importlib.import_module(f"tests.proof.{module}")
    waiting = [(mutant, _source(mutant)) for mutant in wanted]
    running: dict[int, Mutant] = {}
    codes: dict[Mutant, int] = {}
    while waiting or running:
        while waiting and len(running) < SIDES:
            mutant, source = waiting.pop()
            running[_fork(mutant, source)] = mutant
        child, status = os.wait()
        codes[running.pop(child)] = os.waitstatus_to_exitcode(status)
    sys.stdout.write(json.dumps([codes[mutant] for mutant in wanted]))


def _source(mutant: Mutant) -> str:
    path = PROJECT.joinpath("engine", *mutant.module.split(".")).with_suffix(".py")
    source = path.read_text()
    if source.count(mutant.text) != 1:
        raise LookupError(f"{path} has not once {mutant.text!r}: write the mutant again")
    return source.replace(mutant.text, mutant.instead)


def _fork(mutant: Mutant, source: str) -> int:
    child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_PROF, LONGEST)
        _mutate(mutant, source)
        os._exit(_outcome(mutant.test))
    return child


def _outcome(test: str) -> int:
    module, _, name = test.rpartition(".")
    try:
        getattr(importlib.import_module(f"tests.proof.{module}"), name)()
    except Exception:  # noqa: BLE001 -- whatever it noticed
        return FAILED
    return PASSED


def _mutate(mutant: Mutant, source: str) -> None:
    """Let the next import of the engine find the mutant."""
    ours = [name for name in sys.modules if name.split(".")[0] in {"app", "engine", "tests"}]
    for name in set(ours) - {"engine.watch.metrics"}:  # Prometheus registers each metric once
        del sys.modules[name]
    settings.register_profile("first failure", phases=[Phase.generate])
    settings.load_profile("first failure")
    spec = find_spec(f"engine.{mutant.module}")
    assert spec
    sys.modules[spec.name] = module = module_from_spec(spec)
    exec(compile(source, spec.name, "exec"), vars(module))


if __name__ == "__main__":
    main()
