"""Node's client of Docker's API, dockerode, against a fresh wharfd: `make test-dockerode`.

Skipped aloud where npm or the package cannot be had. What is done with it stands in dockerode.js.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.suites.standins import Standin, fill, go_inside
from tests.support.registry import Registry
from tests.support.wharfd import ROOT, Wharfd

PACKAGE = "dockerode@4.0.12"
SCRIPT = Path(__file__).with_suffix(".js")
SECONDS = 120
DOCKERFILE = "FROM busybox:latest\nARG WORD\nENV WORD=$WORD\nCMD echo $WORD\n"


def modules() -> Path | None:
    """Where the package lies beneath .cache, installed once; None, said aloud, when it cannot be had."""
    place = ROOT / ".cache" / "suites" / "dockerode"
    if (place / "ready").exists() and (place / "ready").read_text() == PACKAGE:
        return place
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        print("skipped: dockerode needs node and npm", file=sys.stderr)
        return None
    place.mkdir(parents=True, exist_ok=True)
    (place / "package.json").write_text('{"private": true}\n')
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", PACKAGE]
    if subprocess.run(command, cwd=place, check=False).returncode:
        print(f"skipped: npm cannot get {PACKAGE} from its registry", file=sys.stderr)
        return None
    (place / "ready").write_text(PACKAGE)
    return place


def main(arguments: list[str]) -> int:
    """The exit code of the script; 0 when it is skipped."""
    if not os.environ.get("WHARF_SUITE_INSIDE") and modules() is None:
        return 0
    go_inside("tests.suites.dockerode", arguments)
    place = modules()
    assert place is not None
    with Registry() as registry, tempfile.TemporaryDirectory() as context:
        fill(registry, {"library/busybox:latest": Standin()})
        Path(context, "Dockerfile").write_text(DOCKERFILE)
        with Wharfd("--registry-mirror", f"http://{registry.host}", own_network=False, place="/dev/shm") as daemon:
            more = {"NODE_PATH": str(place / "node_modules"), "CONTEXT": context}
            done = subprocess.run(
                ["node", str(SCRIPT)], env={**daemon.environment, **more}, timeout=SECONDS, check=False
            )
            if done.returncode:
                print(daemon.log(), file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
