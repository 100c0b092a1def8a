"""Samples of usage as Docker writes them, of both cgroup worlds: from files as the kernel has them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wharf.engine.engine import Engine
from wharf.engine.stats import sample_stats
from wharf.kernel.cgroup import Cgroup, open_cgroup

V2 = {
    "cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\n",
    "memory.current": "4096\n",
    "memory.max": "max\n",
    "memory.stat": "anon 4096\ninactive_file 12\nnr_of_the_future 1\n",
    "memory.events": "low 0\nmax 4\noom 3\noom_kill 1\n",
    "pids.current": "2\n",
    "pids.max": "max\n",
}
V1 = {
    "cpuacct.usage": "30000\n",
    "memory.usage_in_bytes": "4096\n",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.failcnt": "3\n",
    "pids.current": "2\n",
    "pids.max": "max\n",
}


def _sample(cgroup: Cgroup) -> dict[str, Any]:
    running = SimpleNamespace(stats=cgroup.stats, pid=0)
    container = SimpleNamespace(record=SimpleNamespace(name="c", id="0" * 64), running=running)
    engine = SimpleNamespace(containers=SimpleNamespace(live=lambda _: container))
    return sample_stats(cast(Engine, engine), "c")


def _write(root: Path, files: dict[str, str]) -> None:
    (root / "c").mkdir()
    for name, text in files.items():
        (root / "c" / name).write_text(text)


@pytest.mark.parametrize("io", ["", "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"])
def test_v2_counts_bytes_alone_and_has_a_limit_of_processes(tmp_path: Path, io: str) -> None:
    _write(tmp_path, {**V2, "io.stat": io})
    found = _sample(open_cgroup({"": str(tmp_path)}, "/c"))
    blocks = found["blkio_stats"]
    read, write = ({"major": 254, "minor": 0, "op": op, "value": value} for op, value in (("read", 1), ("write", 2)))
    assert blocks.pop("io_service_bytes_recursive") == ([read, write] if io else None)
    assert blocks == dict.fromkeys(blocks) and len(blocks) == 7
    assert found["pids_stats"] == {"current": 2, "limit": (1 << 64) - 1}
    assert "percpu_usage" not in found["cpu_stats"]["cpu_usage"]
    memory = found["memory_stats"]
    assert (memory["usage"], memory["failcnt"], "max_usage" in memory) == (4096, 3, False)
    assert memory["stats"] | {"anon": 4096, "inactive_file": 12, "thp_collapse_alloc": 0} == memory["stats"]
    assert len(memory["stats"]) == 31


def test_v1_has_empty_lists_and_no_limit_of_processes(tmp_path: Path) -> None:
    _write(tmp_path, V1)
    roots = dict.fromkeys(("cpu", "cpuacct", "memory", "pids", "blkio"), str(tmp_path))
    found = _sample(open_cgroup(roots, "/c"))
    assert found["blkio_stats"] == {key: [] for key in found["blkio_stats"]}
    assert found["pids_stats"] == {"current": 2}
    assert (found["memory_stats"]["usage"], found["memory_stats"]["failcnt"]) == (4096, 3)
