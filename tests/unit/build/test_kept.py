"""The last contexts of clients' directories: what nobody comes for, or a crash left, does not stay."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from wharf.build import kept
from wharf.build.kept import KeptContexts
from wharf.engine.engine import Engine
from wharf.errors import NotFound
from wharf.storage.trash import Trash


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return cast(Engine, SimpleNamespace(trash=Trash(str(tmp_path / "trash"))))


def _places(root: Path) -> list[str]:
    """Those for one build alone, while another build has the directory's own."""
    return [name for name in os.listdir(root) if "-" in name]


def test_what_no_build_comes_for_leaves_no_second_place(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts, root = KeptContexts(engine, str(tmp_path / "kept")), tmp_path / "kept"
    first, _ = contexts.offer("client:/directory", [])
    second, _ = contexts.offer("client:/directory", [])
    for pending in contexts._pending.values():
        os.makedirs(pending.place)  # as `receive` does
    assert len(_places(root)) == 1
    monkeypatch.setattr(kept, "CLAIM_SECONDS", -1.0)
    contexts.offer("client:/another", [])
    assert _places(root) == [] and len(os.listdir(root)) == 1
    for number in (first, second):
        with pytest.raises(NotFound):
            contexts.claim(number)


def test_what_a_crash_left_of_a_second_place_goes(engine: Engine, tmp_path: Path) -> None:
    root = tmp_path / "kept"
    (root / "a").mkdir(parents=True)
    (root / "a-1").mkdir()
    KeptContexts(engine, str(root))
    assert os.listdir(root) == ["a"]
