"""Stand-ins for the public images that other people's suites name, made from Debian's busybox, and their registry.

A registry of ours on loopback is docker.io's mirror: what a suite pulls comes from there, by its public name.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as tree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.busybox import docker_archive, layer_tar
from tests.support.registry import Registry
from tests.support.wharfd import ROOT, Wharfd

USERS = (
    "root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/var/lib/postgresql:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
)


@dataclass(frozen=True)
class Standin:
    """What an image runs by itself, and its files beside busybox: path -> (content, mode)."""

    config: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, tuple[str | bytes, int]] = field(default_factory=dict)


Images = Mapping[str, Standin]
INSIDE = "WHARF_SUITE_INSIDE"


def fill(registry: Registry, images: Images) -> None:
    """Push an image for each name (`library/alpine:3.10`)."""
    with Wharfd("--insecure-registry", "127.0.0.0/8", own_network=False, place="/dev/shm") as daemon:
        for name, standin in images.items():
            target = f"{registry.host}/{name}"
            with tempfile.NamedTemporaryFile(suffix=".tar", dir=daemon.root) as file:
                file.write(docker_archive(target, [layer_tar(), _own_layer(name, standin)], standin.config))
                file.flush()
                daemon.docker("load", "-q", "-i", file.name)
            daemon.docker("push", "-q", target)


def _own_layer(name: str, standin: Standin) -> bytes:
    """What tells one stand-in from the other, and what suites expect of alpine."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in ("var/opt", "var/lib/postgresql"):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        own = {"etc/passwd": (USERS, 0o644), "etc/stand-in": (name + "\n" + "." * 100_000, 0o644)}
        for path, (content, mode) in {**own, **standin.files}.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def go_inside(module: str, arguments: Sequence[str]) -> None:
    """Run `module` again in a network and a mount namespace of its own, unless that was done: never returns then."""
    if os.environ.get(INSIDE):
        return
    script = 'ip link set lo up; mount --make-rshared /; exec "$@"'
    command = ["unshare", "--net", "--mount", "sh", "-c", script, "sh", sys.executable, "-m", module, *arguments]
    os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})


def environment(name: str, packages: Sequence[str]) -> str:
    """A virtual environment for a suite beneath .cache, made once; its python."""
    place = ROOT / ".cache" / "suites" / name
    ready = place / "ready"
    wanted = "\n".join(packages)
    if not ready.exists() or ready.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([str(place / "bin/pip"), "install", "-q", *packages], check=True)
        ready.write_text(wanted)
    return str(place / "bin/python")


def left_out(path: Path) -> dict[str, str]:
    """A list of what is not run: pytest node, or its beginning, and the reason; `#` begins a remark."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return {node: reason for node, _, reason in (line.partition("\t") for line in lines)}


def counts(report: str) -> dict[str, int]:
    """Of a pytest JUnit report: tests, failures, errors, skipped."""
    suite = tree.parse(report).getroot().find("testsuite")
    assert suite is not None
    return {key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}
