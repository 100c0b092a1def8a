"""docker-py's own integration suite against a fresh wharfd: `python -m tests.suites.docker_py CHECKOUT [pytest words]`.

`make test-docker-py DOCKERPY=CHECKOUT`. Everything runs in a network namespace of its own; docker.io is a registry of
ours with stand-ins. What is left out stands in docker_py.tsv; a whole run writes its figure to docs/suites.tsv.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.suites.figures import note
from tests.suites.standins import Standin, counts, environment, fill, go_inside, left_out
from tests.support.registry import Registry
from tests.support.wharfd import Wharfd

IMAGES = {
    "library/alpine:latest": Standin(),
    "library/alpine:3.10": Standin(),
    "library/busybox:latest": Standin(),
    "library/hello-world:latest": Standin({"Cmd": ["echo", "Hello from Docker!"]}),
}
PACKAGES = ("requests", "urllib3", "paramiko", "websocket-client", "pytest==7.4.2", "pytest-timeout==2.1.0")
LIST = Path(__file__).with_suffix(".tsv")
TEST_SECONDS = 120


def main(arguments: list[str]) -> int:
    if not arguments or not Path(arguments[0], "tests/integration").is_dir():
        print("skipped: name a checkout of docker-py 7.2.0: make test-docker-py DOCKERPY=…", file=sys.stderr)
        return 0
    checkout, words = os.path.abspath(arguments[0]), arguments[1:]
    if not os.environ.get("WHARF_SUITE_INSIDE"):
        environment("docker-py", PACKAGES)
    go_inside("tests.suites.docker_py", [checkout, *words])
    python = environment("docker-py", PACKAGES)
    out = [word for node in left_out(LIST) for word in ("--deselect", node)]
    with Registry() as registry:
        fill(registry, IMAGES)
        with Wharfd("--registry-mirror", f"http://{registry.host}", own_network=False, place="/dev/shm") as daemon:
            report = f"{daemon.root}/report.xml"
            os.makedirs(f"{daemon.root}/client")  # with a file in it the suite keeps its contexts there
            Path(f"{daemon.root}/client/config.json").write_text("{}")
            command = [
                python, "-m", "pytest", "-q", "-o", f"cache_dir={daemon.root}/cache", "--timeout", str(TEST_SECONDS),
                "--junitxml", report, *out, *(words or ["tests/integration"]),
            ]  # fmt: skip
            ran = {**daemon.environment, "PYTHONPATH": checkout, "PYTHONDONTWRITEBYTECODE": "1", "HOME": daemon.root}
            code = subprocess.run(command, cwd=checkout, env=ran, check=False).returncode
            found, second = counts(report), 0
            if (
                code
            ):  # some tests look before what they started can have happened: each gets a second chance, and says so
                code = subprocess.run([*command, "--last-failed"], cwd=checkout, env=ran, check=False).returncode
                again = counts(report)
                second = found["failures"] + found["errors"] - again["failures"] - again["errors"]
                found |= {key: again[key] for key in ("failures", "errors")}
            if not words:
                note("docker-py 7.2.0, tests/integration", found, second)
            if code:
                print(daemon.log(), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
