import os
from pathlib import Path

import pytest

from engine.operate.dev import CannotStart
from engine.operate.dev.lock import hold_folder


def test_a_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    with hold_folder(tmp_path / "a" / "data"):
        assert (tmp_path / "a" / "data").stat().st_mode & 0o777 == 0o700


def test_a_second_holder_is_told_who_has_the_folder(tmp_path: Path) -> None:
    with (
        hold_folder(tmp_path),
        pytest.raises(CannotStart, match=f"process {os.getpid()}: stop it first"),
        hold_folder(tmp_path),
    ):
        pass


def test_a_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    with hold_folder(tmp_path):
        pass
    with hold_folder(tmp_path):
        pass
