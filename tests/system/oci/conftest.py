"""One laboratory for the tests of a module."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.oci.lab import OciLab
from wharf.kernel.probe import probe
from wharf.spec.host import CgroupWorld


@pytest.fixture(scope="module")
def oci() -> Iterator[OciLab]:
    if os.geteuid() != 0 or probe().cgroup_world is CgroupWorld.NONE:
        pytest.skip("needs root and cgroups")
    lab = OciLab(Path(tempfile.mkdtemp(prefix="wharf-oci-")))
    try:
        yield lab
    finally:
        lab.close()
