"""docker-py's own integration suite against a fresh wharfd: `python -m tests.suites.docker_py CHECKOUT [pytest words]`.

`make test-docker-py DOCKERPY=CHECKOUT`. Everything runs in a network namespace of its own; docker.io is a registry of
ours with stand-ins. What is left out stands in docker_py.tsv; a whole run writes its figure to docs/suites.tsv.
"""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.suites.standins import counts, environment, fill, go_inside
from tests.support.registry import Registry
from tests.support.wharfd import ROOT, Wharfd

IMAGES = {
    "library/alpine:latest": {},
    "library/alpine:3.10": {},
    "library/busybox:latest": {},
    "library/hello-world:latest": {"Cmd": ["echo", "Hello from Docker!"]},
}
PACKAGES = ("requests", "urllib3", "paramiko", "websocket-client", "pytest==7.4.2", "pytest-timeout==2.1.0")
LIST = Path(__file__).with_suffix(".tsv")
FIGURES = ROOT / "docs" / "suites.tsv"
TEST_SECONDS = 120


def deselected() -> dict[str, str]:
    """Pytest node, or its beginning, and the reason."""
    lines = [line for line in LIST.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("\t") for line in lines)  # type: ignore[misc]


def main(arguments: list[str]) -> int:
    if not arguments or not Path(arguments[0], "tests/integration").is_dir():
        print("skipped: name a checkout of docker-py 7.2.0: make test-docker-py DOCKERPY=…", file=sys.stderr)
        return 0
    checkout, words = os.path.abspath(arguments[0]), arguments[1:]
    if not os.environ.get("WHARF_SUITE_INSIDE"):
        environment("docker-py", PACKAGES)
    go_inside(__spec__.name, [checkout, *words])
    python = environment("docker-py", PACKAGES)
    out = [word for node in deselected() for word in ("--deselect", node)]
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
                note(found, second)
            if code:
                print(daemon.log(), file=sys.stderr)
    return code


def note(found: dict[str, int], second: int) -> None:
    """Keep the figure of a whole run for docs/compatibility.md."""
    failed = found["failures"] + found["errors"]
    passed = found["tests"] - failed - found["skipped"]
    day = datetime.now(UTC).date().isoformat()
    line = f"docker-py 7.2.0, tests/integration\t{passed}\t{second}\t{failed}\t{found['skipped']}\t{day}"
    kept = (
        FIGURES.read_text().splitlines()
        if FIGURES.exists()
        else ["# suite\tpassed\tof them at the second attempt\tfailed\tskipped by the suite itself\tday"]
    )
    lines = [item for item in kept if not item.startswith("docker-py ")]
    FIGURES.write_text("\n".join([*lines, line]) + "\n")
    print(f"docker-py: {passed} passed, {failed} failed, {found['skipped']} skipped by the suite itself")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
