"""Records the images that Docker's BuildKit makes of the cases: `python -m tests.conformance.builds.record`.

`--peers ROOT` (or PEERS) is a Debian tree with dockerd and buildx in it; with names, only those cases are recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.conformance.builds.cases import Case, cases, check_cases
from tests.conformance.builds.result import image_of, without_base
from tests.conformance.image import archive, find_busybox
from tests.conformance.peer import Peer

RECORDING = Path(__file__).parent / "recordings" / "buildkit-28.5.2.json"
CHECKED = RECORDING.with_name("checks-28.5.2.json")
BUILDX = "usr/libexec/docker/cli-plugins/docker-buildx"
NAME = "built:1"


class Builder:
    """BuildKit in a dockerd, through buildx."""

    def __init__(self, peer: Peer, home: str) -> None:
        self._peer = peer
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "BUILD"))}
        self.environment = {**keep, "DOCKER_HOST": peer.host, "DOCKER_CONFIG": home, "HOME": home}

    def docker(self, *words: str) -> str:
        return subprocess.run(
            [self._peer.client, *words], env=self.environment, check=True, capture_output=True, text=True
        ).stdout

    def build(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._peer.peer_root / BUILDX), "build", "--load", "--provenance=false"]
        return subprocess.run([*command, *words], env=self.environment, capture_output=True, text=True)

    def case(self, case: Case, base: list[str]) -> dict[str, Any]:
        """Build one case from nothing and tell the image."""
        with tempfile.TemporaryDirectory(prefix="conf-case-") as place:
            root = Path(place)
            flags = case.write(root)
            for file, name in case.first:
                done = self.build("-t", name, "-f", str(root / file), str(root))
                assert done.returncode == 0, f"{case.name}: {done.stderr}"
            done = self.build("-t", NAME, *flags, str(root))
            assert done.returncode == 0, f"{case.name}: {done.stderr}"
        image = without_base(image_of(self._peer.client, self.environment, NAME), base)
        self.docker("rmi", "-f", NAME, *(name for _, name in case.first))
        return {"dockerfile": case.dockerfile, **image}


def record_checks(builder: Builder) -> None:
    """What `--check` prints, the directory of the case as {case}; "" where the check itself cannot be done."""
    found = {}
    for case in check_cases():
        with tempfile.TemporaryDirectory(prefix="conf-check-") as place:
            done = builder.build("--check", "--progress=none", *case.write(Path(place)), place)
            found[case.name] = {"dockerfile": case.dockerfile, "stdout": done.stdout.replace(place, "{case}")}
    CHECKED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.conformance.builds.record")
    parser.add_argument("--peers", default=os.environ.get("PEERS"), help="root directory with dockerd in it")
    parser.add_argument("only", nargs="*", help="words of names of cases, or `checks`")
    options = parser.parse_args(arguments)
    if not options.peers:
        parser.error("name the peer's root directory with --peers or PEERS")
    old = json.loads(RECORDING.read_text()) if RECORDING.exists() else {"cases": {}}
    with tempfile.TemporaryDirectory() as home, Peer(Path(options.peers)) as peer:
        builder = Builder(peer, home)
        tar = Path(home) / "base.tar"
        tar.write_bytes(archive(find_busybox()))
        builder.docker("load", "-i", str(tar))
        base = json.loads(builder.docker("inspect", "boxed:1"))[0]["RootFS"]["Layers"]
        found: dict[str, Any] = {}
        failed = False
        for case in cases():
            if not options.only or any(word in case.name for word in options.only):
                print(f"recording {case.name}", flush=True)
                try:
                    found[case.name] = builder.case(case, base)
                except AssertionError as error:
                    failed = True
                    print(error)
            elif case.name in old["cases"]:
                found[case.name] = old["cases"][case.name]
        if not options.only or "checks" in options.only:
            record_checks(builder)
        version = builder.docker("version", "--format", "{{.Server.Version}}").strip()
    RECORDING.parent.mkdir(exist_ok=True)
    RECORDING.write_text(json.dumps({"server": version, "cases": found}, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(found)} cases in {RECORDING}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
