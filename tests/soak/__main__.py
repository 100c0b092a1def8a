"""The soak: `make soak`. Thousands of runs and hundreds of kills on one engine; then nothing may have grown, every
container must be in a true state, and no line may be missing from a log.

    WHARF_SOAK_RUNS=1000 WHARF_SOAK_KILLS=200 WHARF_SOAK_LAUNCHER_KILLS=50 WHARF_SOAK_MONITOR_KILLS=20
    WHARF_SOAK_CONTAINERS=20 WHARF_SOAK_SEED=<number>
"""

import contextlib
import itertools
import json
import os
import pty
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.footprint import Footprint, difference, footprint, processes, settled
from tests.support.wharfd import Wharfd, docker_client

RUNS = int(os.environ.get("WHARF_SOAK_RUNS", "1000"))
KILLS = int(os.environ.get("WHARF_SOAK_KILLS", "200"))
LAUNCHER_KILLS = int(os.environ.get("WHARF_SOAK_LAUNCHER_KILLS", "50"))
MONITOR_KILLS = int(os.environ.get("WHARF_SOAK_MONITOR_KILLS", "20"))
CONTAINERS = int(os.environ.get("WHARF_SOAK_CONTAINERS", "20"))
SEED = int(os.environ.get("WHARF_SOAK_SEED", str(random.SystemRandom().randrange(10**6))))
WARM_UP = 30
MAX_GROWTH_KB = 5 << 10
SETTLE = 30.0
PAYLOADS, PAYLOAD_SIZE = ("x", "y"), 1 << 20
COUNT = (
    "i=$(cat /count 2>/dev/null || echo 0); trap 'exit 0' TERM; while true; do echo line $i; i=$((i+1)); "
    "echo $i > /new; mv /new /count; usleep 100000; done"
)
KILLED = 137


def at_rest(found: Footprint) -> Footprint:
    """Without the moments of the containers' own work, and without the two monitors (for a container, for an exec) that
    are forked ahead or are not."""
    rest = Footprint({key: number for key, number in found.items() if key not in ("process: usleep", "process: mv")})
    monitors = rest.pop("process: wharf-monitor", 0) - rest["file: /exec/monitors/ID"]
    if monitors not in (0, 1, 2):
        rest["monitors beyond the containers"] = monitors
    return +rest


class Soak:
    """One engine under load."""

    def __init__(self, daemon: Wharfd) -> None:
        self.daemon = daemon
        self.chance = random.Random(SEED)
        self.names = [f"soak-{number}" for number in range(CONTAINERS)]
        self.problems: list[str] = []

    # -- measures

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Descriptors and memory of its own in kB of each helper by its name, once garbage has gone.

        Pages of files are left out: how many of them are counted for one process changes with every other program on
        the machine that has the same interpreter or library loaded.
        """
        found: dict[str, tuple[int, int]] = {}
        for pid in processes(self.daemon):
            with contextlib.suppress(OSError):
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                if name in ("wharfd", "wharf-launcher", "wharf-netd"):
                    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                    own = [line.split() for line in rollup.splitlines() if line.startswith(("Pss_Anon", "Pss_Shmem"))]
                    memory = sum(int(kilobytes) for _, kilobytes, _ in own)
                    found[name] = len(os.listdir(f"/proc/{pid}/fd")), memory
        return found

    def compare(self, what: str, before: tuple[Footprint, dict[str, tuple[int, int]]]) -> None:
        """Say and remember what has grown since `before`."""
        then, old = before
        now = settled(self.daemon, (then,), at_rest)
        if now != then:
            self.problems.append(f"{what}: the host has changed:\n{difference(now, then)}")
        for name, (descriptors, memory) in self.sizes().items():
            had_descriptors, had_memory = old.get(name, (descriptors, memory))
            print(
                f"  {name}: descriptors {had_descriptors} -> {descriptors}, memory {had_memory} -> {memory} kB",
                flush=True,
            )
            if descriptors > had_descriptors:
                self.problems.append(f"{what}: {name} has {descriptors - had_descriptors} more descriptors")
            if memory > had_memory + MAX_GROWTH_KB:
                self.problems.append(f"{what}: {name} has grown by {memory - had_memory} kB")

    def state(self) -> tuple[Footprint, dict[str, tuple[int, int]]]:
        """The host at rest."""
        last = at_rest(footprint(self.daemon))
        deadline = time.monotonic() + SETTLE
        while time.monotonic() < deadline:
            time.sleep(0.3)
            now = at_rest(footprint(self.daemon))
            if now == last:
                break
            last = now
        return last, self.sizes()

    # -- phases

    def warm_up(self) -> None:
        """Every kind of request once or more, so that what is loaded and kept at first use is there."""
        for _ in range(WARM_UP):
            self.daemon.docker("run", "--rm", "busybox", "true")
        for name in self.names:
            self.daemon.docker("logs", "--tail", "3", name, check=False)
            self.daemon.docker("exec", name, "true", check=False)
            self.daemon.docker("cp", f"{self.daemon.root}/{PAYLOADS[0]}/payload", f"{name}:/payload", check=False)

    def runs(self) -> None:
        """`run --rm` again and again."""
        self.warm_up()
        before = self.state()
        for number in range(RUNS):
            out = self.daemon.docker("run", "--rm", "-p", "18066:80", "busybox", "echo", str(number))
            if out.stdout != f"{number}\n":
                self.problems.append(f"run {number} printed {out.stdout!r}")
        self.compare(f"{RUNS} runs", before)

    def kills(self, times: int, what: str, victim: Callable[[], int | None], restart: bool) -> None:
        """`kill -9` of one process at random moments of start, exec -it, cp, logs and stop."""
        self.warm_up()  # a wharfd that was started just now has its memory still to take
        before = self.state()
        for number in range(times):
            stop = threading.Event()
            threads = [threading.Thread(target=self._work, args=(stop, self.chance.random())) for _ in range(2)]
            for thread in threads:
                thread.start()
            time.sleep(self.chance.uniform(0, 0.5))  # the moment is the input
            pid = victim()
            if restart:
                self.daemon.kill()
            elif pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            stop.set()
            for thread in threads:
                thread.join()
            if restart:
                self.daemon.start()
            self.truth(f"{what} {number}", logs=self.names if number % 10 == 9 else self.chance.sample(self.names, 2))
        for name in self.names:
            self.daemon.docker("start", name, check=False)
        self._remove_cut_runs()
        self.truth(f"after {times} × {what}", logs=self.names)
        self.compare(f"{times} × {what}", before)

    def _remove_cut_runs(self) -> None:
        """A `run` that was cut between create and start has left a container that was created, as it said it did."""
        cut = self.daemon.docker("ps", "-aq", "--filter", "status=created").stdout.split()
        if cut:
            print(f"  {len(cut)} runs were cut between create and start", flush=True)
            self.daemon.docker("rm", *cut)

    def _work(self, stop: threading.Event, seed: float) -> None:
        chance = random.Random(seed)
        while not stop.is_set():
            name = chance.choice(self.names)
            line = chance.choice((
                ["stop", "-t", "1", name], ["start", name], ["logs", "--tail", "3", name],
                ["exec", "-it", name, "echo", "here"],
                ["cp", f"{self.daemon.root}/{chance.choice(PAYLOADS)}/payload", f"{name}:/payload"],
                ["run", "--rm", "busybox", "true"],
            ))  # fmt: skip
            ours, theirs = pty.openpty()
            client = subprocess.Popen(
                [docker_client(), *line], env=self.daemon.environment, stdin=theirs, stdout=theirs, stderr=theirs
            )
            os.close(theirs)
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

    # -- the truth

    def truth(self, when: str, logs: Sequence[str]) -> None:
        """Every container is what its record says, its copied file is whole or absent, and the `logs` looked at have
        every line: a line that is missing once is missing for ever, so not all of them are read each time."""
        out = self.daemon.docker("inspect", *self.names, check=False)
        found = {item["Name"].removeprefix("/"): item for item in json.loads(out.stdout)}
        for name in self.names:
            if name not in found:
                self.problems.append(f"{when}: {name} is gone: {out.stderr}")
                continue
            self._check_state(when, name, found[name]["State"])
            self._check_copy(when, name, found[name]["Id"])
        for name in logs:
            self._check_log(when, name)

    def _check_state(self, when: str, name: str, state: dict[str, Any]) -> None:
        alive = state["Pid"] and Path(f"/proc/{state['Pid']}/exe").exists()
        if state["Running"] and not alive:
            again = json.loads(self.daemon.docker("inspect", name).stdout)[0]["State"]
            if again["Running"] and again["Pid"] == state["Pid"]:
                self.problems.append(f"{when}: {name} is recorded as running and is not")
        lost = state["ExitCode"] == KILLED and not state["Running"] and when.startswith("monitor")
        if lost and not state["Error"]:
            self.problems.append(f"{when}: {name} was lost without a reason")

    def _check_copy(self, when: str, name: str, identity: str) -> None:
        upper = Path(f"{self.daemon.root}/data/snapshots/active/{identity}/fs")
        halves = [item.name for item in upper.iterdir() if item.name.startswith(".wharf-")]
        if halves:
            self.problems.append(f"{when}: a cut cp has left {halves} in {name}")
        with contextlib.suppress(FileNotFoundError):
            content = (upper / "payload").read_bytes()
            if len(content) != PAYLOAD_SIZE or content.count(content[:1]) != PAYLOAD_SIZE:
                self.problems.append(f"{when}: the file copied to {name} is torn ({len(content)} bytes)")

    def _strangers(self, when: str) -> None:
        """A `run --rm` that was cut before its start leaves a container that can still be started, as with Docker: it
        is removed here. One that has run is gone by itself."""
        listed = self.daemon.docker("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout.split("\n")
        others = [line.split() for line in listed if line and line.split()[0] not in self.names]
        for name, state in others:
            if state != "created":
                self.problems.append(f"{when}: {name} of a `run --rm` is {state}")
            self.daemon.docker("rm", "-f", name, check=False)
        print(f"  {len(others)} containers of `run --rm` were cut off before their start")

    def _check_log(self, when: str, name: str) -> None:
        numbers = [line.removeprefix("line ") for line in self.daemon.docker("logs", name).stdout.splitlines()]
        if not all(text.isdigit() for text in numbers):
            self.problems.append(f"{when}: the log of {name} has torn lines")
            return
        values = [int(text) for text in numbers]
        for one, two in itertools.pairwise(values):
            # A run that was killed between the line and its count says that number again; none may be left out.
            if two not in (one, one + 1) and "monitor" not in when:
                self.problems.append(f"{when}: the log of {name} goes from {one} to {two}")
                return

    # -- all

    def run(self) -> int:
        """All phases; the exit code."""
        for letter in PAYLOADS:
            os.mkdir(f"{self.daemon.root}/{letter}")
            Path(f"{self.daemon.root}/{letter}/payload").write_bytes(letter.encode() * PAYLOAD_SIZE)
        self._timed(f"{RUNS} × run --rm", self.runs)
        for name in self.names:
            self.daemon.docker("run", "-d", "--name", name, "busybox", "sh", "-c", COUNT)
        self._timed(f"{KILLS} × kill -9 of wharfd", lambda: self.kills(KILLS, "wharfd", lambda: None, True))
        launcher = lambda: self._pid("wharf-launcher")  # noqa: E731
        self._timed(f"{LAUNCHER_KILLS} × kill -9 of the launcher",
                    lambda: self.kills(LAUNCHER_KILLS, "launcher", launcher, False))  # fmt: skip
        self._timed(f"{MONITOR_KILLS} × kill -9 of a monitor",
                    lambda: self.kills(MONITOR_KILLS, "monitor", self._monitor, False))  # fmt: skip
        self.daemon.docker("rm", "-f", *self.names)
        for problem in self.problems:
            print(f"PROBLEM {problem}")
        print(f"{len(self.problems)} problems (seed {SEED})")
        return 1 if self.problems else 0

    def _timed(self, what: str, phase: Callable[[], None]) -> None:
        began, had = time.monotonic(), len(self.problems)
        print(what, flush=True)
        phase()
        print(f"  {time.monotonic() - began:.0f} s, {len(self.problems) - had} problems", flush=True)

    def _pid(self, name: str) -> int | None:
        for pid in processes(self.daemon):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    return pid
        return None

    def _monitor(self) -> int | None:
        states = sorted(Path(f"{self.daemon.root}/exec/monitors").glob("*/init.json"))
        if not states:
            return None
        try:
            return int(json.loads(self.chance.choice(states).read_text())["monitor"])
        except (OSError, ValueError, KeyError):
            return None


def main() -> int:
    """See the module."""
    print(f"seed {SEED} (WHARF_SOAK_SEED repeats it)")
    with Wharfd() as daemon:
        daemon.load_busybox()
        return Soak(daemon).run()


if __name__ == "__main__":
    sys.exit(main())
