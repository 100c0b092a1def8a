"""`python -m bench`: a table of medians and ratios. See --help."""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench import api, build, compose, engines, memory, network, processor, registry, registry_server
from bench.archive import docker_archive
from bench.cases import MANY, Case, cases, files_layer
from bench.engines import Engine
from bench.load import percentiles_under_load
from bench.names import names

DISK_PLACE = ".cache/bench"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        epilog="example: make bench PEERS=/opt/peers ENTER=/opt/enter REPEAT=20; or: make bench BEFORE=../old",
    )
    env = os.environ.get
    parser.add_argument("--peers", default=env("PEERS", ""), help="root directory that holds the peer's dockerd")
    parser.add_argument(
        "--enter", default=env("ENTER", ""), help="script that runs a command in it: SCRIPT enter ROOT CMD"
    )
    parser.add_argument(
        "--before", default=env("BEFORE", ""), help="or: a checkout of Wharf with its set-up done, to compare with"
    )
    parser.add_argument("--repeat", type=int, default=int(env("REPEAT", "20")))
    parser.add_argument("--only", default=env("ONLY", ""), help="rows whose name contains this")
    parser.add_argument(
        "--disk", action="store_true", default=bool(env("DISK", "")), help="data on the disk, not tmpfs"
    )
    parser.add_argument(
        "--no-load", action="store_true", default=bool(env("NO_LOAD", "")), help="leave out the loaded rows"
    )
    return parser.parse_args()


def main() -> int:
    """Runs in a network namespace of its own, so that nothing it starts touches the host's."""
    options = arguments()
    if os.environ.get("WHARF_BENCH_INSIDE") != "1":
        compose.save_images(options.only)
        registry.fetch_peer(options.only)
        os.environ["WHARF_BENCH_INSIDE"] = "1"
        command = [*engines.IN_OWN_NETWORK, sys.executable, "-m", "bench", *sys.argv[1:]]
        os.execvp(command[0], command)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends, as after ^C
    client = [find_client()]
    place = str(Path(DISK_PLACE).absolute()) if options.disk else "/dev/shm"
    os.makedirs(place, exist_ok=True)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wharf-bench-work-", dir="/dev/shm")))
        os.environ["DOCKER_CONFIG"] = str(work)
        prepare(work)
        peers = [stack.enter_context(engines.wharf(client, place))]
        print_daemon_memory(peers[0])
        if options.peers:
            peers.append(stack.enter_context(engines.docker(client, place, options.peers, options.enter)))
            print_daemon_memory(peers[1])
        elif options.before:
            peers.append(stack.enter_context(engines.wharf(client, place, options.before, "before")))
            print_daemon_memory(peers[1])
        for engine in peers:
            engine.run("load", "-i", str(work / "busybox.tar"))
        start = statistics.median(
            timed(lambda: subprocess.run([*client, "--version"], check=True, stdout=-3)) for _ in range(20)
        )
        print(f"the client's own start: {start * 1000:.0f} ms, in every figure of both")
        print(f"data on {'disk' if options.disk else 'tmpfs'}, medians of {options.repeat}, seconds\n")
        print(f"{'':32}" + "".join(f"{engine.name:>10}" for engine in peers) + f"{'ratio':>8}{'goal':>7}")
        for case in cases(work):
            if options.only in case.name:
                measure(case, peers, options.repeat)
        if options.only in "dns":
            names(peers)
        registry_server.rows(work, min(options.repeat, 10), options.only, row)
        build.rows(peers, work, min(options.repeat, 10), options.only, options.peers, row)
        compose.rows(peers, work, min(options.repeat, 10), options.only, options.peers, row)
        api.rows(peers, min(options.repeat, 10), options.only, row)
        pulls(peers, work, options)
        network.rates(peers, min(options.repeat, 10), options.only)
        if not options.only:
            idle_memory(peers)
            command_line(peers[0], options.repeat)
        if not options.no_load and not options.only:
            percentiles_under_load(peers, work, options.repeat)
    return 0


def find_client() -> str:
    """The host's docker command line, or the one that set-up unpacked for the tests.

    The host's first: builds differ in what their own start costs (10 ms to 45 ms), which is in every figure.
    """
    unpacked = Path(".cache/docker-client/usr/bin/docker")
    return os.environ.get("CLIENT") or shutil.which("docker") or str(unpacked.absolute())


def prepare(work: Path) -> None:
    """The inputs: a base image, a root with many files, and the same as an image."""
    from tests.support.busybox import docker_archive as busybox_archive

    (work / "busybox.tar").write_bytes(busybox_archive("busybox:latest"))
    layer = files_layer()
    (work / "files.tar").write_bytes(layer)
    (work / "image.tar").write_bytes(docker_archive(layer, "files:load"))


def timed(call: Callable[[], object]) -> float:
    """Seconds of wall clock."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(case: Case, peers: list[Engine], repeat: int, accounts: list[processor.Account] | None = None) -> None:
    """One row, two where the case has a second half: the engines take turns. With accounts a row of processor time."""
    halves = [half for half in (case, case.then) if half]
    samples: dict[tuple[str, str], list[float]] = {(half.name, engine.name): [] for half in halves for engine in peers}
    spent: dict[str, list[float]] = {engine.name: [] for engine in peers}
    for engine in peers:
        case.once(engine)
    for _ in range(min(repeat, case.most or repeat)):
        for number, engine in enumerate(peers):
            case.before(engine)
            before = accounts[number].seconds() if accounts else 0.0
            for half in halves:
                start = time.perf_counter()
                half.timed(engine)
                samples[half.name, engine.name].append(time.perf_counter() - start)
            spent[engine.name].append(accounts[number].seconds() - before if accounts else 0.0)
            case.after(engine)
    for engine in peers:
        case.finish(engine)
    for half in halves:
        row(half.name, [statistics.median(samples[half.name, engine.name]) for engine in peers], half.goal)
    if accounts:
        row("    processor time", [statistics.median(spent[engine.name]) for engine in peers])


def row(name: str, figures: list[float], goal: float | None = None, unit: str = "") -> None:
    """Print a row; the ratio is Wharf's figure over the peer's."""
    text = f"{name:32}" + "".join(f"{figure:>10.3f}" for figure in figures)
    if len(figures) > 1:
        text += f"{figures[0] / figures[1]:>8.2f}" if figures[1] else f"{'–':>8}"
    print(text + (f"{goal:>7.2f}" if goal else "") + unit, flush=True)


def pulls(peers: list[Engine], work: Path, options: argparse.Namespace) -> None:
    """The rows of pulls and pushes; Podman, which has no daemon to listen, joins for these."""
    repeat = min(options.repeat, 10)
    wanted = [case for case in registry.cases(work) if options.only in case.name]
    others = ((registry.AGAIN, registry.at_the_engine), (registry.MEMORY, registry.pull_memory))
    rest = [(name, call) for name, call in others if options.only in name]
    names = [*(case.name for case in wanted), *(name for name, _ in rest)]
    if not names:
        return
    with ExitStack() as stack:
        more = []
        if options.peers:
            hosts = (registry.HOST, registry.OURS)
            more.append(stack.enter_context(engines.podman("/dev/shm", options.peers, options.enter, hosts)))
            print(f"{'':32}" + "".join(f"{engine.name:>10}" for engine in [*peers, *more]))
        stack.enter_context(registry.registries([*peers, *more], work, names))
        accounts = [stack.enter_context(processor.account(engine)) for engine in [*peers, *more]]
        for case in wanted:
            measure(case, [*peers, *more], repeat, accounts)
        for _, call in rest:
            call(peers, repeat, row)


def print_daemon_memory(engine: Engine) -> None:
    """Proportional memory of everything the engine runs when it is idle."""
    pids = memory.network_mates(engine.pid)
    total = sum(memory.resident(pid) for pid in pids)
    print(f"{engine.name}: {total / 1e6:.1f} MB in {len(pids)} processes after start", flush=True)


def idle_memory(peers: list[Engine]) -> None:
    """Private memory that an idle container with a published port adds, in MB: its helpers, without its own process."""
    figures = []
    for engine in peers:
        before = sum(memory.private(pid) for pid in memory.network_mates(engine.pid))
        for number in range(MANY):
            engine.run("run", "-d", "--name", f"idle-{number}", "-p", "80", "busybox", "sleep", "1000")
        time.sleep(1)
        after = sum(memory.private(pid) for pid in memory.network_mates(engine.pid))
        engine.run("rm", "-f", *(f"idle-{number}" for number in range(MANY)))
        figures.append((after - before) / MANY / 1e6)
    row("MB per idle container", figures)


def command_line(engine: Engine, repeat: int) -> None:
    """`wharf ps` beside `python3 -c pass` of the same environment."""
    python, command = str(Path(".venv/bin/python").absolute()), str(Path(".venv/bin/wharf").absolute())
    ours = [
        timed(lambda: subprocess.run([command, "-H", engine.host, "ps"], check=True, stdout=-3)) for _ in range(repeat)
    ]
    bare = [timed(lambda: subprocess.run([python, "-c", "pass"], check=True)) for _ in range(repeat)]
    row("wharf ps : python3 -c pass", [statistics.median(ours), statistics.median(bare)], 2.0)


if __name__ == "__main__":
    sys.exit(main())
