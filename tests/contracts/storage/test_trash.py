"""The trash empties itself: deep trees, odd names, what an earlier run left."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.worker import ForkedWorker
from wharf.errors import Internal
from wharf.storage.trash import Trash
from wharf.storage.trash_job import JOBS


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


def test_large_trees_are_left_to_a_worker_after_the_small_ones(tmp_path: Path) -> None:
    trash = Trash(str(tmp_path / "trash"), worker := Recorder())
    for name, large in (("layer", True), ("small", False), ("other", True)):
        (tmp_path / name / "below").mkdir(parents=True)
        trash.discard(str(tmp_path / name), large=large)
    trash.empty()
    assert os.listdir(trash.root) == []
    assert [(job, before) for job, before in worker.ran] == [("trash.remove", 2), ("trash.remove", 1)]


def test_without_a_worker_that_answers_a_large_tree_goes_as_any_other(tmp_path: Path) -> None:
    class Dead:
        def run(self, job: str, args: dict[str, Any], fds: Sequence[int]) -> dict[str, Any]:
            raise Internal("the worker died")

    (tmp_path / "layer/below").mkdir(parents=True)
    trash = Trash(str(tmp_path / "trash"), Dead())
    trash.discard(str(tmp_path / "layer"), large=True)
    trash.empty()
    assert os.listdir(trash.root) == []


class Recorder:
    """Runs the jobs in processes, and notes each with how many entries the trash had then."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, int]] = []
        self._worker = ForkedWorker(JOBS)

    def run(self, job: str, args: dict[str, Any], fds: Sequence[int]) -> dict[str, Any]:
        self.ran.append((job, len(os.listdir(fds[0]))))
        return self._worker.run(job, args, fds)
