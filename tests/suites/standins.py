"""Stand-ins for the public images that other people's suites name, made from Debian's busybox, and their registry.

A registry of ours on loopback is docker.io's mirror: what a suite pulls comes from there, by its public name.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.busybox import docker_archive
from tests.support.registry import Registry
from tests.support.wharfd import Wharfd

GREETING = "Hello from Docker!"
HELLO = {"Cmd": ["echo", GREETING], "Entrypoint": None}
Images = Mapping[str, Mapping[str, Any]]


def fill(registry: Registry, images: Images) -> None:
    """Push an image for each name (`library/alpine:3.10`); the value is its configuration."""
    with Wharfd("--insecure-registry", "127.0.0.0/8", own_network=False, place="/dev/shm") as daemon:
        for name, config in images.items():
            target = f"{registry.host}/{name}"
            with tempfile.NamedTemporaryFile(suffix=".tar", dir=daemon.root) as file:
                file.write(docker_archive(target, config=config))
                file.flush()
                daemon.docker("load", "-q", "-i", file.name)
            daemon.docker("push", "-q", target)


def inside_own_network(module: str, arguments: Sequence[str], marker: str) -> list[str]:
    """The command that runs `module` again in a network namespace of its own with loopback up."""
    del marker
    import sys

    script = 'ip link set lo up; exec "$@"'
    return ["unshare", "--net", "sh", "-c", script, "sh", sys.executable, "-m", module, *arguments]


def counts(report: str) -> dict[str, int]:
    """Of a pytest JUnit report: tests, failures, errors, skipped."""
    import xml.etree.ElementTree as tree

    suite = tree.parse(report).getroot().find("testsuite")
    assert suite is not None
    return {key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}


__all__ = ["GREETING", "HELLO", "Images", "counts", "fill", "inside_own_network", "json", "subprocess"]
