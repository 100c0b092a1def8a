"""The Debian package in a fresh root: installed, used, upgraded, removed, purged; nothing is left.

Run by `make test-dist` (it needs a package archive and a minute or two), not by `make test`.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import ROOT

if not os.environ.get("WHARF_TEST_DIST"):
    pytest.skip("the package is tested by `make test-dist`", allow_module_level=True)

INCLUDED = "python3,init-system-helpers,libseccomp2,nftables,passwd,busybox-static,ca-certificates"
SCRIPT = """
import json, os, socket, subprocess, sys
os.makedirs("/run/wharf", exist_ok=True)
passed = socket.socket(socket.AF_UNIX); passed.bind("/run/wharf/wharf.sock"); passed.listen()
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); notify.bind("/run/n"); notify.settimeout(60)
env = {**os.environ, "LISTEN_FDS": "1", "NOTIFY_SOCKET": "/run/n"}
boot = "import os,sys; os.dup2(int(sys.argv[1]),3); os.environ['LISTEN_PID']=str(os.getpid()); "
boot += "os.execv(sys.argv[2],sys.argv[2:])"
daemon = subprocess.Popen(["python3", "-c", boot, str(passed.fileno()), "/usr/bin/wharfd", "-H", "fd://"],
                          env=env, pass_fds=[passed.fileno()])
try:
    assert notify.recv(100) == b"READY=1"
    out = subprocess.run(["wharf", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True)
    print("server", out.stdout.strip(), out.stderr)
    os.chdir("/")
    make = "mkdir -p /box/bin && cp /bin/busybox /box/bin/busybox && tar -C /box -c . | wharf import - box"
    tar = subprocess.run(make, shell=True, capture_output=True, text=True)
    print("import", tar.returncode, tar.stderr)
    words = ["wharf", "run", "--rm", "box", "/bin/busybox", "echo", "inside"]
    run = subprocess.run(words, capture_output=True, text=True)
    print("ran", run.stdout.strip(), run.stderr)
finally:
    daemon.terminate()
    print("ended", daemon.wait(60))
    os.unlink("/run/n")
    subprocess.run(["rm", "-rf", "/box"])
"""


@pytest.fixture(scope="module")
def packages() -> list[Path]:
    """The package, and one of a later version from the same sources."""
    found = []
    for version in ("", "99.0"):
        environment = {**os.environ, **({"VERSION": version} if version else {})}
        subprocess.run([str(ROOT / "tools/dist")], env=environment, check=True, stdout=subprocess.DEVNULL)
        found.append(max((ROOT / "dist").glob("wharf_*.deb"), key=lambda path: path.stat().st_mtime))
    return found


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    place = tempfile.mkdtemp(prefix="wharf-dist-", dir="/tmp")
    sources = subprocess.run(
        ["apt-get", "indextargets", "--format", "deb $(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    suite = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())
    assert suite
    first = next(line for line in sources.stdout.splitlines() if suite[1] in line.split())
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={INCLUDED}", suite[1], place]
    subprocess.run([*command, first.split()[1]], check=True)
    yield Path(place)
    shutil.rmtree(place)


def inside(root: Path, *command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run in the root, in mount, pid and network namespaces of its own with the host's /proc, /sys and /dev."""
    script = (
        "mount --bind $0 $0; ip link set lo up 2>/dev/null; for d in sys dev; do mount --rbind /$d $0/$d; done; "
        'mount -t proc proc $0/proc; exec chroot "$0" "$@"'
    )
    prefix = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(
        [*prefix, "sh", "-c", script, str(root), *command], env=clean, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done


def files(root: Path) -> set[str]:
    """Every path in the root but what any dpkg run changes."""
    skip = ("proc", "sys", "dev", "tmp", "var/log", "var/lib/dpkg", "var/cache")
    found = set()
    for directory, names, plain in os.walk(root):
        relative = os.path.relpath(directory, root)
        names[:] = [name for name in names if os.path.normpath(f"{relative}/{name}") not in skip]
        found.update(os.path.normpath(f"{relative}/{name}") for name in [*names, *plain])
    return found


def test_life_of_the_package(root: Path, packages: list[Path]) -> None:
    before, groups = files(root), (root / "etc/group").read_text()
    for package in packages:
        shutil.copy(package, root / "tmp")
    inside(root, "dpkg", "-i", f"/tmp/{packages[0].name}")
    assert re.search(r"^wharf:x:\d+:$", (root / "etc/group").read_text(), re.M)
    assert (root / "etc/systemd/system/sockets.target.wants/wharf.socket").is_symlink()
    assert inside(root, "wharfd", "--version").stdout.startswith("Wharf version ")
    assert inside(root, "wharfd", "--validate").stdout == "configuration OK\n"
    assert inside(root, "wharf-runtime", "--version").returncode == 0
    _serves(root)

    (root / "etc/wharf").mkdir()
    (root / "etc/wharf/daemon.json").write_text('{"debug": true}')
    inside(root, "dpkg", "-i", f"/tmp/{packages[1].name}")
    assert "99.0" in inside(root, "dpkg-query", "-W", "-f", "${Version}", "wharf").stdout
    assert (root / "etc/wharf/daemon.json").exists(), "an upgrade leaves the settings alone"

    inside(root, "dpkg", "-r", "wharf")
    assert not (root / "usr/lib/wharf").exists() and (root / "etc/wharf/daemon.json").exists()
    inside(root, "dpkg", "-P", "wharf")
    backups = {"etc/group-", "etc/gshadow-"}  # groupadd(8)'s and groupdel(8)'s own copies
    assert files(root) - before - backups == set()
    assert (root / "etc/group").read_text() == groups


def _serves(root: Path) -> None:
    (root / "tmp/serve.py").write_text(SCRIPT)
    done = inside(root, "python3", "/tmp/serve.py", check=False)
    assert "server 0." in done.stdout and "ended 0" in done.stdout, done.stdout + done.stderr
    assert "ran inside" in done.stdout, done.stdout + done.stderr


def test_units_are_sound(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this host")
    for unit in ("wharf.service", "wharf.socket"):
        text = (ROOT / "packaging/systemd" / unit).read_text()
        (tmp_path / unit).write_text(text.replace("/usr/bin/wharfd", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in os.listdir(tmp_path))],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "wharf" not in done.stderr, done.stderr
