"""`develop.watch`: each action and each attribute by what it does to running containers. One project, one `watch`."""

import json
import select
import subprocess
from collections.abc import Iterator
from typing import IO

import pytest

from tests.compose.tools import Place
from tests.support.wharfd import ROOT, Wharfd

PATIENCE_SECONDS = 30.0
_RUN = "image: busybox, init: true, stop_grace_period: 0s, command: sleep 1000"
_SAY = "echo $$WHO $$(id -u) $$(pwd) $$(( 0x$$(grep CapBnd /proc/self/status | cut -f2) >> 21 & 1 ))"
_FILE = f"""
services:
  copied:
    build: {{context: ., dockerfile_inline: "FROM busybox"}}
    init: true
    stop_grace_period: 0s
    command: sleep 1000
    scale: 2
    develop:
      watch:
        - {{path: ./src, action: sync, target: /src, initial_sync: true, ignore: ["*.skip", "kept/"]}}
        - {{path: ./only, action: sync, target: /only, include: "*.txt"}}
        - {{path: ./one.conf, action: sync, target: /etc/one.conf}}
  told:
    {{{_RUN}, develop: {{watch: [{{path: ./told, action: sync+exec, target: /told, exec: {{
      command: [sh, -c, "exec > /tmp/ran; {_SAY}; cat /told/file"],
      user: "65534", working_dir: /var, environment: [WHO=hook], privileged: true}}}}]}}}}
  both: {{{_RUN}, develop: {{watch: [{{path: ./both, action: sync+restart, target: /both}}]}}}}
  again: {{{_RUN}, develop: {{watch: [{{path: ./again, action: restart}}]}},
          post_start: [{{command: [sh, -c, "echo started >> /hooks"]}}]}}
  follows: {{{_RUN}, depends_on: {{again: {{condition: service_started, restart: true}}}}}}
  stays: {{{_RUN}, depends_on: [again]}}
  built:
    build: {{context: ./built, dockerfile_inline: "FROM busybox\\nCOPY version /version\\n"}}
    init: true
    stop_grace_period: 0s
    command: sleep 1000
    develop: {{watch: [{{path: ./built, action: rebuild}}]}}
"""
_FILES = {
    "compose.yaml": _FILE, ".dockerignore": "src/of-context\n", "src/there": "old\n", "src/gone/deep": "1\n",
    "src/first.skip": "1\n", "src/of-context": "1\n", "src/first.swp": "1\n", "only/x.txt": "1\n", "one.conf": "1\n",
    "told/file": "1\n", "both/file": "1\n", "again/file": "1\n", "built/version": "1\n",
}  # fmt: skip


class Watched(Place):
    """The project up, its files followed by a process, the engine's events by another."""

    events: IO[bytes]

    def started(self) -> str:
        """The service of the next container that starts; raises AssertionError when none does."""
        assert select.select([self.events], [], [], PATIENCE_SECONDS)[0], "no container started"
        return str(json.loads(self.events.readline())["Actor"]["Attributes"]["com.docker.compose.service"])

    def inside(self, service: str, script: str, *words: str) -> str:
        """What a command in a service's container prints."""
        return self.compose("exec", "-T", *words, service, "sh", "-c", script).stdout

    def ids(self) -> dict[str, str]:
        """Containers by service, of one container each."""
        return dict(line.split() for line in self.compose("ps", "--format", "{{.Service}} {{.ID}}").stdout.splitlines())


@pytest.fixture(scope="module")
def watched(daemon: Wharfd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    place = Watched(daemon, tmp_path_factory.mktemp("watched"))
    for name, text in _FILES.items():
        (place.path / name).parent.mkdir(parents=True, exist_ok=True)
        (place.path / name).write_text(text)
    wharf = str(ROOT / ".venv/bin/wharf")
    follow = subprocess.Popen([wharf, "compose", "watch", "--quiet"], cwd=place.path, env=place.environment,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    events = None
    try:
        assert follow.stdout and any("Watch enabled" in line for line in follow.stdout)
        words = ["events", "--filter", "event=start", "--format", "json"]
        events = subprocess.Popen([wharf, *words], env=place.environment, stdout=subprocess.PIPE, bufsize=0)
        assert events.stdout
        place.events = events.stdout
        yield place
    finally:
        for process in filter(None, (follow, events)):
            process.terminate()
            process.communicate()
        place.compose("down", "-v", "-t", "0")
    assert follow.returncode == 0


def test_initial_sync(watched: Watched) -> None:
    """Into every container, what is there and not ignored; only where it is asked for."""
    for index in ("1", "2"):
        shown = watched.inside("copied", "cd /src; find . -type f | sort; ls -d /only 2>&1; true", "--index", index)
        assert shown == "./gone/deep\n./there\nls: /only: No such file or directory\n"


def test_sync_with_ignore(watched: Watched) -> None:
    """Not what the rule, .dockerignore and the habits of editors leave out; a new directory is watched too."""
    names = ("b.skip", "of-context", "kept/x", ".git/HEAD", ".x.swp", "4913", "y~", ".#z", "a.swx", "new/file", "there")
    for name in names:
        (watched.path / "src" / name).parent.mkdir(exist_ok=True)
        (watched.path / "src" / name).write_text("new\n")
    wait = "until test -e /src/new/file && grep -q new /src/there; do sleep 0.02; done; cd /src; find . -type f | sort"
    for index in ("1", "2"):
        assert watched.inside("copied", wait, "--index", index) == "./gone/deep\n./new/file\n./there\n"


def test_sync_with_include(watched: Watched) -> None:
    (watched.path / "only/x.bin").write_text("1\n")
    (watched.path / "only/y.txt").write_text("2\n")
    assert watched.inside("copied", "until test -e /only/y.txt; do sleep 0.02; done; ls /only") == "y.txt\n"


def test_sync_of_a_file(watched: Watched) -> None:
    (watched.path / "one.conf").write_text("changed\n")
    wait = "until test -e /etc/one.conf; do sleep 0.02; done; cat /etc/one.conf"
    assert watched.inside("copied", wait) == "changed\n"


def test_sync_of_what_is_deleted(watched: Watched) -> None:
    """A file, and a directory with all that is in it."""
    (watched.path / "src/there").unlink()
    (watched.path / "src/gone/deep").unlink()
    (watched.path / "src/gone").rmdir()
    wait = "while test -e /src/there -o -e /src/gone; do sleep 0.02; done; echo done"
    assert watched.inside("copied", wait) == "done\n"


def test_sync_and_exec(watched: Watched) -> None:
    """With its command, user, working_dir, environment and privileged."""
    (watched.path / "told/file").write_text("told\n")
    assert (
        watched.inside("told", "until grep -q told /tmp/ran 2>/dev/null; do sleep 0.02; done; cat /tmp/ran")
        == "hook 65534 /var 1\ntold\n"
    )


def test_sync_and_restart(watched: Watched) -> None:
    (watched.path / "both/file").write_text("new\n")
    assert watched.started() == "both"
    assert watched.inside("both", "cat /both/file") == "new\n"


def test_restart(watched: Watched) -> None:
    """With what depends on it with `restart: true`, and its hooks."""
    (watched.path / "again/file").write_text("new\n")
    assert [watched.started(), watched.started()] == ["again", "follows"]
    assert watched.inside("again", "ls /again 2>/dev/null; cat /hooks") == "started\nstarted\n"


def test_rebuild(watched: Watched) -> None:
    """A new image, a new container of this service alone; the image before goes, as no container has it."""
    before = watched.ids()
    image = watched.compose("images", "-q", "built").stdout.strip()
    (watched.path / "built/version").write_text("2\n")
    assert watched.started() == "built"
    assert watched.inside("built", "cat /version") == "2\n"
    after = watched.ids()
    assert {name for name in before if before[name] != after[name]} == {"built"}
    assert any(image not in watched.wharf("images", "-aq", "--no-trunc").stdout for _ in range(50))


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("image: x, develop: {watch: [{path: ., action: rebuild}]}", "with action rebuild without a build context"),
        ("image: x, develop: {watch: [{path: ., action: sync}]}", "target is required for non-rebuild actions"),
        ("image: x, develop: {watch: [{path: ., action: sync+exec, target: /x}]}", "without a command"),
        ("image: x, develop: {watch: [{path: ., action: other}]}", "value must be one of"),
        ("image: x, develop: {watch: [{action: rebuild}]}", "missing property 'path'"),
        ("image: x, volumes: ['.:/a'], develop: {watch: [{path: ., action: sync, target: /x}]}", "this path won't be"),
        ("image: x", "none of the selected services is configured for watch"),
    ],
)
def test_what_cannot_be_watched_is_said(daemon: Wharfd, watched: Watched, service: str, said: str) -> None:
    place = Place(daemon, watched.path / "wrong")
    place.path.mkdir(exist_ok=True)
    place.write(f"services: {{web: {{{service}}}}}\n")
    out = place.compose("watch", "--no-up", status=None)
    assert out.returncode != 0 and said in out.stderr and "Traceback" not in out.stderr, out.stderr
