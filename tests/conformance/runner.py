"""Runs the lines of a scenario with the docker client against an engine and notes what came back."""

from __future__ import annotations

import fcntl
import functools
import os
import pty
import select
import shutil
import struct
import subprocess
import tarfile
import tempfile
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.conformance import api
from tests.conformance.table import Line, Scenario
from tests.support.registry import Registry

LINE_SECONDS = 40.0
"""No line of the table needs more; a client that does not end is killed and answers with code -1."""
IMAGES = ("box:1", "boxed:1")


@dataclass(frozen=True)
class Answer:
    """What a line gave; times, ids and addresses as they came, the scratch directory as {tmp}."""

    line: str
    code: int
    stdout: str
    stderr: str

    def as_json(self) -> dict[str, object]:
        return asdict(self)


class Runner:
    """One docker client and one engine. `archive` is the file that `docker load` reads the base images from.

    `enter` is the prefix of a command in the network namespace of the engine. `harness` is a client for what is done
    between scenarios, where another starts more quickly.
    """

    def __init__(
        self, client: str, host: str, archive: Path, enter: Sequence[str] = (), *, harness: str | None = None
    ) -> None:
        self.client, self.host, self.enter = client, host, list(enter)
        self._harness = harness or client
        self._empty = False
        """Whether the last scenario left the engine as it found it."""
        self.archive = archive
        self._stack = ExitStack()
        self.home = tempfile.mkdtemp(prefix="conf-client-", dir="/tmp")
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "BUILDKIT_"))}
        self.environment = {**keep, "DOCKER_HOST": host, "DOCKER_CONFIG": self.home, "HOME": self.home, "TZ": "UTC",
                            "DOCKER_BUILDKIT": "0"}  # fmt: skip

    def close(self) -> None:
        self._stack.close()
        shutil.rmtree(self.home, ignore_errors=True)

    @functools.cached_property
    def registry(self) -> Registry:
        """Ours, where the engine runs; it is started when the first line names it."""
        registry = Registry(enter=self.enter)
        registry.run("user", "add", "bob", "--admin", feed="bob-secret\n")
        return self._stack.enter_context(registry)

    def docker(self, *words: str) -> str:
        """stdout of a command of the harness itself."""
        done = subprocess.run(
            [self._harness, *words], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        return done.stdout

    def versions(self) -> dict[str, str]:
        """Client and server versions and the API version that both speak."""
        template = "{{.Client.Version}} {{.Server.Version}} {{.Server.APIVersion}} {{.Client.APIVersion}}"
        command = [self.client, "version", "--format", template]
        told = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        client, server, most, spoken = told.stdout.split()
        return {"client": client, "server": server, "server api": most, "api": spoken}

    def scenario(self, scenario: Scenario) -> list[Answer]:
        """All answers, in order; the engine is as empty afterwards as before."""
        builds = any(line.words[:1] in (("build",), ("builder",)) for line in scenario.lines)
        if not self._empty:
            self._clear(builds)
        self._empty = False
        scratch = tempfile.mkdtemp(prefix="conf-", dir="/tmp")
        try:
            return _Play(self, Path(scratch)).play(scenario)
        finally:
            self._clear(builds)
            shutil.rmtree(scratch, ignore_errors=True)
            self._empty = True

    def _clear(self, builds: bool) -> None:
        if builds:
            self.docker("builder", "prune", "-a", "-f")
        if containers := self.docker("ps", "-aq").split():
            self.docker("rm", "-f", "-v", *containers)
        if networks := self.docker("network", "ls", "-q", "--filter", "type=custom").split():
            self.docker("network", "rm", *networks)
            self.docker("network", "rm", *networks)  # those that take their configuration from another go first
        if volumes := self.docker("volume", "ls", "-q").split():
            self.docker("volume", "rm", "-f", *volumes)
        there = set(self.docker("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines())
        names = [line.split()[0 if "<none>" not in line else 1] for line in there]
        if extra := [name for name in names if name not in IMAGES]:
            self.docker("rmi", "-f", *extra)
        if set(IMAGES) <= set(names):
            tagged = self.docker("image", "inspect", "--format", "{{.Metadata.LastTagTime}}", *IMAGES)
            if all(line.startswith("0001-") for line in tagged.splitlines()):
                return
            self.docker("rmi", "-f", *IMAGES)  # a name that was given stays in their metadata
        self.docker("load", "-i", str(self.archive))


class _Play:
    """One run of one scenario."""

    def __init__(self, runner: Runner, scratch: Path) -> None:
        self.runner, self.scratch = runner, scratch
        self.values: dict[str, str] = {"tmp": str(scratch), "start": f"{time.time():.9f}", "host": runner.host}
        self.enter: list[str] = []
        self.behind: list[tuple[Line, subprocess.Popen[str]]] = []

    def play(self, scenario: Scenario) -> list[Answer]:
        answers = []
        if any("{registry}" in word for line in scenario.lines for word in line.words):
            self.values["registry"] = self.runner.registry.host
            self.enter = self.runner.enter
        try:
            for line in scenario.lines:
                self.values["now"] = f"{time.time():.9f}"
                answers.append(self._line(line))
        finally:
            for _, process in self.behind:
                process.kill()
                process.communicate()
        return answers

    def _line(self, line: Line) -> Answer:
        words = [_fill(word, self.values) for word in line.words]
        match line.verb:
            case "docker":
                return self._docker(line, words)
            case "api":
                reply = api.ask(self.runner.host, words, int(line.directives.get("lines", "0")))
                return Answer(line.text, reply.status, self._plain(reply.text), f"{reply.kind}\n")
            case "file":
                path = self.scratch / words[0]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(words[1].encode().decode("unicode_escape"))
            case "read":
                path = self.scratch / words[0]
                return Answer(line.text, 0, path.read_text() if path.is_file() else f"no file {words[0]}", "")
            case "tar":
                return Answer(line.text, 0, _names(self.scratch / words[0]), "")
            case "sleep":
                time.sleep(float(words[0]))
            case "join":
                _, process = self.behind.pop(0)
                return self._end(line.text, process, None)
        return Answer(line.text, 0, "", "")

    def _docker(self, line: Line, words: list[str]) -> Answer:
        command = [*self.enter, self.runner.client, *words]
        if "tty" in line.directives:
            return self._terminal(line, command)
        feed = line.directives.get("stdin")
        process = subprocess.Popen(
            command,
            env=self.runner.environment,
            cwd=self.scratch,
            stdin=subprocess.PIPE if feed is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        if line.background:
            self.behind.append((line, process))
            return Answer(line.text, 0, "", "")
        return self._end(line.text, process, feed)

    def _end(self, text: str, process: subprocess.Popen[str], feed: str | None) -> Answer:
        try:
            out, err = process.communicate(feed, timeout=LINE_SECONDS)
            code = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            code = -1
        return Answer(text, code, self._plain(out), self._plain(err))

    def _plain(self, text: str) -> str:
        text = text.replace(str(self.scratch), "{tmp}").replace(self.runner.home, "{home}")
        text = text.replace(self.runner.host, "{host}")
        return text.replace(self.values["registry"], "{registry}") if "registry" in self.values else text

    def _terminal(self, line: Line, command: list[str]) -> Answer:
        """The client on a terminal of 24 by 80; what it printed there is stdout."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        with open(ours, "rb+", buffering=0) as terminal:
            process = subprocess.Popen(
                command,
                env={**self.runner.environment, "TERM": "xterm"},
                cwd=self.scratch,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
            os.close(theirs)
            if feed := line.directives.get("stdin"):
                terminal.write(feed.encode())
            out = _read_all(ours, time.monotonic() + LINE_SECONDS)
            process.kill() if out is None else None
            code = process.wait()
        return Answer(line.text, code, self._plain((out or b"").decode(errors="replace")), "")


def _read_all(fd: int, deadline: float) -> bytes | None:
    """What arrives until the other end closes; None after the deadline."""
    out = b""
    while (left := deadline - time.monotonic()) > 0:
        if select.select([fd], [], [], left)[0]:
            try:
                piece = os.read(fd, 65536)
            except OSError:  # EIO: the last holder of the terminal closed it
                return out
            if not piece:
                return out
            out += piece
    return None


def _fill(word: str, values: Mapping[str, str]) -> str:
    """Only our own names in braces: templates of docker use braces too."""
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value) if "{{" not in word else word
    return word


def _names(path: Path) -> str:
    """Sorted names of an archive with type letter, mode, owner and link target."""
    if not path.is_file():
        return f"no file {path.name}"
    with tarfile.open(path) as archive:
        rows = [
            f"{entry.name} {entry.type.decode()} {entry.mode:o} {entry.uid}:{entry.gid} {entry.linkname}".strip()
            for entry in archive
        ]
    return "\n".join(sorted(rows)) + "\n"
