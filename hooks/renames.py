"""Carry a user's edits over to files that a release renames.

Copier knows no renames: it deletes the old file, with the edits, and writes the new one. So a
release that renames files runs this as a migration, before and after the update:

    python renames.py TEMPLATE ANSWERS_FILE "OLD=>NEW" ...

`STAGE` and `VERSION_FROM` are in the environment, as Copier sets them, and the working directory is
the project. Nothing but the standard library and Copier's own command is needed. A second run finds
nothing left to do. A file that the user has deleted comes back under its new name.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LABELS = ("before updating", "last update", "after updating")
MOST_CONFLICTS = 127  # above it, git's exit code means an error


def main(template: str, answers: str, *pairs: str) -> None:
    """Do what is to be done at this stage."""
    keep = Path(output("git", "rev-parse", "--git-path", "copier-renames").strip())
    renames = dict(pair.split("=>") for pair in pairs)
    if os.environ["STAGE"] == "before":
        save(keep, [answers, *renames])
    else:
        carry_over(template, keep, keep / answers, renames)


def save(keep: Path, paths: list[str]) -> None:
    """Copy what there is of these files to where no update touches it."""
    for path in paths:
        if Path(path).is_file():
            (keep / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, keep / path)


def carry_over(template: str, keep: Path, answers: Path, renames: dict[str, str]) -> None:
    """Merge each saved file into the one that has its new name."""
    edited = {old: new for old, new in renames.items() if (keep / old).is_file()}
    if edited:
        with tempfile.TemporaryDirectory() as base:
            copy_release(template, os.environ["VERSION_FROM"], answers, base)
            for old, new in edited.items():
                merge(keep / old, Path(base) / old, Path(new))
    shutil.rmtree(keep, ignore_errors=True)


def copy_release(template: str, version: str, answers: Path, folder: str) -> None:
    """Copy the release that the project came from, as it was before the user's edits."""
    options = ["--quiet", "--defaults", "--skip-tasks", "--vcs-ref", version]
    output(
        *(sys.executable, "-m", "copier", "copy", *options),
        *("--data-file", str(answers), template, folder),
    )


def merge(ours: Path, base: Path, new: Path) -> None:
    """Write into `new` what `ours` changed against `base`; where both did, mark the conflict."""
    labels = [part for label in LABELS for part in ("-L", label)]
    command = ["git", "merge-file", *labels, str(ours), str(base), str(new)]
    conflicts = subprocess.run(command, check=False).returncode
    if conflicts > MOST_CONFLICTS:
        raise SystemExit(f"Your edits could not be merged into {new}; they are in {ours}.")
    shutil.copyfile(ours, new)
    print(f"{new}: {'conflicts, see the markers' if conflicts else 'your edits are carried over'}")


def output(*command: str) -> str:
    """Run the command and return what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
