"""One private wharfd per test process, with the base images loaded."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.image import archive, find_busybox
from tests.conformance.runner import Runner
from tests.support.wharfd import Wharfd, docker_client, newest_docker_client


def runtime_flags() -> list[str]:
    """WHARF_TEST_RUNTIME=/path/of/runc runs every container of the table through that OCI runtime."""
    path = os.environ.get("WHARF_TEST_RUNTIME", "")
    return ["--add-runtime", f"runc={path}", "--default-runtime", "runc"] if path else []


@pytest.fixture(scope="session")
def engine() -> Iterator[Runner]:
    """A docker client that speaks to a wharfd of this test process's own."""
    if os.geteuid() != 0:
        pytest.skip("containers need root here")
    with Wharfd(*runtime_flags()) as daemon, tempfile.NamedTemporaryFile(suffix=".tar") as tar:
        tar.write(archive(find_busybox()))
        tar.flush()
        client = newest_docker_client()
        runner = Runner(client, daemon.host, Path(tar.name), daemon.enter, harness=docker_client())
        try:
            runner.docker("load", "-i", tar.name)
            yield runner
        finally:
            runner.close()
