"""Twenty Dockerfiles (`repeat/`) built by two engines that have nothing in common but the files' contents.

                first engine              second engine
    clock       the host's                years ahead (libfaketime, in the engine and in every RUN)
    data root   beneath /tmp              beneath /dev/shm, for containers whose root is another user (userns-remap)
    context     owned by root             another path, another owner, later times, files made in another order

Their digests must be equal. Packages come from an archive that the test makes.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.debian import FAKED, WHARF, debian_archive
from tests.support.remapped import Remapped
from tests.support.wharfd import ROOT, Wharfd

DOCKERFILES = sorted(Path(__file__).parent.glob("repeat/*.Dockerfile"))
SECONDS_AHEAD = 3 * 365 * 86400 + 12345
YEARS = [time.gmtime().tm_year + 1, time.gmtime().tm_year + 5]
"""What the clocks of the steps show."""
FILES = {"files/a": "a", "files/b": "b", "files/deep/er/c": "c", "files/deep/d": "d", ".dockerignore": "ignored\n"}
TOOL = {
    "usr/bin/repeat-tool": "#!/bin/sh\necho tool\n",
    "usr/share/repeat-tool/data": "data\n",
    "etc/repeat-tool.conf": "a = 1\n",
}
SERVER = {"usr/sbin/repeat-server": "#!/bin/sh\nexec sleep infinity\n", "etc/repeat-server/server.conf": "port = 1\n"}
POSTINST = """#!/bin/sh
set -e
useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin repeat || true
echo "configured at $(date)" >>/var/log/repeat-server.log
update-alternatives --install /usr/bin/repeat repeat /usr/sbin/repeat-server 10
ldconfig
"""


def package(archive: Path, name: str, files: dict[str, str], *, depends: str = "", postinst: str = "") -> str:
    """Make NAME.deb with dpkg-deb; its paragraph for the index (deb-control(5))."""
    tree = archive / f"{name}.tree"
    control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: Test <t@example.org>\nDescription: test\n"
    control += f"Depends: {depends}\n" if depends else ""
    conffiles = "".join(f"/{path}\n" for path in files if path.startswith("etc/"))
    for path, text in {**files, "DEBIAN/control": control, "DEBIAN/conffiles": conffiles}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
        (tree / path).chmod(0o755 if "bin/" in path else 0o644)
    if postinst:
        (tree / "DEBIAN/postinst").write_text(postinst)
        (tree / "DEBIAN/postinst").chmod(0o755)
    built = archive / f"{name}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree), str(built)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "SOURCE_DATE_EPOCH": "1600000000"})
    shutil.rmtree(tree)
    digest = hashlib.sha256(built.read_bytes()).hexdigest()
    return f"{control}Filename: ./{name}.deb\nSize: {built.stat().st_size}\nSHA256: {digest}\n"


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The context, as its author has it."""
    root = tmp_path_factory.mktemp("repeat")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "archive").mkdir()
    index = [package(root / "archive", "repeat-tool", TOOL)]
    index.append(package(root / "archive", "repeat-server", SERVER, depends="repeat-tool", postinst=POSTINST))
    (root / "archive/Packages").write_text("\n".join(index))
    shutil.copytree(ROOT / "catalog/shared", root / "shared")
    with tarfile.open(root / "files.tar", "w") as tar:
        tar.add(root / "files", "files")
    return root


def copy_of(originals: Path, target: Path, *, owner: int, seconds: int, backwards: bool) -> Path:
    """The same files somewhere else: contents and modes stay, nothing else does."""
    target.mkdir(parents=True)
    for path in sorted(originals.rglob("*"), reverse=False):
        if path.is_dir():
            (target / path.relative_to(originals)).mkdir()
    files = [path for path in sorted(originals.rglob("*"), reverse=backwards) if path.is_file()]
    for path in files:
        shutil.copyfile(path, target / path.relative_to(originals))
    for path in (target, *target.rglob("*")):
        mode = (originals / path.relative_to(target)).stat().st_mode & 0o777
        path.chmod(0o755 if path.is_dir() or mode & 0o100 else 0o644)
        os.chown(path, owner, owner)
        os.utime(path, (seconds, seconds))
    return target


class Engine:
    """One of the two, with its copy of the context and its clock."""

    def __init__(self, daemon: Wharfd, context: Path, clock: str) -> None:
        self.daemon, self.context, self.clock = daemon, context, clock

    def build(self, file: Path) -> dict[str, object]:
        """The image's description."""
        clock = self.context.parent / f"clock-{os.getpid()}"
        clock.write_text(self.clock + "\n")
        name = file.stem
        done = subprocess.run(
            [WHARF, "build", "-q", "--no-cache", "-t", name, "--secret", f"id=clock,src={clock}", "-f", str(file),
             str(self.context)],
            env=self.daemon.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:] + self.daemon.log()
        found: dict[str, object] = json.loads(self.daemon.docker("image", "inspect", name).stdout)[0]
        return found

    def saved(self, name: str) -> Path:
        """An archive of an image."""
        saved = Path(self.daemon.root) / f"{name}.tar"
        self.daemon.docker("save", "-o", str(saved), name)
        return saved


def entries(saved: Path) -> dict[str, str]:
    """Every file of every layer of an archive with what there is to it, to say what differs."""
    found = {}
    with tarfile.open(saved) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        for number, layer in enumerate(manifest[0]["Layers"]):
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                for item in files:
                    file = files.extractfile(item) if item.isreg() else None
                    digest = hashlib.sha256(file.read()).hexdigest()[:12] if file else item.linkname
                    facts = (item.type, oct(item.mode), item.uid, item.gid, int(item.mtime), item.size, digest)
                    found[f"{number}:/{item.name}"] = " ".join(map(str, facts))
    return found


def difference(one: Path, other: Path) -> str:
    """What two archives have unlike, for a person."""
    left, right = entries(one), entries(other)
    unlike = [name for name in sorted(left.keys() | right.keys()) if left.get(name) != right.get(name)]
    return "\n".join(f"{name}: {left.get(name)} / {right.get(name)}" for name in unlike[:40])


@contextlib.contextmanager
def ahead(place: str) -> Iterator[Wharfd]:
    """An engine whose clock is years ahead: libfaketime out of the test's image, preloaded into wharfd."""
    with Remapped(place=place) as probe:
        probe.docker("load", "-i", str(debian_archive()))
        made = probe.docker("create", FAKED, "x").stdout.strip()
        library = f"{probe.root}/libfaketime.so.1"
        probe.docker("cp", f"{made}:/usr/lib/libfaketime.so.1", library)
        probe.docker("rm", made)
        probe.stop()
        clock = {"LD_PRELOAD": library, "FAKETIME": f"+{SECONDS_AHEAD}"}
        clock |= {"NO_FAKE_STAT": "1", "FAKE_UTIME": "0"}
        probe.program = ["env", *(f"{key}={value}" for key, value in clock.items()), *probe.program]
        probe.start()
        yield probe


@pytest.fixture(scope="module")
def engines(originals: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    now = int(time.time())
    places = tmp_path_factory.mktemp("a") / "context", tmp_path_factory.mktemp("b") / "another/place"
    here = copy_of(originals, places[0], owner=0, seconds=now, backwards=False)
    there = copy_of(originals, places[1], owner=1234, seconds=now + 10**8, backwards=True)
    with Wharfd() as first, ahead("/dev/shm") as second:
        first.docker("load", "-i", str(debian_archive()))
        for daemon in (first, second):
            daemon.docker("tag", FAKED, "base")
        yield Engine(first, here, f"@{YEARS[0]}-06-01 10:00:00"), Engine(second, there, f"@{YEARS[1]}-02-03 04:05:06")


def test_the_second_engine_lives_in_the_future(engines: tuple[Engine, Engine]) -> None:
    first, second = (engine.daemon.docker("info", "--format", "{{.SystemTime}}").stdout[:4] for engine in engines)
    assert int(second) - int(first) in (3, 4) and int(first) == time.gmtime().tm_year
    clocks = []
    for engine in engines:
        engine.daemon.docker("rm", "-f", "c", check=False)
        flag = f"{engine.context.parent}/rc"
        Path(flag).write_text(engine.clock + "\n")
        clocks.append(engine.daemon.docker("run", "--rm", "-v", f"{flag}:/etc/faketimerc:ro", "base", "date", "+%Y"))
    assert [int(done.stdout) for done in clocks] == YEARS


def test_there_are_twenty() -> None:
    assert len(DOCKERFILES) >= 20


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.stem)
def test_equal_digests(engines: tuple[Engine, Engine], file: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda engine: engine.build(file), engines)
    if one["Id"] != other["Id"]:
        left, right = (engine.saved(file.stem) for engine in engines)
        pytest.fail(difference(left, right) or f"{one}\n{other}")


def test_equal_archives(engines: tuple[Engine, Engine]) -> None:
    """Byte for byte, as another machine would get it."""
    file = next(file for file in DOCKERFILES if file.stem == "stages")
    for engine in engines:
        engine.build(file)
    left, right = (engine.saved(file.stem) for engine in engines)
    assert left.read_bytes() == right.read_bytes()
