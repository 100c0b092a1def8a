"""The trash empties itself: deep trees, odd names, what an earlier run left."""

import os
from pathlib import Path

from wharf.storage.trash import Trash


def test_discarded_things_are_gone_at_once_and_emptied_later(tmp_path: Path) -> None:
    trash = Trash(str(tmp_path / "trash"))
    (tmp_path / "tree/a/b/c").mkdir(parents=True)
    (tmp_path / "tree/a/file").write_text("x")
    (tmp_path / "tree/.trash-1").write_text("x")
    (tmp_path / "tree/a/link").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("x")
    trash.discard(str(tmp_path / "tree"))
    trash.discard(str(tmp_path / "tree"))
    assert not (tmp_path / "tree").exists()
    trash.empty()
    assert os.listdir(trash.root) == []
    assert (tmp_path / "kept/file").exists(), "links are removed, not followed"


def test_a_tree_deeper_than_any_path_and_any_stack(tmp_path: Path) -> None:
    trash = Trash(str(tmp_path / "trash"))
    fd = os.open(trash.root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=fd)
        below = os.open("deep", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    trash.empty()
    assert os.listdir(trash.root) == []


def test_a_start_empties_what_an_earlier_run_left(tmp_path: Path) -> None:
    (tmp_path / "trash/left").mkdir(parents=True)
    trash = Trash(str(tmp_path / "trash"))
    trash.start()
    trash.close()
    trash = Trash(str(tmp_path / "trash"))
    trash.empty()
    assert os.listdir(trash.root) == []
