"""An image whose links lead out of it, and whose config is hostile: mounts, working directories, copies stay inside.

Outside is a directory of the test's own on the host; every link of the image leads there by its absolute path, or
by more `..` than there are directories.
"""

import io
import json
import os
import posixpath
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.busybox import docker_archive, layer_tar
from tests.support.wharfd import Wharfd
from tests.system.api.raw import Client, exchange, request

V = "/v1.51"
LINKS = ("abs", "up", "deep/loop")


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("outside")
    (path / "secret").write_text("of the host")
    return path


@pytest.fixture(scope="module")
def trap(daemon: Wharfd, outside: Path) -> Iterator[str]:
    """Busybox with links that lead to `outside` when they are resolved on the host."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, target in (
            ("abs", str(outside)),
            ("up", "../../../../../.." + str(outside)),
            ("file", f"{outside}/secret"),
            ("procroot", "/proc/1/root"),
            ("deep/loop", "loop"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    load(daemon, docker_archive("trap:1", [layer_tar(), out.getvalue()]))
    yield "trap:1"
    daemon.docker("rmi", "-f", "trap:1")


def load(daemon: Wharfd, archive: bytes) -> None:
    path = Path(daemon.root) / "trap.tar"
    path.write_bytes(archive)
    daemon.docker("load", "-i", str(path))
    path.unlink()


def unchanged(outside: Path) -> bool:
    return os.listdir(outside) == ["secret"] and (outside / "secret").read_text() == "of the host"


@pytest.mark.parametrize("target", ["/abs", "/up", "/abs/new/one", "/abs/../x", "/procroot/x"])
@pytest.mark.parametrize("kind", ["bind", "volume", "tmpfs"])
def test_mounts_at_links_stay_inside(
    api: Client, daemon: Wharfd, trap: str, outside: Path, tmp_path: Path, target: str, kind: str
) -> None:
    (tmp_path / "mounted").touch()
    hosts: dict[str, dict[str, Any]] = {
        "bind": {"Binds": [f"{tmp_path}:{target}"]},
        "volume": {"Binds": [f"vol:{target}"]},
        "tmpfs": {"Tmpfs": {target: ""}},
    }
    seen = posixpath.normpath(target)  # Docker takes `..` out of a target before it looks at links
    script = f"ls {seen} && touch {seen}/written && cat {seen}/secret"
    answer = api.run({"Image": trap, "HostConfig": hosts[kind], "Cmd": ["sh", "-c", script]})
    assert b"of the host" not in answer.body and b"Traceback" not in answer.body
    if kind == "bind" and not target.startswith("/procroot"):
        # The link was followed inside the container's root, and the host's directory is mounted where it ends.
        assert b"mounted" in answer.body and (tmp_path / "written").exists()
    assert unchanged(outside)
    assert set(os.listdir(tmp_path)) <= {"mounted", "written"}
    daemon.docker("volume", "rm", "-f", "vol")


@pytest.mark.parametrize(
    "directory", ["/abs", "/up/new", "/../../..", "/abs/../../..", "/procroot", "/file", "/deep/loop"]
)
def test_working_directories_stay_inside(api: Client, trap: str, outside: Path, directory: str) -> None:
    answer = api.run({"Image": trap, "WorkingDir": directory, "Cmd": ["sh", "-c", "cat secret; ls /"]})
    assert answer.status in (0, 400, 500), answer
    assert b"of the host" not in answer.body
    assert unchanged(outside)


@pytest.mark.parametrize("target", ["/dev", "/dev/", "/abs/../dev", "/proc/../dev"])
def test_a_dev_of_the_host_gets_no_devices(api: Client, tmp_path: Path, target: str) -> None:
    (tmp_path / "null").touch()
    (tmp_path / "ptmx").touch()
    api.run({"Cmd": ["true"], "HostConfig": {"Binds": [f"{tmp_path}:{target}"]}})
    assert set(os.listdir(tmp_path)) <= {"null", "ptmx", "pts", "shm", "mqueue", "console"}
    assert (tmp_path / "null").is_file() and not (tmp_path / "ptmx").is_symlink()


def test_a_device_stays_inside(api: Client, trap: str, outside: Path) -> None:
    for place in ("/abs/null", "/dev/../../../abs/x", "/up/x"):
        device = {"PathOnHost": "/dev/null", "PathInContainer": place, "CgroupPermissions": "rwm"}
        api.run({"Image": trap, "Cmd": ["true"], "HostConfig": {"Devices": [device]}})
        assert unchanged(outside)


@pytest.mark.parametrize("running", [False, True])
def test_copies_stay_inside(
    api: Client, daemon: Wharfd, trap: str, outside: Path, tmp_path: Path, running: bool
) -> None:
    verb = ["run", "-d"] if running else ["create"]
    container = daemon.docker(*verb, "--network", "none", trap, "sleep", "1000").stdout.strip()
    source = tmp_path / "new"
    source.write_text("new")
    try:
        for link in ("abs", "up", "procroot" + str(outside)):
            out = daemon.docker("cp", f"{container}:/{link}/secret", str(tmp_path / "stolen"), check=False)
            assert out.returncode != 0 and not (tmp_path / "stolen").exists(), link
            daemon.docker("cp", str(source), f"{container}:/{link}/new", check=False)
            daemon.docker("cp", str(source), f"{container}:/{link}", check=False)
            assert unchanged(outside)
        for path in (
            "/abs/secret",
            "/up/secret",
            "/file",
            "/procroot" + str(outside) + "/secret",
            "/../../" + str(outside),
        ):
            target = f"{V}/containers/{container}/archive?path={quote(path)}"
            answer = api.ask("GET", target)
            assert b"of the host" not in answer.body
            assert answer.status == 404 or (path == "/file" and answer.status == 200), (path, answer)
        assert unchanged(outside)
    finally:
        daemon.docker("rm", "-f", container)


def hostile_tar(outside: Path) -> bytes:
    """Links out, then files through them; absolute names; names with `..`; a hard link to the host's file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, link in (
            ("out", tarfile.SYMTYPE, str(outside)),
            ("out/through", tarfile.REGTYPE, ""),
            (f"{outside}/absolute", tarfile.REGTYPE, ""),
            (f"../../../../../..{outside}/up", tarfile.REGTYPE, ""),
            ("hard", tarfile.LNKTYPE, f"{outside}/secret"),
            ("out/secret", tarfile.REGTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            tar.addfile(info)
    return out.getvalue()


@pytest.mark.parametrize("place", ["/tmp", "/abs", "/up", "/procroot/tmp", "/tmp/../.."])
def test_archives_put_stay_inside(api: Client, daemon: Wharfd, trap: str, outside: Path, place: str) -> None:
    container = daemon.docker("create", trap).stdout.strip()
    try:
        target = f"{V}/containers/{container}/archive?path={quote(place)}"
        answer = exchange(api.path, request("PUT", target, hostile_tar(outside), "application/x-tar"))
        assert answer.status >= 200
        assert unchanged(outside)
        broken = exchange(api.path, request("PUT", target, b"no tar at all" * 100, "application/x-tar"))
        assert broken.status >= 400
    finally:
        daemon.docker("rm", "-f", container)


def test_nothing_is_copied_into_what_is_read_only(api: Client, daemon: Wharfd, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    flags = ["--read-only", "-v", f"{inside}:/ro:ro"]
    container = daemon.docker("run", "-d", "--network", "none", *flags, "busybox", "sleep", "1000").stdout.strip()
    source = tmp_path / "new"
    source.write_text("new")
    try:
        for place in ("/etc/new", "/ro/new"):
            out = daemon.docker("cp", str(source), f"{container}:{place}", check=False)
            assert out.returncode != 0, place
            assert "read-only" in out.stderr
        assert os.listdir(inside) == []
    finally:
        daemon.docker("rm", "-f", container)


@pytest.mark.parametrize(
    "config",
    [
        {"Env": ["A=1\nB=2", "=x", "", "NOEQUALS", "C=\0"]},
        {"User": "../../x"},
        {"User": "a\nb:c"},
        {"Volumes": {"/../..": {}}},
        {"Volumes": {"/a/../../..": {}, "rel": {}}},
        {"Volumes": {"/abs/v": {}}},
        {"Volumes": {"/a:/etc": {}}},
        {"WorkingDir": "../../.."},
        {"WorkingDir": "/abs/../../x"},
        {"Cmd": ["a\0b"], "Entrypoint": ["../../bin/sh"]},
        {"ExposedPorts": {"99999/tcp": {}, "x": {}}},
        {"Labels": {"": "x", "a\nb": "y"}},
        {"StopSignal": "SIGNOPE"},
        {"Healthcheck": {"Test": ["WAT"], "Interval": -5}},
        {"OnBuild": ["RUN x"], "Shell": ["\0"]},
        {"Env": "A=1"},
        {"Cmd": {"a": 1}},
        {"Volumes": ["/a"]},
        {"Labels": {"a": 1}},
        {"User": 5},
    ],
)
def test_images_with_a_hostile_config(
    api: Client, daemon: Wharfd, trap: str, outside: Path, config: dict[str, Any]
) -> None:
    """Refused by `load`, by `create`, or harmless: never a fault of ours, never outside."""
    archive = docker_archive("evil:1", config=config)
    answer = exchange(api.path, request("POST", f"{V}/images/load", archive, "application/x-tar"))
    assert answer.status == 200
    lines = [json.loads(line) for line in answer.body.splitlines()]
    try:
        if any("error" in line for line in lines):
            return
        for view in ("json", "history"):
            assert api.ask("GET", f"{V}/images/evil:1/{view}").status == 200
        given = {} if "Cmd" in config else {"Cmd": ["true"]}
        run = api.run({"Image": "evil:1", **given})
        assert run.status == 0 or "Traceback" not in run.message, run
        assert unchanged(outside)
    finally:
        daemon.docker("rmi", "-f", "evil:1", check=False)


def test_nothing_mounted_is_left(daemon: Wharfd, trap: str) -> None:
    held = subprocess.run(["findmnt", "-rno", "TARGET"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in held.splitlines() if line.startswith(daemon.root)]
