"""Revisions as their files tell them, and which tables they call older than the code."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from engine.settings import OPTIONS
from engine.sql.revisions import FOLDERS, OWN, Revisions, read_revisions
from tests.service import PROJECT

CODE = Revisions(frozenset({"engine_1", "engine_2", "a", "b"}), frozenset({"engine_2", "b"}))


def test_they_are_those_that_alembic_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    scripts = ScriptDirectory.from_config(Config(toml_file="pyproject.toml"))
    assert {each.revision for each in scripts.walk_revisions()} == OWN.known
    assert set(scripts.get_heads()) == OWN.heads


def test_each_of_the_engine_says_so_in_its_name() -> None:
    """By that `app migrate` tells a database of newer code from one of 0.x."""
    names = tuple(f"{name}_" for name in ("engine", *OPTIONS))
    assert all(each.startswith(names) for each in read_revisions(FOLDERS[1:]).known)


@pytest.mark.parametrize(
    ("found", "older"),
    [
        ({"engine_2", "b"}, False),
        ({"engine_1", "b"}, True),
        ({"engine_2", "a"}, True),
        ({"engine_3", "b"}, False),
        ({"engine_3", "c"}, False),
        ({"engine_3", "a"}, True),
        ({"engine_2"}, True),
        ({"0010"}, True),
        ({"b"}, True),
        (set(), True),
    ],
)
def test_tables_are_older_where_a_known_step_is_missing(found: set[str], *, older: bool) -> None:
    assert CODE.newer_than(found) is older


def test_a_merge_of_two_revisions_is_one_head(tmp_path: Path) -> None:
    for name, below in (("a", None), ("b", "a"), ("c", "a"), ("d", ("b", "c"))):
        text = f"revision: str = {name!r}\ndown_revision: str | None = {below!r}\n"
        (tmp_path / f"{name}.py").write_text(text)
    known, heads = read_revisions([tmp_path])
    assert (sorted(known), sorted(heads)) == (["a", "b", "c", "d"], ["d"])
