"""The size of a tree in which others are at work."""

import os
from pathlib import Path
from typing import Any

import pytest

from wharf.storage.usage import tree_usage


def test_what_goes_meanwhile_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stays").write_bytes(b"12345")
    (tmp_path / "goes").mkdir()
    assert tree_usage(str(tmp_path)) == 5
    scan = os.scandir

    def scandir(path: str) -> Any:
        if path.endswith("/goes"):
            os.rmdir(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert tree_usage(str(tmp_path)) == 5


def test_a_tree_that_has_gone_has_nothing(tmp_path: Path) -> None:
    assert tree_usage(str(tmp_path / "gone")) == 0
