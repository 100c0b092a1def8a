"""Every probe answers as under Docker, and answers otherwise once its protection is taken off."""

from __future__ import annotations

import platform

import pytest

from tests.conformance.runner import Runner
from tests.probes.probe import Probe
from tests.probes.record import comparable, newest, run_probe
from tests.probes.table import PROBES

RECORDED = newest()
DIFFERENCES = {
    # Stricter: the directory that holds the controllers is read-only too, Docker leaves it writable.
    ("mounts and their options", "guarded"): RECORDED.probes["mounts and their options"]["guarded"].replace(
        "/sys/fs/cgroup tmpfs nodev,noexec,nosuid,relatime,rw", "/sys/fs/cgroup tmpfs nodev,noexec,nosuid,relatime,ro"
    ),
}
SAME_HOST = {"kernel": platform.release(), "machine": platform.machine()} == RECORDED.host

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="probes know the system call numbers of x86-64 only"),
]


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_probe(probe: Probe, engine: Runner) -> None:
    expected, got = RECORDED.probes[probe.name], run_probe(engine, probe)
    for state in ("guarded", "opened"):
        want, have = DIFFERENCES.get((probe.name, state), expected[state]), got[state]
        assert comparable(have, want, SAME_HOST) == comparable(want, have, SAME_HOST), f"{state} differs from Docker"
    assert got["guarded"] != got["opened"], "the probe does not notice that the protection is gone"


def test_number_of_probes() -> None:
    assert len(PROBES) >= 30
    same = [name for name, answer in RECORDED.probes.items() if answer["guarded"] == answer["opened"]]
    assert not same, f"Docker itself answers these alike in both states: {same}"
