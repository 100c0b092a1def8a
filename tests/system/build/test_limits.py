"""Builds side by side, builds that are given up, and steps that would take everything."""

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker

from tests.support.building import WHARF, build, inside, wharf, write
from tests.support.wharfd import Wharfd

MEET = "for i in $(seq 300); do test $(ls /c | wc -l) -ge 3 && exit 0; sleep 0.1; done; exit 1"


def _context(tmp_path: Path, *lines: str) -> Path:
    return write(tmp_path / "context", {"Dockerfile": "FROM busybox\n" + "\n".join(lines)})


def _cache_of(daemon: Wharfd, wanted: str) -> Path:
    """The one directory of a cache mount that holds a file of this name."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for path in Path(daemon.root, "data/build/caches").glob(f"*/{wanted}"):
            return path.parent
        time.sleep(0.02)
    raise AssertionError(f"no cache mount has {wanted}")


class TestSideBySide:
    def test_three_stages_overlap(self, daemon: Wharfd, tmp_path: Path) -> None:
        """Each waits until all three are there: one after another none would end well."""
        stages = [
            f"FROM busybox AS s{n}\nRUN --mount=type=cache,id=meet,target=/c touch /c/{n}; {MEET}\nRUN echo {n} > /{n}"
            for n in range(3)
        ]
        copies = "".join(f"COPY --from=s{n} /{n} /{n}\n" for n in range(3))
        build(
            daemon, write(tmp_path / "c", {"Dockerfile": "\n".join(stages) + "\nFROM busybox\n" + copies}), "-t", "met"
        )
        assert inside(daemon, "met", "cat /0 /1 /2") == "0\n1\n2\n"

    def test_two_builds_share_one_run_of_a_step(self, daemon: Wharfd, tmp_path: Path) -> None:
        root = _context(
            tmp_path,
            "RUN --mount=type=cache,id=shared,target=/c echo run >> /c/runs; "
            "for i in $(seq 300); do test -e /c/go && exit 0; sleep 0.1; done; exit 1",
        )
        clients = [
            subprocess.Popen([WHARF, "build", "-t", f"twin:{n}", str(root)], env=daemon.environment,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for n in range(2)
        ]  # fmt: skip
        cache = _cache_of(daemon, "runs")
        events = docker.APIClient(daemon.host, version="1.51")
        time.sleep(1)  # for the second to come as far; were it later, it would find the result, and run nothing either
        (cache / "go").touch()
        for client in clients:
            out, _ = client.communicate(timeout=60)
            assert client.returncode == 0, out
        events.close()
        assert (cache / "runs").read_text() == "run\n"


class TestGivenUp:
    def test_a_build_that_takes_too_long(self, daemon: Wharfd, tmp_path: Path) -> None:
        root = _context(tmp_path, "RUN echo quick", "RUN echo slow; sleep 1000")
        began = time.monotonic()
        done = wharf(daemon, "build", "--timeout", "2s", "-t", "late", str(root), check=False)
        assert time.monotonic() - began < 30
        assert done.returncode == 1
        assert "the build took longer than 2 s: it was at [3/3] RUN echo slow; sleep 1000 (line 3)" in done.stderr
        assert daemon.docker("ps", "-aq").stdout == "" and daemon.docker("images", "-q", "late").stdout == ""
        assert "Using cache" in build(daemon, _context(tmp_path, "RUN echo quick"))

    def test_cancel_by_its_id(self, daemon: Wharfd, tmp_path: Path) -> None:
        root = _context(tmp_path, "RUN --mount=type=cache,id=cancel,target=/c touch /c/cancelled; sleep 1000")
        client = docker.APIClient(daemon.host, version="1.51", timeout=60)
        said: list[str] = []

        def run() -> None:
            with open(root / "context.tar", "wb") as file:
                subprocess.run(["tar", "-C", str(root), "-c", "Dockerfile"], stdout=file, check=True)
            with open(root / "context.tar", "rb") as file:
                answer = client.post(client._url("/build"), data=file, params={"buildid": "mine"})
            said.append(answer.text)

        thread = threading.Thread(target=run)
        thread.start()
        _cache_of(daemon, "cancelled")
        other = docker.APIClient(daemon.host, version="1.51")
        assert other.post(other._url("/build/cancel"), params={"id": "mine"}).status_code == 200
        thread.join(30)
        assert said and "context canceled" in said[0]
        assert other.post(other._url("/build/cancel"), params={"id": "unknown"}).status_code == 200
        assert other.post(other._url("/build/cancel")).status_code == 400
        other.close()
        client.close()
        assert daemon.docker("ps", "-aq").stdout == ""

    def test_a_client_that_goes_away(self, daemon: Wharfd, tmp_path: Path) -> None:
        root = _context(tmp_path, "RUN --mount=type=cache,id=gone,target=/c touch /c/gone; sleep 1000")
        client = subprocess.Popen([WHARF, "build", str(root)], env=daemon.environment, stdout=subprocess.DEVNULL)
        _cache_of(daemon, "gone")
        client.kill()
        client.wait()
        deadline = time.monotonic() + 30
        while daemon.docker("ps", "-aq").stdout:
            assert time.monotonic() < deadline
            time.sleep(0.1)


class TestGreed:
    def test_a_step_that_forks_without_end(self, daemon: Wharfd, tmp_path: Path) -> None:
        root = _context(tmp_path, "RUN f() { f & f & sleep 5; }; f; sleep 1", "RUN echo never")
        began = time.monotonic()
        out = build(daemon, root, "--pids-limit", "40", "--timeout", "20s", check=False)
        assert "fork" in out and time.monotonic() - began < 60
        assert daemon.docker("ps", "-aq").stdout == ""
        assert "echo well" in build(daemon, _context(tmp_path, "RUN echo well"))

    def test_every_step_has_a_limit_of_processes(self, daemon: Wharfd, tmp_path: Path) -> None:
        read = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null"
        assert "32768" in build(daemon, _context(tmp_path, f"RUN {read}; true"), "--no-cache")

    def test_a_step_that_fills_the_disk(self, tmp_path: Path) -> None:
        with _small_disk(96 << 20) as place, Wharfd(place=place) as small:
            small.load_busybox()
            first = "RUN echo kept > /kept"
            out = build(
                small, _context(tmp_path, first, "RUN cat /dev/zero > /big", "RUN true"), "-t", "full", check=False
            )
            assert "No space left on device" in out and "Dockerfile:3" in out, out
            assert small.docker("images", "-q", "full").stdout == "" and small.docker("ps", "-aq").stdout == ""
            out = build(small, _context(tmp_path, first, "RUN echo more > /more"), "-t", "fine")
            assert out.count("Using cache") == 1, out
            assert inside(small, "fine", "cat /kept /more") == "kept\nmore\n"


@contextlib.contextmanager
def _small_disk(size: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "wharf-test", place], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)


class TestAgent:
    def test_a_step_finds_the_users_agent_and_no_key(self, daemon: Wharfd, tmp_path: Path) -> None:
        """The step's own socket is asked from outside: its image has no program that could."""
        agent = tmp_path / "agent"
        key = tmp_path / "key"
        server = subprocess.Popen(["ssh-agent", "-D", "-a", str(agent)], stdout=subprocess.DEVNULL)
        try:
            _until(agent.exists)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
            subprocess.run(["ssh-add", "-q", str(key)], env={**os.environ, "SSH_AUTH_SOCK": str(agent)}, check=True)
            root = _context(
                tmp_path,
                "RUN --mount=type=ssh,uid=5,mode=0660 --mount=type=cache,id=ssh,target=/c test -S $SSH_AUTH_SOCK && "
                "stat -c 'socket %a %u' $SSH_AUTH_SOCK; echo $SSH_AUTH_SOCK; touch /c/asking; "
                "for i in $(seq 300); do test -e /c/asked && exit 0; sleep 0.1; done; exit 1",
            )
            client = subprocess.Popen(
                [WHARF, "build", "-t", "agent", "--ssh", f"default={agent}", str(root)], env=daemon.environment,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            cache = _cache_of(daemon, "asking")
            (place,) = (path for path in Path(daemon.root, "data/build/steps").glob("*/*") if path.is_socket())
            environment = {**os.environ, "SSH_AUTH_SOCK": str(place)}
            listed = subprocess.run(["ssh-add", "-L"], env=environment, capture_output=True, text=True, check=True)
            assert listed.stdout.split()[:2] == (tmp_path / "key.pub").read_text().split()[:2]
            signed = subprocess.run(
                ["ssh-keygen", "-q", "-Y", "sign", "-n", "test", "-f", str(tmp_path / "key.pub")], env=environment,
                input="signed", capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert "BEGIN SSH SIGNATURE" in signed.stdout
            # What would change the agent is refused.
            assert subprocess.run(["ssh-add", "-D"], env=environment, capture_output=True, check=False).returncode
            (cache / "asked").touch()
            out, _ = client.communicate(timeout=60)
            assert client.returncode == 0 and "socket 660 5" in out and "/run/buildkit/ssh_agent.0" in out, out
        finally:
            server.terminate()
            server.wait()
        assert inside(daemon, "agent", "ls -A /run /run/buildkit 2>/dev/null; true") == ""
        assert "SSH_AUTH_SOCK" not in daemon.docker("history", "--no-trunc", "agent").stdout.replace(
            "$SSH_AUTH_SOCK", ""
        )

    def test_one_that_is_not_lent(self, daemon: Wharfd, tmp_path: Path) -> None:
        root = _context(tmp_path, "RUN --mount=type=ssh,required true")
        done = wharf(daemon, "build", str(root), check=False)
        assert done.returncode and "no SSH key" in done.stderr and "Dockerfile:2" in done.stderr
        build(daemon, _context(tmp_path, 'RUN --mount=type=ssh test -z "$SSH_AUTH_SOCK"'))
        done = wharf(daemon, "build", "--ssh", f"default={tmp_path}/nosuch", str(root), check=False)
        assert done.returncode and "failed to connect to the ssh agent" in done.stderr


def _until(question: object) -> None:
    deadline = time.monotonic() + 20
    while not question():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestVerify:
    def test_equal_builds(self, daemon: Wharfd, tmp_path: Path) -> None:
        root = _context(tmp_path, "COPY . /c", "RUN echo text > /f && mkdir /d && touch /d/$(hostname)", "WORKDIR /w")
        assert "Verified: two builds" in build(daemon, root, "--verify")

    def test_a_difference_is_explained_by_layer_and_file(self, daemon: Wharfd, tmp_path: Path) -> None:
        root = _context(
            tmp_path, "RUN echo same > /same", "RUN cat /proc/sys/kernel/random/uuid > /etc/id; touch /$(cat /etc/id)"
        )
        done = wharf(daemon, "build", "--verify", str(root), check=False)
        assert done.returncode == 1 and "Verification failed" in done.stderr
        lines = [line for line in done.stderr.splitlines() if line.startswith("layer ")]
        where = "layer 3/3 (RUN /bin/sh -c cat /proc/sys/kernel/random/uuid > /etc/id"
        assert all(line.startswith(where) for line in lines) and len(lines) == 3, lines
        assert any("/etc/id: content " in line for line in lines)
        assert any("only in the first build" in line for line in lines)
