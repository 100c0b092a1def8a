"""Mounts of the plan, seen from inside the container and from the host."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.runtime.conftest import Lab, make_spec


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A shared mount with the directories `inner` and `outer`."""
    place = tmp_path / "shared"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "shared", place], check=True)
    try:
        subprocess.run(["mount", "--make-shared", place], check=True)
        (place / "inner").mkdir()
        (place / "outer").mkdir()
        yield place
    finally:
        subprocess.run(["umount", "-R", place], check=True)


@pytest.mark.parametrize(
    ("word", "in_", "out"),
    [("rshared", True, True), ("shared", True, True), ("rslave", True, False), ("rprivate", False, False)],
)
def test_mounts_propagate_as_asked(lab: Lab, shared: Path, word: str, in_: bool, out: bool) -> None:
    spec = make_spec(["sleep", "100"])
    spec["mounts"].append({"destination": "/m", "type": "bind", "source": str(shared), "options": ["rbind", word]})
    spec["linux"]["rootfsPropagation"] = {"rshared": "shared", "shared": "shared", "rslave": "rslave"}.get(word, "")
    running = lab.supervisor.prepare(lab.request(spec)).go()
    enter = ["nsenter", "-t", str(running.pid), "-m", "mount", "-t", "tmpfs", "inner", "/m/inner"]
    subprocess.run(enter, check=True)
    subprocess.run(["mount", "-t", "tmpfs", "outer", shared / "outer"], check=True)
    inside = Path(f"/proc/{running.pid}/mountinfo").read_text()
    outside = Path("/proc/self/mountinfo").read_text()
    running.signal(9)
    running.wait(10)
    assert " /m/inner " in inside
    assert (" /m/outer " in inside) == in_
    assert (f" {shared}/inner " in outside) == out
