"""`wharf build --check` prints what `docker buildx build --check` printed, for each of the 22 rules.

InvalidBaseImagePlatform needs a registry: both ask one, which is not there, for the platform that is not here.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.conformance.builds.cases import check_cases
from tests.conformance.builds.record import CHECKED
from tests.conformance.builds.test_builds import WAYS, Builder, builder

__all__ = ["builder"]
CASES = {case.name: case for case in check_cases()}
RECORDED = json.loads(CHECKED.read_text())


@pytest.mark.parametrize("name", CASES)
def test_check(name: str, builder: Builder) -> None:
    case = CASES[name]
    assert RECORDED[name]["dockerfile"] == case.dockerfile, "the case has changed: run `make record`"
    want = RECORDED[name]["stdout"]
    with tempfile.TemporaryDirectory(prefix="conf-check-") as place:
        command = [*WAYS["wharf"], "--check", *case.write(Path(place)), place]
        done = subprocess.run(command, env=builder.environment, capture_output=True, text=True, check=False)
    assert done.stdout.replace(place, "{case}").rstrip() == want.rstrip(), done.stderr
    assert done.returncode == (0 if want.startswith("Check complete, no") else 1)
