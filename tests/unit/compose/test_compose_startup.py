"""A project that is right is read and planned without what takes long to load."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src"
PACKAGES = next(path for path in sys.path if path.endswith("site-packages"))
SHOP = Path(__file__).parents[3] / "examples/shop/compose.yaml"
SLOW = "jsonschema_rs dataclasses inspect typing hashlib _hashlib ipaddress socket subprocess json tempfile asyncio"


def test_an_unchanged_up_loads_nothing_slow() -> None:
    program = f"""
import sys
sys.path[:0] = [{os.fspath(SOURCE)!r}]
sys.path.append({PACKAGES!r})
import wharf.cli.main, wharf.cli.compose_up, wharf.cli.compose_progress, wharf.client.api, wharf.compose.run_project
from wharf.compose.hashes import service_hash
from wharf.compose.project import Project
project = Project.load([{os.fspath(SHOP)!r}], environment={{"SHOP_PASSWORD": "secret"}})
assert all(service_hash(service) for service in project.services.values())
print(*(name for name in {SLOW!r}.split() if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
