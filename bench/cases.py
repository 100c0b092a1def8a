"""The work that is timed. A case gives (set up once, before each, the timed call, after each)."""

import io
import random
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench import network
from bench.engines import Engine

Step = Callable[[Engine], object]
FILES = 20_000
FILE_SIZE = 5_800
COMMIT_FILES = 2_000
OUTPUT_BYTES = 100_000_000
MANY = 50


def nothing(engine: Engine) -> None:
    """No preparation."""


@dataclass(frozen=True)
class Case:
    """One row of the table; `goal` is the ratio to reach."""

    name: str
    timed: Step
    goal: float
    once: Step = nothing
    before: Step = nothing
    after: Step = nothing
    finish: Step = nothing
    then: "Case | None" = None
    """Work that undoes this one and is timed as a row of its own."""
    most: int = 0
    """Repeats, if that is fewer than asked for: work of half a minute is not done twenty times."""


def files_layer(count: int = FILES) -> bytes:
    """A tar of `count` small files of reproducible noise, 200 to a directory."""
    noise = random.Random(7).randbytes(FILE_SIZE * 2)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(count):
            if number % 200 == 0:
                directory = tarfile.TarInfo(f"data/{number // 200:04}")
                directory.type, directory.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(directory)
            entry = tarfile.TarInfo(f"data/{number // 200:04}/file-{number:06}")
            entry.size, entry.mode = FILE_SIZE, 0o644
            start = number % FILE_SIZE
            tar.addfile(entry, io.BytesIO(noise[start : start + FILE_SIZE]))
    return out.getvalue()


def cases(work: Path) -> list[Case]:
    """All rows; `work` holds `files.tar` (a root with 20,000 files) and `image.tar` (the same as a docker archive)."""

    def run(*options: str) -> Step:
        return lambda engine: engine.run("run", "--rm", *options, "busybox", "true")

    def together(engine: Engine) -> None:
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: engine.run("run", "--rm", "busybox", "true"), range(20)))

    def remove_image(name: str) -> Step:
        return lambda engine: engine.run("rmi", "-f", name, check=False)

    def start_many(engine: Engine) -> None:
        for number in range(MANY):
            engine.run("run", "-d", "--name", f"many-{number}", "-p", "80", "busybox", "sleep", "1000")

    def remove_many(engine: Engine) -> None:
        engine.run("rm", "-f", *(f"many-{number}" for number in range(MANY)))

    def write_files(engine: Engine) -> None:
        script = f"mkdir /w && cd /w && i=0; while [ $i -lt {COMMIT_FILES} ]; do echo $i > $i; i=$((i+1)); done"
        engine.run("run", "--name", "writer", "--network", "none", "busybox", "sh", "-c", script)

    line = "0123456789" * 7 + "012345678"
    output = f"yes {line} | head -c {OUTPUT_BYTES}"
    return [
        Case("run, network none", run("--network", "none"), 0.25),
        Case("run, bridge", run(), 0.20),
        Case("run, published port", run("-p", "80"), 0.20),
        Case(
            "exec",
            lambda engine: engine.run("exec", "exec-target", "true"),
            0.40,
            once=lambda e: e.run("run", "-d", "--name", "exec-target", "busybox", "sleep", "10000"),
            finish=lambda e: e.run("rm", "-f", "exec-target"),
        ),
        Case("20 runs at once", together, 0.25),
        Case("50 x run -d -p", start_many, 0.25, then=Case("rm -f of the 50", remove_many, 0.25)),
        Case(
            "run, user network, published port",
            run("--network", network.NETWORK, "-p", "80"),
            0.20,
            once=network.make_network,
            finish=network.remove_network,
        ),
        Case(
            f"{network.CROWD} on one network",
            network.start_crowd,
            0.25,
            once=network.make_network,
            finish=network.remove_network,
            then=Case(f"rm -f of the {network.CROWD}", network.remove_crowd, 0.25),
            most=3,
        ),
        Case(
            f"load of {FILES} files",
            lambda engine: engine.run("load", "-i", str(work / "image.tar")),
            0.25,
            before=remove_image("files:load"),
            finish=remove_image("files:load"),
        ),
        Case(
            f"import of {FILES} files",
            lambda engine: engine.run("import", str(work / "files.tar"), "files:import"),
            0.20,
            before=remove_image("files:import"),
            finish=remove_image("files:import"),
        ),
        Case(
            f"commit of {COMMIT_FILES} files",
            lambda engine: engine.run("commit", "writer", "files:commit"),
            0.35,
            once=write_files,
            before=remove_image("files:commit"),
            finish=lambda engine: (engine.run("rm", "writer"), engine.run("rmi", "-f", "files:commit", check=False)),
        ),
        Case(
            "100 MB of output, logged",
            lambda engine: engine.run("run", "--rm", "--network", "none", "busybox", "sh", "-c", output),
            0.50,
        ),
    ]
