"""The soak: `make soak`. Thousands of runs and hundreds of kills on one engine; then nothing may have grown, every
container must be in a true state, and no line may be missing from a log.

    WHARF_SOAK_RUNS=1000 WHARF_SOAK_KILLS=200 WHARF_SOAK_LAUNCHER_KILLS=50 WHARF_SOAK_MONITOR_KILLS=20
    WHARF_SOAK_CONTAINERS=20 WHARF_SOAK_SEED=<number>
"""

import contextlib
import os
import pty
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.soak.growth import State, growth, state
from tests.soak.kills import Kill, KillDaemon, KillLauncher, KillMonitor
from tests.soak.truth import COUNT, PAYLOAD_SIZE, Truth
from tests.support.inventory import left, take
from tests.support.wharfd import Wharfd, docker_client
from wharf.network.names import instance_id

RUNS = int(os.environ.get("WHARF_SOAK_RUNS", "1000"))
KILLS = int(os.environ.get("WHARF_SOAK_KILLS", "200"))
LAUNCHER_KILLS = int(os.environ.get("WHARF_SOAK_LAUNCHER_KILLS", "50"))
MONITOR_KILLS = int(os.environ.get("WHARF_SOAK_MONITOR_KILLS", "20"))
CONTAINERS = int(os.environ.get("WHARF_SOAK_CONTAINERS", "20"))
SEED = int(os.environ.get("WHARF_SOAK_SEED", str(random.SystemRandom().randrange(10**6))))
KEPT = ("kept-0", "kept-1")
"""Run all the while: their monitors live through everything."""
WARM_UP = 30
TRIES = 5
"""Blows for each kill that counts."""
GONE_SECONDS = 20.0
PAYLOADS = ("x", "y")


class Soak:
    """One engine under load."""

    def __init__(self, daemon: Wharfd) -> None:
        self.daemon = daemon
        self.chance = random.Random(SEED)
        self.names = [f"soak-{number}" for number in range(CONTAINERS)]
        self.problems: list[str] = []
        self.truth = Truth(daemon, [*KEPT, *self.names], self.problems)
        self._told = 0

    def tell(self) -> None:
        """Print what was found since the last time: a soak that is cut short has said what it knew."""
        for problem in self.problems[self._told :]:
            print(f"PROBLEM {problem}", flush=True)
        self._told = len(self.problems)

    # -- phases

    def compare(self, what: str, before: State) -> None:
        """Say and remember what has grown since `before`."""
        self.problems += [f"{what}: {text}" for text in growth(self.daemon, before)]

    def warm_up(self) -> None:
        """Every kind of request once or more, so that what is loaded and kept at first use is there."""
        for _ in range(WARM_UP):
            self.daemon.docker("run", "--rm", "-p", "18066:80", "busybox", "true")
        for name in (*KEPT, *self.names):
            self.daemon.docker("logs", "--tail", "3", name, check=False)
            self.daemon.docker("exec", name, "true", check=False)
            self.daemon.docker("cp", f"{self.daemon.root}/{PAYLOADS[0]}/payload", f"{name}:/payload", check=False)
        self._client(["logs", "-f", "--tail", "1", KEPT[0]], 0.3)

    def runs(self) -> None:
        """`run --rm` again and again."""
        self.warm_up()
        before = state(self.daemon)
        for number in range(RUNS):
            out = self.daemon.docker("run", "--rm", "-p", "18066:80", "busybox", "echo", str(number))
            if out.stdout != f"{number}\n":
                self.problems.append(f"run {number} printed {out.stdout!r}")
        self.compare(f"{RUNS} runs", before)

    def kills(self, times: int, kill: Kill) -> None:
        """`kill -9` of one process at random moments of start, exec -it, cp, logs, run and stop."""
        self.warm_up()  # a wharfd that was started just now has its memory still to take
        before = state(self.daemon)
        counted = blows = 0
        while counted < times and blows < TRIES * times:
            with self._at_work(kill):
                time.sleep(self.chance.uniform(0, 0.5))  # the moment is the input
                struck = kill.strike()
            counted += kill.aftermath() and struck
            blows += 1
            self.tell()
            if blows % 50 == 0:
                print(f"  {counted} of {blows} blows killed, {len(self.problems)} problems", flush=True)
            logs = self.truth.names if blows % 10 == 0 else self.chance.sample(self.truth.names, 2)
            self.truth.look(f"{kill.what} {blows}", logs)
        print(f"  {counted} of {blows} blows killed", flush=True)
        if counted < times:
            self.problems.append(f"only {counted} of {times} {kill.what}s could be killed")
        for name in self.names:
            self.daemon.docker("start", name)
        self._strangers(kill.what)
        self.truth.look(f"after {times} × {kill.what}", self.truth.names)
        self.compare(f"{times} × {kill.what}", before)

    @contextlib.contextmanager
    def _at_work(self, kill: Kill) -> Iterator[None]:
        stop = threading.Event()
        seeds = [self.chance.random() for _ in range(2)]
        threads = [threading.Thread(target=self._work, args=(stop, seed, kill)) for seed in seeds]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _work(self, stop: threading.Event, seed: float, kill: Kill) -> None:
        chance = random.Random(seed)
        while not stop.is_set():
            name, other = chance.choice(self.names), chance.choice(self.truth.names)
            line = chance.choice((
                ["stop", "-t", "1", name], ["start", name], ["logs", "--tail", "3", other],
                ["logs", "-f", "--tail", "1", other], ["exec", "-it", other, "echo", "here"],
                ["cp", f"{self.daemon.root}/{chance.choice(PAYLOADS)}/payload", f"{other}:/payload"],
                ["run", "--rm", "busybox", "true"],
            ))  # fmt: skip
            if line != ["start", kill.spared]:
                self._client(line, 0.2 if "-f" in line else 0)

    def _client(self, line: list[str], cut: float) -> None:
        """One docker client on a terminal; with `cut` it is killed after so many seconds."""
        ours, theirs = pty.openpty()
        client = subprocess.Popen(
            [docker_client(), *line], env=self.daemon.environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        timer = threading.Timer(cut, client.kill)
        if cut:
            timer.start()
        with contextlib.suppress(OSError):
            while os.read(ours, 4096):
                pass
        os.close(ours)
        try:
            client.wait(30)
        except subprocess.TimeoutExpired:
            self.problems.append(f"docker {' '.join(line)} hangs")
            client.kill()
            client.wait()
        timer.cancel()

    def _strangers(self, when: str) -> None:
        """A `run --rm` that was cut before its start leaves a container that can still be started, as with Docker: it
        is removed here. One that has run is gone by itself."""
        deadline = time.monotonic() + GONE_SECONDS
        while (others := self._others()) and set(others.values()) != {"created"} and time.monotonic() < deadline:
            time.sleep(0.2)
        self.problems += [
            f"{when}: {name} of a `run --rm` is {word}" for name, word in others.items() if word != "created"
        ]
        if others:
            print(f"  {len(others)} runs were cut between create and start", flush=True)
            self.daemon.docker("rm", "-f", *others)

    def _others(self) -> dict[str, str]:
        listed = self.daemon.docker("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout.splitlines()
        return {name: word for name, word in map(str.split, listed) if name not in self.truth.names}

    # -- all

    def run(self) -> int:
        """All phases; how many problems."""
        daemon = self.daemon
        for letter in PAYLOADS:
            os.mkdir(f"{daemon.root}/{letter}")
            Path(f"{daemon.root}/{letter}/payload").write_bytes(letter.encode() * PAYLOAD_SIZE)
        self._begin(KEPT, 1_000_000)
        self._timed(f"{RUNS} × run --rm", self.runs)
        without = state(daemon)
        self._begin(self.names, 100_000)
        self._timed(f"{KILLS} × kill -9 of wharfd", lambda: self.kills(KILLS, KillDaemon(daemon)))
        launchers = KillLauncher(daemon, self.truth, KEPT[0])
        self._timed(f"{LAUNCHER_KILLS} × kill -9 of the launcher", lambda: self.kills(LAUNCHER_KILLS, launchers))
        monitors = KillMonitor(daemon, self.truth, self.names, self.chance)
        self._timed(f"{MONITOR_KILLS} × kill -9 of a monitor", lambda: self.kills(MONITOR_KILLS, monitors))
        daemon.docker("rm", "-f", *self.names)
        self._timed(f"without the {CONTAINERS}, as before them", lambda: self.compare("in the end", without))
        return len(self.problems)

    def _begin(self, names: tuple[str, ...] | list[str], pause: int) -> None:
        for name in names:
            self.daemon.docker("run", "-d", "--name", name, "busybox", "sh", "-c", COUNT.format(pause=pause))

    def _timed(self, what: str, phase: Callable[[], None]) -> None:
        began, had = time.monotonic(), len(self.problems)
        print(what, flush=True)
        phase()
        self.tell()
        print(f"  {time.monotonic() - began:.0f} s, {len(self.problems) - had} problems", flush=True)


def remains(daemon: Wharfd) -> list[str]:
    """What the host has of an engine that has ended."""
    own = daemon.root, instance_id(daemon.root + "/data")
    now = take()
    return [line for line in left({kind: [] for kind in now}, now) if any(word in line for word in own)]


def main() -> int:
    """See the module; the exit code."""
    print(f"seed {SEED} (WHARF_SOAK_SEED repeats it)", flush=True)
    with Wharfd() as daemon:
        daemon.load_busybox()
        soak = Soak(daemon)
        soak.run()
        daemon.docker("rm", "-f", *KEPT)
    soak.problems += [f"left on the host: {line}" for line in remains(daemon)]
    soak.tell()
    print(f"{len(soak.problems)} problems (seed {SEED})")
    return 1 if soak.problems else 0


if __name__ == "__main__":
    sys.exit(main())
